package nodelifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	coordinationv1 "github.com/pintle-io/pintle/sdk/api/coordination/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func newNode(ready corev1.ConditionStatus) *nodeState {
	n := &nodeState{}
	n.Name = "n"
	if ready != "" {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	}
	return n
}

func show(list []corev1.Taint) string {
	var out []string
	for _, t := range list {
		s := strings.TrimPrefix(t.Key, "node.kubernetes.io/") + ":" + string(t.Effect)
		if t.TimeAdded != nil {
			s += " " + t.TimeAdded.Time().Format("15:04")
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestTaints(t *testing.T) {
	early := metav1.NewTime(start.Add(-time.Hour))
	with := func(n *nodeState, change func(*nodeState)) *nodeState { change(n); return n }
	for _, tc := range []struct {
		name string
		node *nodeState
		want string
	}{
		{"ready", newNode(corev1.ConditionTrue), ""},
		{"not ready", newNode(corev1.ConditionFalse), "not-ready:NoSchedule 12:00, not-ready:NoExecute 12:00"},
		{"unknown", newNode(corev1.ConditionUnknown), "unreachable:NoSchedule 12:00, unreachable:NoExecute 12:00"},
		{"never reported", newNode(""), "not-ready:NoSchedule 12:00, not-ready:NoExecute 12:00"},
		{"times stay", with(newNode(corev1.ConditionUnknown), func(n *nodeState) {
			n.Spec.Taints = []corev1.Taint{{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &early}}
		}), "unreachable:NoExecute 11:00, unreachable:NoSchedule 12:00"},
		{"one for the other", with(newNode(corev1.ConditionFalse), func(n *nodeState) {
			n.Spec.Taints = []corev1.Taint{{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &early}}
		}), "not-ready:NoSchedule 12:00, not-ready:NoExecute 12:00"},
		{"others' taints stay, doubles go", with(newNode(corev1.ConditionTrue), func(n *nodeState) {
			n.Spec.Taints = []corev1.Taint{{Key: "mine", Effect: corev1.TaintEffectNoExecute}, {Key: taintNotReady, Effect: corev1.TaintEffectNoSchedule},
				{Key: taintUnschedulable, Effect: corev1.TaintEffectNoSchedule}, {Key: taintNotReady, Effect: corev1.TaintEffectPreferNoSchedule}}
		}), "mine:NoExecute, not-ready:PreferNoSchedule"},
		{"cordoned, under pressure", with(newNode(corev1.ConditionTrue), func(n *nodeState) {
			n.Spec.Unschedulable = true
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue},
				corev1.NodeCondition{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse})
		}), "memory-pressure:NoSchedule 12:00, unschedulable:NoSchedule 12:00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := taints(tc.node, true, start)
			if show(got) != tc.want {
				t.Errorf("taints = %s, want %s", show(got), tc.want)
			}
			tc.node.Spec.Taints = got
			if again := taints(tc.node, true, start.Add(time.Hour)); !slices.Equal(got, again) {
				t.Errorf("an hour later: %s", show(again))
			}
		})
	}
}

