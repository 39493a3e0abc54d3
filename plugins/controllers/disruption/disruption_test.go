package disruption

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	policyv1 "github.com/pintle-io/pintle/sdk/api/policy/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const ns = "default"

func number(n int) *intstr.IntOrString        { v := intstr.FromInt(n); return &v }
func percent(text string) *intstr.IntOrString { v := intstr.FromString(text); return &v }

func TestDesiredHealthy(t *testing.T) {
	for _, tc := range []struct {
		name     string
		spec     policyv1.PodDisruptionBudgetSpec
		expected int64
		want     int32
		byScale  bool
	}{
		{"a number must be there", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(3)}, 10, 3, false},
		{"a part must be there, rounded up", policyv1.PodDisruptionBudgetSpec{MinAvailable: percent("28%")}, 10, 3, true},
		{"all must be there", policyv1.PodDisruptionBudgetSpec{MinAvailable: percent("100%")}, 7, 7, true},
		{"a number may be missing", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: number(1)}, 10, 9, true},
		{"more than there are may be missing", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: number(11)}, 10, 0, true},
		{"a part may be missing, rounded up", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: percent("10%")}, 11, 9, true},
		{"nothing is said", policyv1.PodDisruptionBudgetSpec{}, 10, 0, false},
	} {
		got, err := desiredHealthy(&tc.spec, tc.expected)
		if err != nil || got != tc.want || byScale(&tc.spec) != tc.byScale {
			t.Errorf("%s: %d, by scale %t, %v; want %d, %t", tc.name, got, byScale(&tc.spec), err, tc.want, tc.byScale)
		}
	}
	if _, err := desiredHealthy(&policyv1.PodDisruptionBudgetSpec{MinAvailable: percent("half")}, 1); err == nil {
		t.Error("half is taken for a percentage")
	}
}

// lab is a namespace, and a clock.
type lab struct {
	*keeper
	store *sdktest.Store
	c     client.Client
	at    time.Time
}

func newLab(t *testing.T, objects ...client.Object) *lab {
	t.Helper()
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{store: s, c: s.Client(), at: now}
	l.keeper = &keeper{now: func() time.Time { return l.at }}
	return l
}

func (l *lab) count(t *testing.T, name string) (*policyv1.PodDisruptionBudget, time.Duration) {
	t.Helper()
	res, err := l.reconcile(l.c, controller.Request{Namespace: ns, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return l.budget(t, name), res.RequeueAfter
}

func (l *lab) budget(t *testing.T, name string) *policyv1.PodDisruptionBudget {
	t.Helper()
	b := &policyv1.PodDisruptionBudget{}
	if err := l.c.Get(b, ns, name); err != nil {
		t.Fatal(err)
	}
	return b
}

func aBudget(spec policyv1.PodDisruptionBudgetSpec) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{Spec: spec}
	b.Namespace, b.Name, b.Generation = ns, "b", 2
	if b.Spec.Selector == nil {
		b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	}
	return b
}

// aPod is a pod of app web that is ready, as changed.
func aPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Labels = ns, name, map[string]string{"app": "web"}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, f := range change {
		f(p)
	}
	return p
}

func unready(p *corev1.Pod) { p.Status.Conditions = nil }
func going(p *corev1.Pod)   { at := metav1.NewTime(now); p.DeletionTimestamp = &at }

func of(apiVersion, kind, name, uid string) func(*corev1.Pod) {
	yes := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: uid, Controller: &yes}}
	}
}

// show is a status in short.
func show(s policyv1.PodDisruptionBudgetStatus) string {
	out := fmt.Sprintf("%d/%d of %d, %d allowed", s.CurrentHealthy, s.DesiredHealthy, s.ExpectedPods, s.DisruptionsAllowed)
	for _, c := range s.Conditions {
		out += fmt.Sprintf(", %s=%s %s", c.Type, c.Status, c.Reason)
		if c.Message != "" {
			out += ": " + c.Message
		}
	}
	return out
}

