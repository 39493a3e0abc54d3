package replicaset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newSet(n int32) *appsv1.ReplicaSet {
	labels := map[string]string{"app": "web"}
	rs := &appsv1.ReplicaSet{Spec: appsv1.ReplicaSetSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels}}}
	rs.Name, rs.Namespace, rs.UID, rs.Generation = "web", "default", "rs", 3
	rs.Spec.Template.Labels = labels
	return rs
}

// newPodOf is a running, ready pod of the set, changed by the functions.
func newPodOf(rs *appsv1.ReplicaSet, name string, change ...func(*pod)) *pod {
	p := &pod{}
	p.Name, p.Namespace, p.UID = name, rs.Namespace, name
	p.Labels = rs.Spec.Template.Labels
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	p.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(rs, "apps/v1", kind)}
	p.Spec.NodeName = "node"
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []condition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour))}}
	for _, f := range change {
		f(p)
	}
	return p
}

func unassigned(p *pod) { p.Spec.NodeName = "" }
func pending(p *pod)    { p.Status.Phase = corev1.PodPending }
func unready(p *pod)    { p.Status.Conditions[0].Status = corev1.ConditionFalse }
func cheap(p *pod)      { p.Annotations = map[string]string{deletionCost: "-10"} }
func restarting(p *pod) { p.Status.ContainerStatuses = []restarted{{1}, {5}} }
func on(node string) func(*pod) {
	return func(p *pod) { p.Spec.NodeName = node }
}
func readyFor(d time.Duration) func(*pod) {
	return func(p *pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-d)) }
}
func aged(d time.Duration) func(*pod) {
	return func(p *pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
}
func deleted(p *pod)  { at := metav1.NewTime(now); p.DeletionTimestamp = &at }
func finished(p *pod) { p.Status.Phase = corev1.PodFailed }
func relabelled(p *pod) {
	p.Labels = map[string]string{"app": "other"}
}

func names(pods []*pod) (out []string) {
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}

// Each pair is in the order of deletion: the first goes before the second.
func TestDeletionOrder(t *testing.T) {
	rs := newSet(0)
	for name, pair := range map[string][2]*pod{
		"unassigned before assigned":   {newPodOf(rs, "b", unassigned), newPodOf(rs, "a", pending, unready)},
		"pending before running":       {newPodOf(rs, "b", pending), newPodOf(rs, "a", unready)},
		"not ready before ready":       {newPodOf(rs, "b", unready), newPodOf(rs, "a", cheap)},
		"low deletion cost first":      {newPodOf(rs, "b", cheap), newPodOf(rs, "a", on("crowded"))},
		"crowded node before others":   {newPodOf(rs, "b", on("crowded")), newPodOf(rs, "a", readyFor(time.Second))},
		"ready shortly before long":    {newPodOf(rs, "b", readyFor(time.Minute)), newPodOf(rs, "a", restarting)},
		"ready about as long: by uid":  {newPodOf(rs, "a", readyFor(50*time.Minute)), newPodOf(rs, "b", readyFor(49*time.Minute))},
		"restarted before steady":      {newPodOf(rs, "b", restarting), newPodOf(rs, "a", aged(time.Minute))},
		"young before old":             {newPodOf(rs, "b", aged(time.Minute)), newPodOf(rs, "a")},
		"a bad cost is no cost at all": {newPodOf(rs, "b", cheap), newPodOf(rs, "a", func(p *pod) { p.Annotations = map[string]string{deletionCost: "-1000000000000"} })},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][]*pod{{pair[0], pair[1]}, {pair[1], pair[0]}} {
				got := choose(order, map[string]int{"crowded": 3, "node": 1}, 1, now)
				if got[0] != pair[0] {
					t.Errorf("of %v %s goes first", names(order), got[0].Name)
				}
			}
		})
	}
}