func TestTolerated(t *testing.T) {
	at := metav1.NewTime(start.Add(-10 * time.Second))
	lost := corev1.Taint{Key: taintUnreachable, Effect: corev1.TaintEffectNoExecute, TimeAdded: &at}
	mine := corev1.Taint{Key: "mine", Value: "v", Effect: corev1.TaintEffectNoExecute}
	tol := func(key, op, value, effect string, seconds int64) corev1.Toleration {
		out := corev1.Toleration{Key: key, Operator: corev1.TolerationOperator(op), Value: value, Effect: corev1.TaintEffect(effect)}
		if seconds >= 0 {
			out.TolerationSeconds = &seconds
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		taints []corev1.Taint
		tols   []corev1.Toleration
		want   string
	}{
		{"not at all", []corev1.Taint{lost}, nil, "0s false"},
		{"for a while", []corev1.Taint{lost}, []corev1.Toleration{tol(taintUnreachable, "Exists", "", "NoExecute", 300)}, "4m50s false"},
		{"no longer", []corev1.Taint{lost}, []corev1.Toleration{tol(taintUnreachable, "Exists", "", "NoExecute", 5)}, "-5s false"},
		{"for good", []corev1.Taint{lost}, []corev1.Toleration{tol("", "Exists", "", "", -1)}, "0s true"},
		{"the first that matches counts", []corev1.Taint{lost}, []corev1.Toleration{tol("mine", "Exists", "", "", 5), tol(taintUnreachable, "Exists", "", "", 60), tol(taintUnreachable, "Exists", "", "", 30), tol("", "Exists", "", "", -1)}, "50s false"},
		{"of two taints the shorter time counts", []corev1.Taint{lost, mine}, []corev1.Toleration{tol(taintUnreachable, "Exists", "", "", 300), tol("mine", "Exists", "", "", 20)}, "20s false"},
		{"of two taints one is tolerated for good", []corev1.Taint{lost, mine}, []corev1.Toleration{tol(taintUnreachable, "Exists", "", "", 30), tol("mine", "Exists", "", "", -1)}, "20s false"},
		{"of two taints one is not tolerated", []corev1.Taint{lost, mine}, []corev1.Toleration{tol(taintUnreachable, "Exists", "", "", -1)}, "0s false"},
		{"by value", []corev1.Taint{mine}, []corev1.Toleration{tol("mine", "Equal", "v", "", -1)}, "0s true"},
		{"by value, operator left out", []corev1.Taint{mine}, []corev1.Toleration{tol("mine", "", "v", "", -1)}, "0s true"},
		{"another value", []corev1.Taint{mine}, []corev1.Toleration{tol("mine", "Equal", "w", "", -1)}, "0s false"},
		{"another effect", []corev1.Taint{mine}, []corev1.Toleration{tol("mine", "Exists", "", "NoSchedule", -1)}, "0s false"},
		{"an operator that compares", []corev1.Taint{mine}, []corev1.Toleration{tol("mine", "Lt", "v", "", -1)}, "0s false"},
		{"an empty key needs Exists", []corev1.Taint{mine}, []corev1.Toleration{tol("", "Equal", "v", "", -1)}, "0s false"},
		{"negative seconds are none", []corev1.Taint{mine}, []corev1.Toleration{{Key: "mine", Operator: "Exists", TolerationSeconds: new(int64)}}, "0s false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &corev1.Pod{}
			p.Spec.Tolerations = tc.tols
			since, _ := sinceOf(newNode(""), tc.taints, start)
			left, stays := tolerated(p, tc.taints, since, start)
			if got := fmt.Sprint(left, " ", stays); got != tc.want {
				t.Errorf("tolerated = %s, want %s", got, tc.want)
			}
		})
	}
	p := &corev1.Pod{}
	p.CreationTimestamp = metav1.NewTime(start)
	p.Spec.Tolerations = []corev1.Toleration{tol("", "Exists", "", "", 30)}
	since := []time.Time{at.Time()}
	if left, _ := tolerated(p, []corev1.Taint{lost}, since, start); left != 30*time.Second {
		t.Errorf("a pod younger than the taint stays %v, want 30s", left)
	}
	// It waited long for a node, and came to a tainted one.
	p.CreationTimestamp = metav1.NewTime(start.Add(-time.Hour))
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(start)}}
	if left, _ := tolerated(p, []corev1.Taint{lost}, since, start); left != 30*time.Second {
		t.Errorf("a pod bound just now stays %v, want 30s", left)
	}
}

// taint adds a taint as kubectl does, without a time.
func (l *lab) taint(t *testing.T, list ...corev1.Taint) {
	t.Helper()
	n := &nodeState{}
	if err := l.c.Get(n, "", "n"); err != nil {
		t.Fatal(err)
	}
	n.Spec.Taints = list
	if err := l.c.Update(n); err != nil {
		t.Fatal(err)
	}
}

// The time of a taint that has none counts from when the controller first saw
// it, over restarts of the controller.
func TestTaintWithoutTime(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	l.grace = time.Hour // the node stays healthy
	l.beat(t)
	db := corev1.Taint{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoExecute}
	l.taint(t, db)
	if again := l.after(t, 0); again != 30*time.Second {
		t.Errorf("looks again in %v, want when the toleration ends", again)
	}
	l.after(t, 10*time.Second)
	l.restarted()
	if again := l.after(t, 10*time.Second); again != 10*time.Second {
		t.Errorf("after a restart: looks again in %v, want 10s", again)
	}
	// Another value is another taint; the first one is forgotten.
	cache := db
	cache.Value = "cache"
	l.taint(t, cache)
	if again := l.after(t, 0); again != 30*time.Second {
		t.Errorf("another taint: looks again in %v, want 30s", again)
	}
	l.taint(t)
	l.after(t, time.Minute)
	n := &nodeState{}
	if err := l.c.Get(n, "", "n"); err != nil {
		t.Fatal(err)
	}
	if v, ok := n.Annotations[sinceAnnotation]; ok {
		t.Errorf("without taints the node is still annotated: %s", v)
	}
	l.taint(t, db)
	l.after(t, 29*time.Second)
	l.after(t, 29*time.Second)
	if got, want := l.state(t), "True, 1 taints, pod true"; got != want {
		t.Errorf("tolerated: %s, want %s", got, want)
	}
	l.after(t, time.Second)
	if got, want := l.state(t), "True, 1 taints, pod gone"; got != want {
		t.Errorf("evicted: %s, want %s", got, want)
	}
	if got := strings.Join(l.marks, ", "); got != "Running DisruptionTarget=True DeletionByTaintManager" {
		t.Errorf("marked as %q", got)
	}
}

