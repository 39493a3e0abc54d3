package sdktest_test

import (
	"slices"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// Try shows a plugin the pods on nodes with everything that is known of them.
func TestTryWithAssignedPods(t *testing.T) {
	affinity := &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}}
	node := scheduling.NodeInfo{Name: "a", Assigned: []scheduling.AssignedPodInfo{
		{Namespace: "one", Labels: map[string]string{"app": "x", "": "odd"}, Priority: -5, Started: 1000, Terminating: true, Affinity: scheduling.AffinityOf(affinity),
			Usage: scheduling.Usage{Requests: scheduling.Resources{MilliCPU: 5, Memory: 6, Ephemeral: 7, Extended: []scheduling.Amount{{Name: "gpu", Value: 2}}},
				Ports: []scheduling.HostPort{{Port: 80}, {Port: 53, Protocol: "UDP"}}}},
		{Namespace: "two", NeverPreempts: true},
	}}
	seen := map[string]bool{}
	look := func(o scheduling.AssignedPod) {
		seen[o.Namespace()] = true
		app, has := o.Label("app")
		_, lacks := o.Label("tier")
		got := []any{app, has, lacks, len(o.Labels()), o.Priority(), o.StartTime().Equal(time.Unix(1000, 0)), o.Terminating(), o.NeverPreempts(), o.CPU(), o.Requests().Memory,
			o.Ephemeral(), o.Extended("gpu"), o.Extended("other"), len(o.Ports()), o.PortTaken(scheduling.HostPort{Port: 80, IP: "10.0.0.1"}), o.PortTaken(scheduling.HostPort{Port: 53}), o.Node().Name()}
		want := []any{"x", true, false, 2, int32(-5), true, true, false, int64(5), int64(6), int64(7), int64(2), int64(0), 2, true, false, "a"}
		if o.Namespace() == "two" {
			want = []any{"", false, false, 0, int32(0), false, false, true, int64(0), int64(0), int64(0), int64(0), int64(0), 0, false, false, "a"}
		}
		if a := o.Affinity(); (a != nil) != (o.Namespace() == "one") || a != nil && a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey != "zone" {
			seen["affinity is wrong"] = true
		}
		if !slices.Equal(got, want) {
			seen[o.Namespace()+" is wrong"] = true
			t.Logf("%v, want %v", got, want)
		}
	}
	points := &scheduling.Points{
		PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			clear(seen) // what was seen before all columns were there counts for nothing
			for o := range s.AssignedPods() {
				look(o)
			}
			return nil
		},
		Score: func(_ *scheduling.Pod, n scheduling.Node) (count int64) {
			for o := range n.AssignedPods() {
				look(o)
				count++
			}
			return count
		},
	}
	out, err := sdktest.Try(points, scheduling.PodInfo{}, scheduling.NodeInfo{Name: "b"}, node)
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Score != 0 || out[1].Score != 2 || len(seen) != 2 {
		t.Errorf("%+v, seen %v", out, seen)
	}
	// a snapshot for a single point has them, too
	clear(seen)
	for o := range scheduling.NewSnapshot(scheduling.NodeInfo{Name: "b"}, node).AssignedPods() {
		look(o)
	}
	if len(seen) != 2 {
		t.Errorf("snapshot: seen %v", seen)
	}
}

// More labels than have columns are read from the sets of labels.
func TestManyLabelsOfAssignedPods(t *testing.T) {
	labels := map[string]string{}
	for i := range 100 {
		labels[string(rune('a'+i%26))+string(rune('a'+i/26))] = "v"
	}
	found := 0
	points := &scheduling.Points{Score: func(_ *scheduling.Pod, n scheduling.Node) int64 {
		found = 0
		for o := range n.AssignedPods() {
			for key := range labels {
				if v, ok := o.Label(key); ok && v == "v" {
					found++
				}
			}
		}
		return 0
	}}
	if _, err := sdktest.Try(points, scheduling.PodInfo{}, scheduling.NodeInfo{Name: "a", Assigned: []scheduling.AssignedPodInfo{{Labels: labels}}}); err != nil {
		t.Fatal(err)
	}
	if found != 100 {
		t.Errorf("%d labels found, want 100", found)
	}
}
