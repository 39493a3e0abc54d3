package replicas

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// sets is the kind of the tests.
var sets = &Kind{Resource: "apps/v1/replicasets", APIVersion: "apps/v1", Name: "ReplicaSet", CountsTerminating: true}

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newSet(n int) *Set {
	labels := map[string]string{"app": "web"}
	s := &Set{Replicas: n, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: &corev1.PodTemplateSpec{}}
	s.Name, s.Namespace, s.UID, s.Generation = "web", "default", "rs", 3
	s.Template.Labels = labels
	s.Object = &appsv1.ReplicaSet{ObjectMeta: s.ObjectMeta}
	return s
}

// newPodOf is a running, ready pod of the set, changed by the functions.
func newPodOf(rs *Set, name string, change ...func(*pod)) *pod {
	p := &pod{}
	p.Name, p.Namespace, p.UID = name, rs.Namespace, name
	p.Labels = rs.Template.Labels
	p.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	p.OwnerReferences = []metav1.OwnerReference{sets.ownedBy(rs)}
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
func cheap(p *pod)      { costs("-10")(p) }
func restarting(p *pod) { p.Status.ContainerStatuses = []restarted{{"a", 1}, {"b", 5}} }

// sidecar restarts an init container that goes on beside the others; initialized one
// that came before them.
func sidecar(p *pod) {
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = []initContainer{{Name: "init"}, {Name: "proxy", RestartPolicy: &always}}
	p.Status.InitContainerStatuses = []restarted{{"init", 0}, {"proxy", 3}}
}
func initialized(p *pod) {
	p.Spec.InitContainers = []initContainer{{Name: "init"}}
	p.Status.InitContainerStatuses = []restarted{{"init", 9}}
}
func costs(text string) func(*pod) {
	return func(p *pod) { p.Annotations = map[string]string{deletionCost: text} }
}
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
		"unassigned before assigned":               {newPodOf(rs, "b", unassigned), newPodOf(rs, "a", pending, unready)},
		"pending before running":                   {newPodOf(rs, "b", pending), newPodOf(rs, "a", unready)},
		"not ready before ready":                   {newPodOf(rs, "b", unready), newPodOf(rs, "a", cheap)},
		"low deletion cost first":                  {newPodOf(rs, "b", cheap), newPodOf(rs, "a", on("crowded"))},
		"crowded node before others":               {newPodOf(rs, "b", on("crowded")), newPodOf(rs, "a", readyFor(time.Second))},
		"ready shortly before long":                {newPodOf(rs, "b", readyFor(time.Minute)), newPodOf(rs, "a", restarting)},
		"ready about as long: by uid":              {newPodOf(rs, "a", readyFor(50*time.Minute)), newPodOf(rs, "b", readyFor(49*time.Minute))},
		"restarted before steady":                  {newPodOf(rs, "b", restarting), newPodOf(rs, "a", aged(time.Minute))},
		"restarts of all before those of sidecars": {newPodOf(rs, "b", restarting), newPodOf(rs, "a", sidecar)},
		"restarted sidecars before steady":         {newPodOf(rs, "b", sidecar), newPodOf(rs, "a", aged(time.Minute))},
		"what came before does not restart":        {newPodOf(rs, "b", aged(time.Minute)), newPodOf(rs, "a", initialized)},
		"a cost of +1 is none":                     {newPodOf(rs, "b", costs("+100"), aged(time.Minute)), newPodOf(rs, "a", costs("5"))},
		"a cost of 008 is none":                    {newPodOf(rs, "b", costs("008"), aged(time.Minute)), newPodOf(rs, "a", costs("5"))},
		"a cost of 0 is one":                       {newPodOf(rs, "b", costs("0")), newPodOf(rs, "a", costs("5"))},
		"young before old":                         {newPodOf(rs, "b", aged(time.Minute)), newPodOf(rs, "a")},
		"a bad cost is no cost at all":             {newPodOf(rs, "b", cheap), newPodOf(rs, "a", costs("-1000000000000"))},
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
	rs.MinReady = 30 * time.Second
	rs.Template.Labels = map[string]string{"app": "web", "tier": "front"}
	plain := func(p *pod) { p.Labels = map[string]string{"app": "web"} }
	pods := owned{terminating: 2, active: []*pod{newPodOf(rs, "a"), newPodOf(rs, "b", readyFor(10*time.Second)), newPodOf(rs, "c", readyFor(20*time.Second), plain), newPodOf(rs, "d", unready)}}
	got, wait := sets.summarize(rs, pods, nil, now)
	two := int32(2)
	want := Status{Replicas: 4, FullyLabeledReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 1, TerminatingReplicas: &two, ObservedGeneration: 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if wait != 10*time.Second {
		t.Errorf("looks again in %v, want 10s", wait)
	}
	rs.MinReady = 0
	ahead := newPodOf(rs, "e", readyFor(-time.Minute)) // its node's clock is ahead
	if got, wait := sets.summarize(rs, owned{active: []*pod{ahead}}, nil, now); got.AvailableReplicas != 1 || wait != 0 {
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
		if pods, more, err = sets.scale(c, rs, pods, now); err != nil {
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
	rs.Replicas, c.sizes = 1, nil
	for more := true; more; {
		if pods, more, err = sets.scale(c, rs, pods, now); err != nil {
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
	pods, more, err := sets.scale(c, rs, []*pod{newPodOf(rs, "a")}, now)
	if err == nil || more || len(pods) != 1 {
		t.Errorf("scale up = %v, more %v, %v", names(pods), more, err)
	}
	rs.Replicas = 0
	pods, more, err = sets.scale(c, rs, []*pod{newPodOf(rs, "a")}, now)
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
	rs.Template.Annotations = map[string]string{"a": "b"}
	rs.Template.Spec.NodeSelector = map[string]string{"zone": "z"}
	p := sets.newPod(rs)
	got := fmt.Sprint(p.Namespace, " ", p.GenerateName, " ", p.Name, p.Labels, p.Annotations, p.Spec.NodeSelector, metav1.IsControlledBy(p, rs))
	if want := "default web- map[app:web] map[a:b] map[zone:z] true"; got != want {
		t.Errorf("pod = %s, want %s", got, want)
	}
}

// What was refused is tried by one pod, then two, four and so on, until one is
// refused again.
func TestSlowStart(t *testing.T) {
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	rs := newSet(40)
	rs.Status.Conditions = failure(rs, 0, errors.New("quota"), now)
	c := &batches{Client: s.Client()}
	if _, _, err := sets.scale(c, rs, nil, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 9}, c.sizes); diff != "" || len(s.Keys()) != 40 {
		t.Errorf("%d pods; batches (-want +got):\n%s", len(s.Keys()), diff)
	}
	c.sizes, c.fail = nil, errors.New("quota")
	if _, _, err := sets.scale(c, rs, nil, now); err == nil {
		t.Error("nothing failed")
	}
	if diff := cmp.Diff([]int{1}, c.sizes); diff != "" {
		t.Errorf("batches of what is refused (-want +got):\n%s", diff)
	}
}

// A kind whose status has no such field is not told.
func TestTerminatingNotCounted(t *testing.T) {
	k := *sets
	k.CountsTerminating = false
	if got, _ := k.summarize(newSet(1), owned{terminating: 2}, nil, now); got.TerminatingReplicas != nil {
		t.Errorf("terminating = %d, want none", *got.TerminatingReplicas)
	}
}

// A pod that does not say since when it is ready is not available yet.
func TestReadyWithoutATime(t *testing.T) {
	rs := newSet(1)
	rs.MinReady = 30 * time.Second
	p := newPodOf(rs, "a", func(p *pod) { p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(time.Time{}) })
	if got, wait := sets.summarize(rs, owned{active: []*pod{p}}, nil, now); got.AvailableReplicas != 0 || wait != 30*time.Second {
		t.Errorf("%d available, looks again in %v, want 0, 30s", got.AvailableReplicas, wait)
	}
}