func TestSinceOf(t *testing.T) {
	n := newNode(corev1.ConditionTrue)
	taints := []corev1.Taint{{Key: "mine", Effect: corev1.TaintEffectNoExecute}}
	for name, value := range map[string]string{"none": "", "nonsense": "{", "another type": `["x"]`, "no time": `{"mine=":"soon"}`, "the future": `{"mine=":"2030-01-01T00:00:00Z"}`} {
		n.Annotations = map[string]string{sinceAnnotation: value}
		since, annotation := sinceOf(n, taints, start)
		if !since[0].Equal(start) || annotation != `{"mine=":"2026-01-01T12:00:00Z"}` {
			t.Errorf("%s: since %v, annotation %s", name, since, annotation)
		}
	}
}

// lab is a node with a pod, and the keeper with a clock of its own.
type lab struct {
	*keeper
	store *sdktest.Store
	c     client.Client
	at    time.Time
	marks []string // what was written of pods before they were deleted
}

// spy notes the phase and the disruption that pods are marked with.
type spy struct {
	client.Client
	l *lab
}

func (s *spy) Batch(ops []client.Op, atomic bool) ([]error, error) {
	for _, op := range ops {
		p, ok := op.Object.(*corev1.Pod)
		if !ok || op.Subresource != "status" || !p.Ready() && p.Condition(corev1.DisruptionTarget) == nil && !p.Finished() {
			continue
		}
		mark := string(p.Status.Phase)
		if c := p.Condition(corev1.DisruptionTarget); c != nil {
			mark += fmt.Sprintf(" %s=%s %s", c.Type, c.Status, c.Reason)
		}
		s.l.marks = append(s.l.marks, mark)
	}
	return s.Client.Batch(ops, atomic)
}

func newLab(t *testing.T, node *nodeState) *lab {
	t.Helper()
	seconds := int64(30)
	p := &corev1.Pod{}
	p.Name, p.Namespace = "p", "default"
	p.Spec.NodeName = "n"
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists, TolerationSeconds: &seconds}}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	other := newNode(corev1.ConditionTrue)
	other.Name = "other"
	s, err := sdktest.NewStore(node, other, p)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{store: s, at: start}
	l.c = &spy{s.Client(), l}
	l.keeper = newKeeper(graces{40 * time.Second, time.Minute}, upstream, func() time.Time { return l.at })
	return l
}

var upstream = disruptionRules{unhealthy: 0.55, large: 50, rate: 0.1, secondary: 0.01}

// restarted is the controller after a restart.
func (l *lab) restarted() { l.keeper = newKeeper(l.graces, upstream, l.now) }

// pass lets time pass, in which another node gives signs of life.
func (l *lab) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := l.at.Add(d); l.at.Before(end); {
		if l.at = l.at.Add(l.grace / 4); l.at.After(end) {
			l.at = end
		}
		l.beatOf(t, "other")
		if _, err := l.reconcile(l.c, controller.Request{Name: "other"}); err != nil {
			t.Fatal(err)
		}
	}
}

// behind is a client that knows leases only as they were at first; a fresh list shows
// them as they are.
type behind struct {
	client.Client
	fresh int
}

func (b *behind) Get(obj client.Object, namespace, name string) error {
	if _, ok := obj.(*coordinationv1.Lease); ok {
		return wire.ErrNotFound
	}
	return b.Client.Get(obj, namespace, name)
}

func (b *behind) List(list any, o client.ListOptions) error {
	if _, ok := list.(*[]*coordinationv1.Lease); ok && o.Fresh {
		b.fresh++
	}
	return b.Client.List(list, o)
}

