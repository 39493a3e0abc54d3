package deployment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// sizes writes the sets as "image:spec/available", in order of creation.
func (w *world) sizes() string {
	var out []string
	for _, rs := range w.sets {
		out = append(out, fmt.Sprintf("%s:%d/%d", rs.Spec.Template.Annotations["image"], *rs.Spec.Replicas, rs.Status.AvailableReplicas))
	}
	return strings.Join(out, " ")
}

// steps runs rounds with all controllers prompt and returns each new picture.
func (w *world) steps(t *testing.T) []string {
	t.Helper()
	var out []string
	for range 100 {
		busy := w.round(t)
		for i := range w.sets {
			busy = w.serve(i, 1000) || busy
		}
		if s := w.sizes(); len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
		if !busy {
			return out
		}
	}
	t.Fatalf("no end: %v", out)
	return nil
}

func TestRollingUpdateSteps(t *testing.T) {
	for _, tc := range []struct {
		surge, unavailable intstr.IntOrString
		want               []string
	}{
		{intstr.FromInt(1), intstr.FromInt(0), []string{"one:4/4 two:1/1", "one:3/3 two:1/1", "one:3/3 two:2/2", "one:2/2 two:2/2", "one:2/2 two:3/3", "one:1/1 two:3/3", "one:1/1 two:4/4", "one:0/0 two:4/4"}},
		{intstr.FromInt(0), intstr.FromInt(2), []string{"one:4/4 two:0/0", "one:2/2 two:0/0", "one:2/2 two:2/2", "one:0/0 two:2/2", "one:0/0 two:4/4"}},
		{intstr.FromString("100%"), intstr.FromInt(0), []string{"one:4/4 two:4/4", "one:0/0 two:4/4"}},
		{intstr.FromString("25%"), intstr.FromString("25%"), []string{"one:4/4 two:1/1", "one:2/2 two:1/1", "one:2/2 two:3/3", "one:0/0 two:3/3", "one:0/0 two:4/4"}},
		{intstr.FromInt(0), intstr.FromInt(0), []string{"one:4/4 two:0/0", "one:3/3 two:0/0", "one:3/3 two:1/1", "one:2/2 two:1/1", "one:2/2 two:2/2", "one:1/1 two:2/2", "one:1/1 two:3/3", "one:0/0 two:3/3", "one:0/0 two:4/4"}},
	} {
		t.Run(tc.surge.String()+" "+tc.unavailable.String(), func(t *testing.T) {
			w := newWorld(4, tc.surge, tc.unavailable)
			w.converge(t, nil, nil)
			w.image("two")
			if diff := cmp.Diff(tc.want, w.steps(t)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnhealthyPodsGoFirst(t *testing.T) {
	w := newWorld(10, intstr.FromInt(2), intstr.FromInt(2))
	w.broken = "two"
	w.image("one")
	w.converge(t, nil, nil)
	w.image("two")
	w.converge(t, nil, nil)
	if got, want := w.sizes(), "one:8/8 two:4/0"; got != want {
		t.Fatalf("stuck rollout = %s, want %s", got, want)
	}
	w.image("three")
	w.converge(t, nil, nil)
	if got, want := w.sizes(), "one:0/0 two:0/0 three:10/10"; got != want {
		t.Errorf("after the fix = %s, want %s", got, want)
	}
	// The broken pods made room: the working ones were not needed for it.
	w = newWorld(10, intstr.FromInt(2), intstr.FromInt(2))
	w.broken = "two"
	w.converge(t, nil, nil)
	w.image("two")
	w.converge(t, nil, nil)
	w.image("three")
	w.round(t) // a set for three, as large as there is room: none
	w.round(t)
	if got, want := w.sizes(), "one:8/8 two:0/0 three:0/0"; got != want {
		t.Errorf("cleanup = %s, want %s", got, want)
	}
}

func TestProportionalScaling(t *testing.T) {
	for _, tc := range []struct {
		name        string
		old, now    int32 // sizes in the middle of a rollout of 10 with a surge of 3
		to          int32
		wOld, wSize int32
	}{
		{"up", 8, 5, 15, 11, 7},
		{"down", 8, 5, 5, 5, 3},
		{"to zero", 8, 5, 0, 0, 0},
		{"up by one", 8, 5, 11, 9, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(10, intstr.FromInt(3), intstr.FromInt(2))
			w.converge(t, nil, nil)
			w.broken = "two"
			w.image("two")
			w.converge(t, nil, nil)
			if got, want := w.sizes(), fmt.Sprintf("one:%d/%d two:%d/0", tc.old, tc.old, tc.now); got != want {
				t.Fatalf("rollout = %s, want %s", got, want)
			}
			w.resize(tc.to)
			w.round(t)
			got := [2]int32{*w.sets[0].Spec.Replicas, *w.sets[1].Spec.Replicas}
			if want := [2]int32{tc.wOld, tc.wSize}; got != want {
				t.Errorf("sizes = %v, want %v", got, want)
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(4, intstr.FromInt(1), intstr.FromInt(0))
	w.converge(t, nil, nil)
	w.d.Spec.Paused = true
	w.image("two")
	w.resize(6)
	w.converge(t, nil, nil)
	if got, want := w.sizes(), "one:6/6"; got != want {
		t.Errorf("paused = %s, want %s", got, want)
	}
	if got := reason(w); got != "Unknown DeploymentPaused" {
		t.Errorf("paused: progressing = %s", got)
	}
	w.d.Spec.Paused = false
	w.round(t)
	if got := reason(w); got != "Unknown DeploymentResumed" {
		t.Errorf("resumed: progressing = %s", got)
	}
	w.converge(t, nil, nil)
	if got, want := w.sizes(), "one:0/0 two:6/6"; got != want {
		t.Errorf("resumed = %s, want %s", got, want)
	}
}

func reason(w *world) string {
	c := find(w.d.Status.Conditions, appsv1.DeploymentProgressing)
	if c == nil {
		return "none"
	}
	return string(c.Status) + " " + c.Reason
}

func TestRecreate(t *testing.T) {
	w := newWorld(3, intstr.FromInt(0), intstr.FromInt(0))
	w.d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	w.converge(t, nil, nil)
	w.image("two")
	want := []string{"one:0/0", "one:0/0 two:3/3"}
	if diff := cmp.Diff(want, w.steps(t)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	w.image("three")
	w.round(t)
	if p, err := makePlan(w.d, w.sets, 1, w.now); err != nil || p.create != nil {
		t.Errorf("with an old pod left the plan creates %v (%v)", p.create, err)
	}
}

func TestRevisions(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	w.d.Annotations = map[string]string{"kubernetes.io/change-cause": "first", lastApplied: "{}"}
	w.round(t)
	first := w.sets[0].Annotations
	if first["kubernetes.io/change-cause"] != "first" || first[lastApplied] != "" || first[revisionAnnotation] != "1" {
		t.Errorf("annotations of the first set = %v", first)
	}
	w.converge(t, nil, nil)
	w.image("two")
	w.converge(t, nil, nil)
	w.image("one") // undo
	w.converge(t, nil, nil)
	var got []string
	for _, rs := range w.sets {
		got = append(got, rs.Annotations[revisionAnnotation]+" after "+rs.Annotations[historyAnnotation])
	}
	if diff := cmp.Diff([]string{"3 after 1", "2 after "}, got); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	if got := w.d.Annotations[revisionAnnotation]; got != "3" {
		t.Errorf("the Deployment shows revision %s, want 3", got)
	}
	if len(w.sets) != 2 {
		t.Errorf("%d sets, want 2: an undone template is used again", len(w.sets))
	}
}

func TestRemember(t *testing.T) {
	list := ""
	for i := range 3000 {
		list = remember(list, i)
	}
	if len(list) > maxHistory || !strings.HasSuffix(list, ",2998,2999") {
		t.Errorf("%d bytes, ending %q", len(list), list[len(list)-20:])
	}
}

func TestHistoryCleanup(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	limit := int32(2)
	w.d.Spec.RevisionHistoryLimit = &limit
	for i := range 6 {
		w.image(fmt.Sprint("image", i))
		w.converge(t, nil, nil)
	}
	if len(w.sets) != 3 || w.removed != 3 {
		t.Errorf("%d sets are left and %d were removed, want 3 and 3: %s", len(w.sets), w.removed, w.sizes())
	}
}

func TestProgressDeadline(t *testing.T) {
	w := newWorld(2, intstr.FromInt(1), intstr.FromInt(0))
	w.broken = "one"
	w.converge(t, nil, nil)
	if got := reason(w); got != "True ReplicaSetUpdated" && got != "True NewReplicaSetCreated" {
		t.Errorf("while it waits: progressing = %s", got)
	}
	p, err := makePlan(w.d, w.sets, 0, w.now)
	if err != nil || p.again < 500*time.Second || p.again > 602*time.Second {
		t.Errorf("looks again in %v (%v), want about the deadline", p.again, err)
	}
	w.now = w.now.Add(p.again)
	w.round(t)
	if got := reason(w); got != "False ProgressDeadlineExceeded" {
		t.Errorf("after the deadline: progressing = %s", got)
	}
	w.broken = ""
	w.converge(t, nil, nil)
	if got := reason(w); got != "True NewReplicaSetAvailable" {
		t.Errorf("in the end: progressing = %s", got)
	}
	// A pod lost after that is no rollout.
	rs := w.sets[0]
	rs.Status.AvailableReplicas, rs.Status.ReadyReplicas = 1, 1
	w.now = w.now.Add(time.Hour)
	w.round(t)
	if got := reason(w); got != "True NewReplicaSetAvailable" {
		t.Errorf("with a pod down: progressing = %s", got)
	}
	if c := find(w.d.Status.Conditions, appsv1.DeploymentAvailable); c.Status != "False" || c.Reason != "MinimumReplicasUnavailable" {
		t.Errorf("with a pod down: available = %+v", c)
	}
	w.d.Spec.ProgressDeadlineSeconds = nil
	w.round(t)
	if got := reason(w); got != "none" {
		t.Errorf("without a deadline: progressing = %s", got)
	}
}

func TestReplicaFailureIsPassedOn(t *testing.T) {
	w := newWorld(2, intstr.FromInt(1), intstr.FromInt(0))
	w.round(t)
	w.sets[0].Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: "True", Reason: "FailedCreate", Message: "quota"}}
	w.round(t)
	if c := find(w.d.Status.Conditions, appsv1.DeploymentReplicaFailure); c == nil || c.Reason != "FailedCreate" || c.Message != "quota" {
		t.Errorf("failure = %+v", c)
	}
	w.sets[0].Status.Conditions = nil
	w.round(t)
	if c := find(w.d.Status.Conditions, appsv1.DeploymentReplicaFailure); c != nil {
		t.Errorf("failure stays: %+v", c)
	}
}

func TestMinReadySecondsReachTheSet(t *testing.T) {
	w := newWorld(2, intstr.FromInt(1), intstr.FromInt(0))
	w.converge(t, nil, nil)
	w.d.Spec.MinReadySeconds = 7
	w.converge(t, nil, nil)
	if got := w.sets[0].Spec.MinReadySeconds; got != 7 {
		t.Errorf("minReadySeconds = %d, want 7", got)
	}
}

func TestNamesOfSets(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	w.d.Name = strings.Repeat("n", 253)
	w.round(t)
	rs := w.sets[0]
	if len(rs.Name) > 253 || rs.Labels[hashLabel] == "" || rs.Spec.Selector.MatchLabels[hashLabel] != rs.Labels[hashLabel] ||
		rs.Spec.Template.Labels[hashLabel] != rs.Labels[hashLabel] || !strings.HasSuffix(rs.Name, "-"+rs.Labels[hashLabel]) {
		t.Errorf("set %s, labels %v", rs.Name, rs.Labels)
	}
	before := templateHash(w.d)
	one := int32(1)
	w.d.Status.CollisionCount = &one
	if templateHash(w.d) == before {
		t.Error("a collision does not change the name")
	}
}

func TestFindNew(t *testing.T) {
	w := newWorld(1, intstr.FromInt(1), intstr.FromInt(0))
	w.round(t)
	twin := *w.sets[0]
	twin.Name, twin.UID, twin.CreationTimestamp = "older", "older", metav1.NewTime(w.now.Add(-time.Hour))
	if got := findNew(w.d, []*appsv1.ReplicaSet{w.sets[0], &twin}); got.Name != "older" {
		t.Errorf("of two sets of one template %s is taken, want the older", got.Name)
	}
}