const (
	enough  = ", DisruptionAllowed=True SufficientPods"
	tooFew  = ", DisruptionAllowed=False InsufficientPods"
	failure = ", DisruptionAllowed=False SyncFailed: "
)

func TestCount(t *testing.T) {
	three, two := int32(3), int32(2)
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web-1", UID: "rs"}, Spec: appsv1.ReplicaSetSpec{Replicas: &two}}
	yes := true
	ofDeployment := client.Clone(set)
	ofDeployment.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "d", Controller: &yes}}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web", UID: "d"}, Spec: appsv1.DeploymentSpec{Replicas: &three}}
	another := client.Clone(deployment)
	another.UID = "another"
	stateful := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db", UID: "ss"}, Spec: appsv1.StatefulSetSpec{Replicas: &three}}
	rc := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "old", UID: "rc"}, Spec: corev1.ReplicationControllerSpec{Replicas: &two}}
	custom := &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "odd", UID: "c"}, Spec: corev1.ReplicationControllerSpec{Replicas: &three}}
	byRS := of("apps/v1", "ReplicaSet", "web-1", "rs")
	one := policyv1.PodDisruptionBudgetSpec{MaxUnavailable: number(1)}
	for _, tc := range []struct {
		name    string
		spec    policyv1.PodDisruptionBudgetSpec
		objects []client.Object
		want    string
	}{
		{"enough", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(2)}, []client.Object{aPod("a"), aPod("b"), aPod("c")}, "3/2 of 3, 1 allowed" + enough},
		{"just enough", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(3)}, []client.Object{aPod("a"), aPod("b"), aPod("c")}, "3/3 of 3, 0 allowed" + tooFew},
		{"not ready, or going", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(1)}, []client.Object{aPod("a"), aPod("b", unready), aPod("c", going)}, "1/1 of 3, 0 allowed" + tooFew},
		{"no pods", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(0)}, nil, "0/0 of 0, 0 allowed" + tooFew},
		{"others' pods", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(0)}, []client.Object{aPod("a", func(p *corev1.Pod) { p.Labels["app"] = "db" })}, "0/0 of 0, 0 allowed" + tooFew},
		{"an empty selector selects all", policyv1.PodDisruptionBudgetSpec{MinAvailable: number(1), Selector: &metav1.LabelSelector{}},
			[]client.Object{aPod("a", func(p *corev1.Pod) { p.Labels = nil }), aPod("b")}, "2/1 of 2, 1 allowed" + enough},
		{"of a Deployment", policyv1.PodDisruptionBudgetSpec{MinAvailable: percent("50%")}, []client.Object{deployment, ofDeployment, aPod("a", byRS), aPod("b", byRS)}, "2/2 of 3, 0 allowed" + tooFew},
		{"of a Deployment that is gone", one, []client.Object{another, ofDeployment, aPod("a", byRS), aPod("b", byRS)}, "2/1 of 2, 1 allowed" + enough},
		{"of a ReplicaSet", one, []client.Object{set, aPod("a", byRS), aPod("b", byRS)}, "2/1 of 2, 1 allowed" + enough},
		{"of a StatefulSet and a ReplicationController", one, []client.Object{stateful, rc, aPod("a", of("apps/v1", "StatefulSet", "db", "ss")), aPod("b", of("v1", "ReplicationController", "old", "rc"))},
			"2/4 of 5, 0 allowed" + tooFew},
		{"of a kind with a scale", one, []client.Object{custom, aPod("a", of("v1", "replicationController", "odd", "c"))}, "1/2 of 3, 0 allowed" + tooFew},
		{"some without owner", one, []client.Object{set, aPod("a", byRS), aPod("b")}, "2/1 of 2, 1 allowed" + enough},
		{"whose owner is gone", one, []client.Object{aPod("a", byRS)}, "0/0 of 0, 0 allowed" + failure + `found no controllers for pod "a"`},
		{"whose owner is another", one, []client.Object{set, aPod("a", of("apps/v1", "ReplicaSet", "web-1", "before"))}, "0/0 of 0, 0 allowed" + failure + `found no controllers for pod "a"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, append(tc.objects, aBudget(tc.spec))...)
			b, _ := l.count(t, "b")
			if diff := cmp.Diff(tc.want, show(b.Status)); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if generation := b.Status.ObservedGeneration; (generation == 2) == strings.Contains(tc.want, "SyncFailed") {
				t.Errorf("generation %d was observed", generation)
			}
			if again, _ := l.count(t, "b"); again.ResourceVersion != b.ResourceVersion {
				t.Errorf("written without need: %s, then %s", show(b.Status), show(again.Status))
			}
		})
	}
}

func TestNoSelector(t *testing.T) {
	b := aBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: number(0)})
	b.Spec.Selector = nil
	l := newLab(t, aPod("a"), b)
	if got, _ := l.count(t, "b"); show(got.Status) != "0/0 of 0, 0 allowed"+tooFew {
		t.Errorf("no selector selects: %s", show(got.Status))
	}
}

func TestEvents(t *testing.T) {
	l := newLab(t, aBudget(policyv1.PodDisruptionBudgetSpec{MaxUnavailable: number(1)}))
	l.count(t, "b")
	if err := l.c.Create(aPod("a")); err != nil {
		t.Fatal(err)
	}
	l.count(t, "b")
	want := []string{"b NoPods: No matching pods found", "b UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: app=web) were found to be unmanaged. As a result, the status of the PDB cannot be " +
		`calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`}
	if diff := cmp.Diff(want, l.store.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// What an eviction has announced does not count as healthy, for two minutes; then it is
// said that it did not happen.
func TestDisruptedPods(t *testing.T) {
	b := aBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: number(1)})
	b.Status.DisruptedPods = map[string]metav1.Time{"a": metav1.NewTime(now), "c": metav1.NewTime(now), "gone": metav1.NewTime(now)}
	l := newLab(t, aPod("a"), aPod("b"), aPod("c", going), b)
	got, again := l.count(t, "b")
	if show(got.Status) != "1/1 of 3, 0 allowed"+tooFew || len(got.Status.DisruptedPods) != 1 || got.Status.DisruptedPods["a"] == "" {
		t.Errorf("announced: %s, %v", show(got.Status), got.Status.DisruptedPods)
	}
	if again != 2*time.Minute+time.Second {
		t.Errorf("looks again in %v", again)
	}
	l.at = now.Add(again)
	if got, again = l.count(t, "b"); show(got.Status) != "2/1 of 3, 1 allowed"+enough || len(got.Status.DisruptedPods) != 0 || again != 0 {
		t.Errorf("two minutes later: %s, %v, again in %v", show(got.Status), got.Status.DisruptedPods, again)
	}
	if diff := cmp.Diff([]string{"a NotDeleted: Pod was expected by PDB default/b to be deleted but it wasn't"}, l.store.Notes); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if at := got.Status.Conditions[0].LastTransitionTime; at != metav1.NewTime(l.at) {
		t.Errorf("turned at %s, want %s", at, metav1.NewTime(l.at))
	}
}

// A count that an eviction has overtaken is refused, and no failure.
func TestOvertaken(t *testing.T) {
	l := newLab(t, aPod("a"), aPod("b"), aBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: number(1)}))
	l.count(t, "b")
	if err := l.c.Create(aPod("c")); err != nil {
		t.Fatal(err)
	}
	between := &meanwhile{Client: l.c, do: func() {
		b := l.budget(t, "b")
		b.Status.DisruptionsAllowed, b.Status.DisruptedPods = 0, map[string]metav1.Time{"a": metav1.NewTime(now)}
		if err := l.c.UpdateStatus(b); err != nil {
			t.Fatal(err)
		}
	}}
	if _, err := l.reconcile(between, controller.Request{Namespace: ns, Name: "b"}); !client.IsConflict(err) {
		t.Errorf("got %v, want a conflict", err)
	}
	if b := l.budget(t, "b"); b.Status.DisruptionsAllowed != 0 || len(b.Status.DisruptedPods) != 1 {
		t.Errorf("the eviction is forgotten: %s", show(b.Status))
	}
}

// meanwhile does something after the pods were listed.
type meanwhile struct {
	client.Client
	do func()
}

func (m *meanwhile) List(list any, o client.ListOptions) error {
	err := m.Client.List(list, o)
	m.do()
	return err
}

// broken cannot list.
type broken struct{ client.Client }

func (broken) List(any, client.ListOptions) error { return errors.New("no list") }

func TestFailSafe(t *testing.T) {
	l := newLab(t, aPod("a"), aPod("b"), aBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: number(1)}))
	l.count(t, "b")
	res, err := l.reconcile(broken{l.c}, controller.Request{Namespace: ns, Name: "b"})
	if err != nil || res.RequeueAfter != again {
		t.Errorf("again in %v, %v", res.RequeueAfter, err)
	}
	if got, want := show(l.budget(t, "b").Status), "2/1 of 2, 0 allowed"+failure+"no list"; got != want {
		t.Errorf("status %s, want %s", got, want)
	}
	if b, _ := l.count(t, "b"); show(b.Status) != "2/1 of 2, 1 allowed"+enough {
		t.Errorf("afterwards: %s", show(b.Status))
	}
}

func TestSelecting(t *testing.T) {
	all := aBudget(policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}})
	all.Name = "all"
	none := aBudget(policyv1.PodDisruptionBudgetSpec{})
	none.Name, none.Spec.Selector = "none", nil
	l := newLab(t, aBudget(policyv1.PodDisruptionBudgetSpec{}), all, none)
	for _, tc := range []struct {
		q    controller.Request
		want string
	}{
		{controller.Request{Namespace: ns, Labels: controller.LabelSetOf(map[string]string{"app": "web", "x": "y"})}, "all b"},
		{controller.Request{Namespace: ns, Labels: controller.LabelSetOf(map[string]string{"app": "db"})}, "all"},
		{controller.Request{Namespace: "other", Labels: controller.LabelSetOf(map[string]string{"app": "web"})}, ""},
		{controller.Request{Name: ns}, "all"},
	} {
		res, err := l.reconcile(l.c, tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range res.Enqueue {
			got = append(got, q.Name)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%v: %v, want %s", tc.q, got, tc.want)
		}
	}
}

func TestStale(t *testing.T) {
	marked := func(status corev1.ConditionStatus, reason string, change ...func(*corev1.Pod)) *corev1.Pod {
		p := aPod("p", change...)
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(now)})
		return p
	}
	for _, tc := range []struct {
		name  string
		pod   *corev1.Pod
		after time.Duration
		again time.Duration
		want  corev1.ConditionStatus
	}{
		{"in time", marked("True", "EvictionByEvictionAPI"), time.Minute, time.Minute, "True"},
		{"too late", marked("True", "EvictionByEvictionAPI"), 2 * time.Minute, 0, "False"},
		{"by its node", marked("True", corev1.PodReasonTerminationByKubelet), time.Hour, 0, "True"},
		{"it goes", marked("True", "EvictionByEvictionAPI", going), time.Hour, 0, "True"},
		{"it has ended", marked("True", "EvictionByEvictionAPI", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), time.Hour, 0, "True"},
		{"taken back", marked("False", ""), time.Hour, 0, "False"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, tc.pod)
			l.at = now.Add(tc.after)
			res, err := l.reconcile(l.c, target(sdktest.Value(t, tc.pod))[0])
			if err != nil || res.RequeueAfter != tc.again {
				t.Errorf("again in %v, %v, want %v", res.RequeueAfter, err, tc.again)
			}
			p := &corev1.Pod{}
			if err := l.c.Get(p, ns, "p"); err != nil {
				t.Fatal(err)
			}
			if c := p.Condition(corev1.DisruptionTarget); c == nil || c.Status != tc.want {
				t.Errorf("condition %+v, want %s", c, tc.want)
			}
		})
	}
}