func TestSort(t *testing.T) {
	rs, other := newSet(1), newSet(1)
	other.UID = "other"
	own, astray := sort(rs, []*pod{newPodOf(rs, "mine"), newPodOf(rs, "going", deleted), newPodOf(rs, "done", finished),
		newPodOf(rs, "done and going", finished, deleted), newPodOf(rs, "astray", relabelled), newPodOf(rs, "astray and going", relabelled, deleted), newPodOf(other, "theirs")})
	if diff := cmp.Diff([]string{"mine"}, names(own.active)); diff != "" {
		t.Errorf("active (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"astray"}, names(astray)); diff != "" {
		t.Errorf("astray (-want +got):\n%s", diff)
	}
	if own.terminating != 1 {
		t.Errorf("terminating = %d, want 1", own.terminating)
	}
}

func TestSummarize(t *testing.T) {
	rs := newSet(4)
	rs.Spec.MinReadySeconds = 30
	rs.Spec.Template.Labels = map[string]string{"app": "web", "tier": "front"}
	plain := func(p *pod) { p.Labels = map[string]string{"app": "web"} }
	pods := owned{terminating: 2, active: []*pod{newPodOf(rs, "a"), newPodOf(rs, "b", readyFor(10*time.Second)), newPodOf(rs, "c", readyFor(20*time.Second), plain), newPodOf(rs, "d", unready)}}
	got, wait := summarize(rs, pods, nil, now)
	two := int32(2)
	want := appsv1.ReplicaSetStatus{Replicas: 4, FullyLabeledReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 1, TerminatingReplicas: &two, ObservedGeneration: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if wait != 10*time.Second {
		t.Errorf("looks again in %v, want 10s", wait)
	}
	rs.Spec.MinReadySeconds = 0
	ahead := newPodOf(rs, "e", readyFor(-time.Minute)) // its node's clock is ahead
	if got, wait := summarize(rs, owned{active: []*pod{ahead}}, nil, now); got.AvailableReplicas != 1 || wait != 0 {
		t.Errorf("without minReadySeconds: %d available, wait %v", got.AvailableReplicas, wait)
	}
}

func TestFailureIsToldOnce(t *testing.T) {
	rs := newSet(2)
	rs.Status.Conditions = failure(rs, 1, errors.New("pod a refused"), now)
	if c := rs.Status.Conditions[0]; c.Reason != "FailedCreate" || c.Message != "pod a refused" {
		t.Errorf("condition = %+v", c)
	}
	again := failure(rs, 1, errors.New("pod b refused"), now.Add(time.Minute))
	if diff := cmp.Diff(rs.Status.Conditions, again); diff != "" {
		t.Errorf("another message changes the condition (-want +got):\n%s", diff)
	}
	if got := failure(rs, 2, nil, now); len(got) != 0 {
		t.Errorf("conditions after success = %+v", got)
	}
	if got := failure(newSet(2), 3, errors.New("x"), now); got[0].Reason != "FailedDelete" {
		t.Errorf("reason with too many pods = %s", got[0].Reason)
	}
}

func TestPrefix(t *testing.T) {
	if got := prefix(strings.Repeat("x", 100)); len(got) != 58 {
		t.Errorf("prefix of a long name has %d characters, want 58", len(got))
	}
}

// batches counts what goes through a client.
type batches struct {
	client.Client
	sizes []int
	fail  error
}

func (b *batches) Batch(ops []client.Op, atomic bool) ([]error, error) {
	b.sizes = append(b.sizes, len(ops))
	if b.fail != nil {
		return slices.Repeat([]error{b.fail}, len(ops)), nil
	}
	return b.Client.Batch(ops, atomic)
}

func TestCreatesInBatches(t *testing.T) {
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	rs := newSet(4000)
	c := &batches{Client: s.Client()}
	var pods []*pod
	for more := true; more; {
		if pods, more, err = scale(c, rs, pods, now); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int{500, 500, 1000, 2000}, c.sizes); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	unique := map[string]bool{}
	for _, p := range pods {
		unique[p.Name] = p.Name != "" && p.UID != ""
	}
	if len(unique) != 4000 || len(s.Keys()) != 4000 {
		t.Errorf("%d pods known, %d stored, want 4000", len(unique), len(s.Keys()))
	}
	want := []string{"web SuccessfulCreate: Created 500 pods", "web SuccessfulCreate: Created 500 pods",
		"web SuccessfulCreate: Created 1000 pods", "web SuccessfulCreate: Created 2000 pods"}
	if diff := cmp.Diff(want, s.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	n := int32(1)
	rs.Spec.Replicas, c.sizes = &n, nil
	for more := true; more; {
		if pods, more, err = scale(c, rs, pods, now); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int{2000, 1999}, c.sizes); diff != "" || len(s.Keys()) != 1 {
		t.Errorf("%d pods are left; batches (-want +got):\n%s", len(s.Keys()), diff)
	}
}

func TestScaleFails(t *testing.T) {
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	c := &batches{Client: s.Client(), fail: errors.New("quota")}
	rs := newSet(3)
	pods, more, err := scale(c, rs, []*pod{newPodOf(rs, "a")}, now)
	if err == nil || more || len(pods) != 1 {
		t.Errorf("scale up = %v, more %v, %v", names(pods), more, err)
	}
	n := int32(0)
	rs.Spec.Replicas = &n
	pods, more, err = scale(c, rs, []*pod{newPodOf(rs, "a")}, now)
	if err == nil || more || len(pods) != 1 {
		t.Errorf("scale down = %v, more %v, %v", names(pods), more, err)
	}
	want := []string{"web FailedCreate: Error creating: quota", "web FailedDelete: Error deleting: quota"}
	if diff := cmp.Diff(want, s.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestNewPod(t *testing.T) {
	rs := newSet(1)
	rs.Spec.Template.Annotations = map[string]string{"a": "b"}
	rs.Spec.Template.Spec.NodeSelector = map[string]string{"zone": "z"}
	p := newPod(rs)
	got := fmt.Sprint(p.Namespace, " ", p.GenerateName, " ", p.Name, p.Labels, p.Annotations, p.Spec.NodeSelector, metav1.IsControlledBy(p, rs))
	if want := "default web- map[app:web] map[a:b] map[zone:z] true"; got != want {
		t.Errorf("pod = %s, want %s", got, want)
	}
}