// TestBehind: a node that writes its lease is not given up because this controller does
// not see it.
func TestBehind(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	b := &behind{Client: l.c}
	l.c = b
	l.after(t, 0)
	for range 10 {
		l.beat(t)
		l.after(t, l.grace/2)
	}
	if got := l.state(t); !strings.HasPrefix(got, "True, 0 taints") || b.fresh == 0 {
		t.Errorf("after %d fresh lists: %s", b.fresh, got)
	}
	l.after(t, l.grace)
	l.after(t, l.grace)
	if got := l.state(t); !strings.HasPrefix(got, "Unknown") {
		t.Errorf("a node that is silent: %s", got)
	}
}

// after lets time pass and looks.
func (l *lab) after(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	l.pass(t, d)
	req := controller.Request{Name: "n"}
	res, err := l.reconcile(l.c, req)
	if slices.Contains(res.Enqueue, req) { // the first after a start
		res, err = l.reconcile(l.c, req)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res.RequeueAfter
}

func (l *lab) beat(t *testing.T) {
	t.Helper()
	l.beatOf(t, "n")
}

func (l *lab) beatOf(t *testing.T, node string) {
	t.Helper()
	renew := metav1.NewMicroTime(l.at)
	lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &renew}}
	lease.Namespace, lease.Name = leaseNamespace, node
	err := l.c.Update(lease)
	if client.IsNotFound(err) {
		err = l.c.Create(lease)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// state is the node's readiness and taints, and whether the pod is ready.
func (l *lab) state(t *testing.T) string {
	t.Helper()
	n, p := &nodeState{}, &corev1.Pod{}
	if err := l.c.Get(n, "", "n"); err != nil {
		return "no node"
	}
	status := corev1.ConditionStatus("none")
	if r := readyOf(n); r != nil {
		status = r.Status
	}
	pod := "gone"
	if err := l.c.Get(p, "default", "p"); err == nil {
		pod = fmt.Sprint(p.Ready())
	}
	return fmt.Sprintf("%s, %d taints, pod %s", status, len(n.Spec.Taints), pod)
}

func TestSilence(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	want := func(when, state string) {
		t.Helper()
		if got := l.state(t); got != state {
			t.Errorf("%s: %s, want %s", when, got, state)
		}
	}
	l.beat(t)
	if again := l.after(t, 0); again != 40*time.Second {
		t.Errorf("looks again in %v, want 40s", again)
	}
	l.pass(t, 30*time.Second)
	l.beat(t)
	if again := l.after(t, 0); again != 40*time.Second {
		t.Errorf("after a beat: looks again in %v, want 40s", again)
	}
	l.after(t, 39*time.Second)
	want("silent for 39s", "True, 0 taints, pod true")
	again := l.after(t, time.Second)
	want("silent for 40s", "Unknown, 2 taints, pod false")
	if again != 30*time.Second {
		t.Errorf("looks again in %v, want when the toleration ends", again)
	}
	l.after(t, 29*time.Second)
	want("tolerated", "Unknown, 2 taints, pod false")
	l.after(t, time.Second)
	want("evicted", "Unknown, 2 taints, pod gone")
	if diff := cmp.Diff([]string{"n RegisteredNode: Node n event: Registered Node n in Controller",
		"other RegisteredNode: Node other event: Registered Node other in Controller", "n NodeNotReady: Node n status is now: NodeNotReady",
		"p NodeNotReady: Node is not ready", "p TaintManagerEviction: Marking for deletion Pod default/p"}, l.store.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// Its agent is back, and says so itself.
	n := &nodeState{}
	if err := l.c.Get(n, "", "n"); err != nil {
		t.Fatal(err)
	}
	readyOf(n).Status = corev1.ConditionTrue
	if err := l.c.UpdateStatus(n); err != nil {
		t.Fatal(err)
	}
	l.beat(t)
	l.after(t, time.Second)
	want("back", "True, 0 taints, pod gone")
}

// A controller that starts judges by what it sees itself: the node has the
// whole grace time to give a sign of life, and its pods their whole toleration
// after that, however long the server was away.
func TestRestart(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	want := func(when, state string) {
		t.Helper()
		if got := l.state(t); got != state {
			t.Errorf("%s: %s, want %s", when, got, state)
		}
	}
	l.beat(t)
	l.after(t, 0)
	l.after(t, 40*time.Second)
	want("lost", "Unknown, 2 taints, pod false")
	l.at = l.at.Add(time.Hour)
	l.restarted()
	l.after(t, 0)
	l.after(t, 69*time.Second)
	want("lost before, in time", "Unknown, 2 taints, pod false")
	l.after(t, time.Second)
	want("lost before and since", "Unknown, 2 taints, pod gone")

	l = newLab(t, newNode(corev1.ConditionTrue))
	l.beat(t)
	l.at = l.at.Add(time.Hour)
	l.after(t, 0)
	want("ready before", "True, 0 taints, pod true")
}

func TestLostConditions(t *testing.T) {
	n := newNode(corev1.ConditionTrue)
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: "Mine", Status: corev1.ConditionTrue})
	var got []string
	n.CreationTimestamp = metav1.NewTime(start.Add(-time.Hour))
	for _, c := range lostConditions(n, start) {
		if want := n.CreationTimestamp; c.Reason == "NodeStatusNeverUpdated" && c.LastHeartbeatTime != want {
			t.Errorf("%s: last heartbeat at %s, want %s", c.Type, c.LastHeartbeatTime, want)
		}
		got = append(got, fmt.Sprint(c.Type, " ", c.Status, " ", c.Reason))
	}
	want := []string{"Ready Unknown NodeStatusUnknown", "Mine True ", "MemoryPressure Unknown NodeStatusNeverUpdated",
		"DiskPressure Unknown NodeStatusNeverUpdated", "PIDPressure Unknown NodeStatusNeverUpdated"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if n.Status.Conditions[0].Status != corev1.ConditionTrue {
		t.Error("the node that was read is changed")
	}
}

func TestRemovedNode(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	l.beat(t)
	l.after(t, 0)
	if err := l.c.Delete(newNode(""), client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.after(t, 0)
	l.after(t, 0)
	if got := strings.Count(strings.Join(l.store.Notes, "\n"), "n RemovingNode: Node n event: Removing Node n from Controller"); got != 1 {
		t.Errorf("told %d times: %v", got, l.store.Notes)
	}
}

// A node that has not reported yet is given more time.
func TestNodeThatNeverReported(t *testing.T) {
	l := newLab(t, newNode(""))
	if again := l.after(t, 0); again != time.Minute {
		t.Errorf("looks again in %v, want a minute", again)
	}
	l.after(t, 59*time.Second)
	if got := l.state(t); !strings.HasPrefix(got, "none") {
		t.Errorf("before its time is over: %s", got)
	}
	l.after(t, time.Second)
	if got := l.state(t); !strings.HasPrefix(got, "Unknown") {
		t.Errorf("then: %s", got)
	}
}

// An eviction that was on its way and is off is told of, as upstream does.
func TestCancelledEviction(t *testing.T) {
	l := newLab(t, newNode(corev1.ConditionTrue))
	l.grace = time.Hour
	l.beat(t)
	l.after(t, time.Second)
	l.after(t, time.Second)
	l.store.Notes = nil
	at := metav1.NewTime(l.at)
	l.taint(t, corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoExecute, TimeAdded: &at})
	l.after(t, time.Second)
	l.after(t, time.Second)
	if len(l.store.Notes) > 0 {
		t.Errorf("told of what is only waited for: %v", l.store.Notes)
	}
	l.taint(t)
	l.after(t, time.Second)
	l.after(t, time.Second)
	if diff := cmp.Diff([]string{"p TaintManagerEviction: Cancelling deletion of Pod default/p"}, l.store.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	l.taint(t, corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoExecute, TimeAdded: &at})
	l.after(t, time.Second)
	l.after(t, 30*time.Second)
	if diff := cmp.Diff("p TaintManagerEviction: Marking for deletion Pod default/p", l.store.Notes[len(l.store.Notes)-1]); diff != "" || len(l.store.Notes) != 2 {
		t.Errorf("events: %v", l.store.Notes)
	}
}

// The labels of before 1.14 say what those of today say.
func TestAliases(t *testing.T) {
	for _, tc := range []struct {
		name         string
		labels, want map[string]string
	}{
		{"none", nil, nil},
		{"missing", map[string]string{"kubernetes.io/os": "linux"}, map[string]string{"beta.kubernetes.io/os": "linux"}},
		{"otherwise", map[string]string{"kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64"}, map[string]string{"beta.kubernetes.io/arch": "arm64"}},
		{"alike", map[string]string{"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "linux"}, nil},
		{"only the older", map[string]string{"beta.kubernetes.io/os": "linux"}, nil},
	} {
		n := newNode(corev1.ConditionTrue)
		n.Labels = tc.labels
		if diff := cmp.Diff(tc.want, aliased(n)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}
