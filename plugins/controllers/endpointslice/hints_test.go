package endpointslice

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func newNode(name, zone string, cpu resource.Quantity, change ...func(*node)) *node {
	n := &node{}
	n.Name = name
	if zone != "" {
		n.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	}
	if cpu != "" {
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: cpu}
	}
	n.Status.Conditions = append(n.Status.Conditions, struct {
		Type   corev1.NodeConditionType `json:"type"`
		Status corev1.ConditionStatus   `json:"status"`
	}{corev1.NodeReady, corev1.ConditionTrue})
	for _, f := range change {
		f(n)
	}
	return n
}

func nodeMap(list ...*node) map[string]*node {
	out := map[string]*node{}
	for _, n := range list {
		out[n.Name] = n
	}
	return out
}

func on(name string) func(*backends.Pod) { return func(p *backends.Pod) { p.Spec.NodeName = name } }

func auto(s *corev1.Service) {
	s.Annotations = map[string]string{corev1.AnnotationTopologyMode: "Auto"}
}

func near(d string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.TrafficDistribution = &d }
}

// hints writes endpoints as "address zone>for zones/for nodes".
func hints(list []discoveryv1.Endpoint) string {
	var out []string
	for _, e := range list {
		s := e.Addresses[0] + " " + value(e.Zone)
		if e.Hints != nil {
			s += ">"
			for _, z := range e.Hints.ForZones {
				s += z.Name
			}
			for _, n := range e.Hints.ForNodes {
				s += "/" + n.Name
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestPlace(t *testing.T) {
	nodes := nodeMap(newNode("a", "east", "1"), newNode("b", "west", "1"), newNode("c", "", "1"))
	list := []*backends.Pod{newPod("p", "10.0.0.1", on("a")), newPod("q", "10.0.0.2", on("b")), newPod("r", "10.0.0.3", on("c")), newPod("s", "10.0.0.4", on("a"), unready)}
	gone := append(slices.Clone(list), newPod("t", "10.0.0.5", on("gone")))
	for _, tc := range []struct {
		name    string
		svc     *corev1.Service
		pods    []*backends.Pod
		want    string
		lacking bool
	}{
		{"nothing asked for", newService(), list, "10.0.0.1 east, 10.0.0.2 west, 10.0.0.3 , 10.0.0.4 east", false},
		{"of the zone", newService(near("PreferSameZone")), list, "10.0.0.1 east>east, 10.0.0.2 west>west, 10.0.0.3 , 10.0.0.4 east", false},
		{"by its older name", newService(near("PreferClose")), list, "10.0.0.1 east>east, 10.0.0.2 west>west, 10.0.0.3 , 10.0.0.4 east", false},
		{"of the node", newService(near("PreferSameNode")), list, "10.0.0.1 east>east/a, 10.0.0.2 west>west/b, 10.0.0.3 >/c, 10.0.0.4 east", false},
		{"of something else", newService(near("PreferFar")), list, "10.0.0.1 east, 10.0.0.2 west, 10.0.0.3 , 10.0.0.4 east", false},
		{"topology goes before", newService(near("PreferSameZone"), auto), list, "10.0.0.1 east, 10.0.0.2 west, 10.0.0.3 , 10.0.0.4 east", false},
		{"a node that is not there", newService(), gone, "10.0.0.1 east, 10.0.0.2 west, 10.0.0.3 , 10.0.0.4 east", true},
		{"all are taken", newService(func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }), gone, "10.0.0.1 east, 10.0.0.2 west, 10.0.0.3 , 10.0.0.4 east, 10.0.0.5 ", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			groups := want(tc.svc, tc.pods)
			lacking := place(tc.svc, groups, nodes)
			if got := hints(groups[0].endpoints); got != tc.want || lacking != tc.lacking {
				t.Errorf("%s, lacking %v; want %s", got, lacking, tc.want)
			}
		})
	}
}

func TestShares(t *testing.T) {
	unready := func(n *node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }
	for _, tc := range []struct {
		name  string
		nodes map[string]*node
		want  string
	}{
		{"by CPU", nodeMap(newNode("a", "east", "3"), newNode("b", "west", "500m"), newNode("c", "west", "500m")), "map[east:0.75 west:0.25]"},
		{"one zone", nodeMap(newNode("a", "east", "3")), "map[]"},
		{"no zone", nodeMap(newNode("a", "east", "3"), newNode("b", "west", "3"), newNode("c", "", "1")), "map[]"},
		{"no CPU", nodeMap(newNode("a", "east", "3"), newNode("b", "west", "3"), newNode("c", "west", "")), "map[]"},
		{"not ready, and a control plane", nodeMap(newNode("a", "east", "3"), newNode("b", "west", "3"), newNode("c", "", "1", unready),
			newNode("d", "", "", func(n *node) { n.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""} })), "map[east:0.5 west:0.5]"},
	} {
		if got := fmt.Sprint(shares(tc.nodes)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// for each zone, how many endpoints are for it.
func zonesOf(plans []*planned) map[string]int {
	out := map[string]int{}
	for _, p := range plans {
		for _, e := range p.endpoints {
			if e.Hints != nil {
				out[e.Hints.ForZones[0].Name]++
			}
		}
	}
	return out
}

// The figures are those of upstream's algorithm (topologycache.AddHints).
func TestAllot(t *testing.T) {
	nodes := nodeMap(newNode("a", "east", "1"), newNode("b", "west", "1"))
	half := map[string]float64{"east": 0.5, "west": 0.5}
	for _, tc := range []struct {
		name       string
		east, west int // pods
		share      map[string]float64
		want       map[string]int
		note       string
	}{
		{"as they are", 2, 2, half, map[string]int{"east": 2, "west": 2}, "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"},
		{"one side gives", 6, 2, half, map[string]int{"east": 4, "west": 4}, "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"},
		{"all of one side", 4, 0, half, map[string]int{"east": 2, "west": 2}, "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"},
		{"by share", 4, 4, map[string]float64{"east": 0.75, "west": 0.25}, map[string]int{"east": 6, "west": 2}, "TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"},
		{"too few", 1, 0, half, map[string]int{}, "TopologyAwareHintsDisabled: Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4"},
		{"uneven", 1, 2, half, map[string]int{}, "TopologyAwareHintsDisabled: Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 2 zones), addressType: IPv4"},
		{"no information", 2, 2, nil, map[string]int{}, "TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			svc := newService(auto)
			list := append(pods(0, tc.east, on("a")), pods(tc.east, tc.east+tc.west, on("b"))...)
			groups := want(svc, list)
			place(svc, groups, nodes)
			plans, _ := plan(svc, groups, nil)
			notes := allot(svc, plans, tc.share)
			if got := zonesOf(plans); !maps.Equal(got, tc.want) {
				t.Errorf("endpoints by zone %v, want %v", got, tc.want)
			}
			if len(notes) != 1 || notes[0].Reason+": "+notes[0].Message != tc.note || notes[0].Warning != strings.Contains(tc.note, "Disabled") {
				t.Errorf("notes %+v, want %s", notes, tc.note)
			}
		})
	}
}

// A slice that does not change keeps its hints, one that does is adapted to the others.
func TestHintsStay(t *testing.T) {
	nodes := nodeMap(newNode("a", "east", "1"), newNode("b", "west", "1"))
	svc, s := newService(auto), &state{}
	step := func(list []*backends.Pod, share map[string]float64) (string, []client.Note) {
		groups := want(svc, list)
		place(svc, groups, nodes)
		plans, left := plan(svc, groups, s.slices)
		notes := allot(svc, plans, share)
		return s.apply(diff(svc, plans, left, time.Time{})), notes
	}
	half := map[string]float64{"east": 0.5, "west": 0.5}
	list := append(pods(0, 130, on("a")), pods(130, 200, on("b"))...)
	if got, notes := step(list, half); got != "2 created, 0 updated, 0 deleted" || len(notes) != 1 {
		t.Fatal(got, notes)
	}
	for range 3 {
		if got, notes := step(list, half); got != "0 created, 0 updated, 0 deleted" || len(notes) > 0 {
			t.Fatal(got, notes)
		}
	}
	if got, _ := step(append(slices.Clone(list[:199]), newPod("other", "10.9.9.9", on("b"))), half); got != "0 created, 1 updated, 0 deleted" {
		t.Errorf("a pod replaced: %s", got)
	}
	if got, _ := step(list[:199], nil); got != "0 created, 2 updated, 0 deleted" {
		t.Errorf("without information: %s", got)
	}
	for _, x := range s.slices {
		if hinted(x.Endpoints) {
			t.Error("hints are left")
		}
	}
}

func TestTriggered(t *testing.T) {
	at := func(minute int) metav1.Time { return metav1.NewTime(time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC)) }
	changed := func(minute int) func(*backends.Pod) {
		return func(p *backends.Pod) { p.Status.Conditions[0].LastTransitionTime = at(minute) }
	}
	svc, s := newService(func(s *corev1.Service) { s.CreationTimestamp = at(1) }), &state{}
	for _, step := range []struct {
		name string
		pods []*backends.Pod
		want string
	}{
		{"a new Service", []*backends.Pod{newPod("a", "10.0.0.1", changed(2))}, "2026-01-01T12:01:00Z"},
		{"more pods", []*backends.Pod{newPod("a", "10.0.0.1", changed(2)), newPod("b", "10.0.0.2", changed(4)), newPod("c", "10.0.0.3", changed(3))}, "2026-01-01T12:03:00Z"},
		{"one is not ready", []*backends.Pod{newPod("a", "10.0.0.1", changed(5), unready), newPod("b", "10.0.0.2", changed(4)), newPod("c", "10.0.0.3", changed(3))}, "2026-01-01T12:05:00Z"},
		{"one has gone", []*backends.Pod{newPod("a", "10.0.0.1", changed(5), unready), newPod("b", "10.0.0.2", changed(4))}, ""},
	} {
		groups := want(svc, step.pods)
		plans, left := plan(svc, groups, s.slices)
		s.apply(diff(svc, plans, left, triggered(svc, step.pods, s.slices)))
		if got := s.slices[0].Annotations[corev1.EndpointsLastChangeTriggerTime]; got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// A change of nodes is of interest to the Services that keep traffic near.
func TestTopology(t *testing.T) {
	other, plain := newService(near("PreferSameZone")), newService()
	other.Name, plain.Name = "near", "plain"
	s, err := sdktest.NewStore(newService(auto), other, plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reconcile(s.Client(), topology)
	want := []controller.Request{{Namespace: "default", Name: "near"}, {Namespace: "default", Name: "web"}}
	if diff := cmp.Diff(want, got.Enqueue); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestNodesOf(t *testing.T) {
	var objects []client.Object
	for i := range 30 {
		objects = append(objects, newNode(fmt.Sprint("n", i), "east", "1"))
	}
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{2: 2, 29: 30} {
		var list []*backends.Pod
		for i := range n {
			list = append(list, newPod(fmt.Sprint("p", i), "10.0.0.1", on(fmt.Sprint("n", i))))
		}
		list = append(list, newPod("q", "10.0.0.1", on("gone")), newPod("r", "10.0.0.1", unbound))
		got, err := nodesOf(s.Client(), list)
		if err != nil || len(got) != want || got["gone"] != nil || got["n1"] == nil {
			t.Errorf("of pods on %d nodes: %d nodes, %v; want %d", n, len(got), err, want)
		}
	}
}
