package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// hasty is a clock whose timers fire at once.
type hasty struct{ clock.RealClock }

func (hasty) NewTimer(time.Duration) clock.Timer { return clock.RealClock{}.NewTimer(0) }

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func ownedBy(kind, name string) func(*corev1.Pod) {
	yes := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{APIVersion: map[string]string{"Node": "v1"}[kind] + map[string]string{"ReplicaSet": "apps/v1beta9"}[kind],
			Kind: kind, Name: name, UID: "u", Controller: &yes})
	}
}

func labelled(labels map[string]string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = labels }
}

func condition(name string, status corev1.ConditionStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: "First", Status: "True"}, corev1.PodCondition{Type: corev1.PodConditionType(name), Status: status})
	}
}

func deleting(finalizers ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp, p.Finalizers = &now, finalizers }
}

func object(p *corev1.Pod) *watch.Object {
	if p == nil {
		return nil
	}
	return &watch.Object{Key: "/registry/pods/default/" + p.Name, Namespace: p.Namespace, Name: p.Name, Revision: 7, Obj: p}
}

// fake is an instance in Go.
type fake struct {
	manifest wire.Manifest
	call     func(ctx context.Context, op wire.Op, req []byte) ([]byte, error)
	closed   func()
}

func (f *fake) Manifest() wire.Manifest { return f.manifest }
func (f *fake) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	return f.call(ctx, op, req)
}
func (f *fake) Reserve(context.Context, int) ([]byte, error) { return nil, errors.ErrUnsupported }
func (f *fake) Region() []byte                               { return nil }
func (f *fake) Memory() int64                                { return 0 }
func (f *fake) Close() error {
	if f.closed != nil {
		f.closed()
	}
	return nil
}

var _ plugin.Instance = (*fake)(nil)

// newRunner is a runner without workers, whose plugin maps an object to its
// name in capitals.
func newRunner(t *testing.T, k *kit, open func() (plugin.Instance, error)) *runner {
	t.Helper()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &runner{name: "test", catalog: k.Catalog, clock: hasty{}, log: slog.New(slog.DiscardHandler), faults: newFaults(slog.New(slog.DiscardHandler), hasty{}), intake: t.Context(), metrics: m,
		host: &hostclient.Config{Observed: &hostclient.Observed{}}, queue: NewQueue(clock.RealClock{}, nil),
		c: Controller{Open: func(context.Context, HostCall) (plugin.Instance, error) { return open() }}}
}

func (r *runner) drain(t *testing.T) (out []Request) {
	for r.queue.Len() > 0 {
		q, _ := r.queue.Get(t.Context())
		r.queue.Done(q, false, 0)
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b Request) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// watchesOfPods is a watch of pods, as it is followed.
func (r *runner) watchesOfPods(w wire.Watch) []numbered {
	return subjects(r.catalog.Snapshot(), r.byResource([]wire.Watch{w}), nil)[topic{podsR.GroupResource(), podsR.Version}].watches
}

// mapped answers OpMap with a request that says which object was seen.
func mapped(_ context.Context, _ wire.Op, req []byte) ([]byte, error) {
	_, b, err := wire.MapRequest(req)
	if err != nil {
		return nil, err
	}
	v, err := record.Parse(b, nil)
	if err != nil {
		return nil, err
	}
	return wire.AppendRequests(nil, []wire.Request{{Name: "func of " + v.Get("metadata.labels.app").String()}}), nil
}

func TestMaps(t *testing.T) {
	k := newKit(t)
	web, db := labelled(map[string]string{"app": "web"}), labelled(map[string]string{"app": "db", "tier": "back"})
	on := func(p *corev1.Pod) { p.Spec.NodeName = "n" }
	self := Request{Namespace: "default", Name: "p"}
	for _, tc := range []struct {
		name string
		m    controller.Map
		typ  watch.Type
		now  *corev1.Pod
		prev *corev1.Pod
		want []Request
	}{
		{"self", controller.Self(), watch.Modified, pod("p"), pod("p", db), []Request{self}},
		{"self, deleted", controller.Self(), watch.Deleted, pod("p"), pod("p"), []Request{self}},
		{"namespace", controller.InNamespace(), watch.Added, pod("p"), nil, []Request{{Name: "default"}}},
		{"constant", controller.Constant(controller.Request{Namespace: "a", Name: "b"}), watch.Added, pod("p"), nil, []Request{{Namespace: "a", Name: "b"}}},
		{"label", controller.Label("app"), watch.Modified, pod("p", web), pod("p", db), []Request{{Namespace: "default", Name: "db"}, {Namespace: "default", Name: "web"}}},
		{"label missing", controller.Label("none"), watch.Added, pod("p"), nil, nil},
		{"labels", controller.Labels(), watch.Modified, pod("p", web), pod("p", db), []Request{{Namespace: "default", Labels: "app=db,tier=back"}, {Namespace: "default", Labels: "app=web"}}},
		{"labels of none", controller.Labels(), watch.Added, pod("p", labelled(nil)), nil, nil},
		{"labels of orphans", controller.OrphanLabels(), watch.Modified, pod("p", ownedBy("ReplicaSet", "r")), pod("p", db), []Request{{Namespace: "default", Labels: "app=db,tier=back"}}},
		{"owner, of any version", controller.Owner("apps/v1/ReplicaSet"), watch.Added, pod("p", ownedBy("ReplicaSet", "r")), nil, []Request{{Namespace: "default", Name: "r"}}},
		{"owner of another kind", controller.Owner("batch/v1/Job"), watch.Added, pod("p", ownedBy("ReplicaSet", "r")), nil, nil},
		{"owner without a namespace", controller.Owner("v1/Node"), watch.Added, pod("p", ownedBy("Node", "n")), nil, []Request{{Name: "n"}}},
		{"owner changed", controller.Owner("apps/v1/ReplicaSet"), watch.Modified, pod("p"), pod("p", ownedBy("ReplicaSet", "r")), []Request{{Namespace: "default", Name: "r"}}},
		{"field", controller.Field("spec.nodeName"), watch.Modified, pod("p", on), pod("p"), []Request{{Name: "n"}}},
		{"field that is not selectable", controller.Field("metadata.labels.app"), watch.Added, pod("p", db), nil, []Request{{Name: "db"}}},
		{"func, both states", controller.Func(none), watch.Modified, pod("p", web), pod("p", db), []Request{{Name: "func of db"}, {Name: "func of web"}}},
		{"added", controller.Added(none), watch.Added, pod("p", web), nil, []Request{{Name: "func of web"}}},
		{"added, but modified", controller.Added(none), watch.Modified, pod("p", web), pod("p"), nil},
		{"deleted", controller.Deleted(none), watch.Deleted, pod("p", web), pod("p"), []Request{{Name: "func of web"}}},
		{"deleted, but added", controller.Deleted(none), watch.Added, pod("p", web), nil, nil},
		{"deleting", controller.Deleting(none), watch.Modified, pod("p", web, deleting("x")), pod("p", db), []Request{{Name: "func of web"}}},
		{"deleting, without finalizers", controller.Deleting(none), watch.Modified, pod("p", deleting()), pod("p"), nil},
		{"deleting, but gone", controller.Deleting(none), watch.Deleted, pod("p", deleting("x")), pod("p"), nil},
		{"owned", controller.Owned(none), watch.Added, pod("p", ownedBy("ReplicaSet", "r")), nil, []Request{{Name: "func of web"}}},
		{"owned, as before", controller.Owned(none), watch.Modified, pod("p", ownedBy("ReplicaSet", "r")), pod("p", db, ownedBy("ReplicaSet", "r")), nil},
		{"owned by another", controller.Owned(none), watch.Modified, pod("p", ownedBy("ReplicaSet", "r")), pod("p", db, ownedBy("ReplicaSet", "s")), []Request{{Name: "func of web"}}},
		{"changed", controller.Changed(none, "spec.nodeName", "metadata.labels"), watch.Modified, pod("p", db), pod("p"), []Request{{Name: "func of db"}}},
		{"changed in what is not asked about", controller.Changed(none, "spec.nodeName", "status.phase"), watch.Modified, pod("p", db), pod("p"), nil},
		{"changed, but added", controller.Changed(none, "metadata.labels"), watch.Added, pod("p", db), nil, nil},
		{"changed, but deleted", controller.Changed(none, "metadata.labels"), watch.Deleted, pod("p", db), pod("p"), nil},
		{"condition appears", controller.Condition(none, "Ready"), watch.Modified, pod("p", web, condition("Ready", "False")), pod("p", db), []Request{{Name: "func of web"}}},
		{"condition is there", controller.Condition(none, "Ready"), watch.Added, pod("p", web, condition("Ready", "False")), nil, []Request{{Name: "func of web"}}},
		{"condition turns", controller.Condition(none, "Ready"), watch.Modified, pod("p", web, condition("Ready", "True")), pod("p", db, condition("Ready", "False")), []Request{{Name: "func of web"}}},
		{"condition stays", controller.Condition(none, "Ready"), watch.Modified, pod("p", web, condition("Ready", "True")), pod("p", db, condition("Ready", "True")), nil},
		{"condition goes", controller.Condition(none, "Ready"), watch.Modified, pod("p", web), pod("p", db, condition("Ready", "True")), nil},
		{"another condition", controller.Condition(none, "Ready"), watch.Modified, pod("p", web, condition("Other", "True")), pod("p", db), nil},
		{"condition, but deleted", controller.Condition(none, "Ready"), watch.Deleted, pod("p", web, condition("Ready", "True")), pod("p"), nil},
		{"namespace of the unlabelled", controller.UnlabelledInNamespace(), watch.Modified, pod("p", web), pod("p", labelled(nil)), []Request{{Name: "default"}}},
		{"namespace of the unlabelled, labelled", controller.UnlabelledInNamespace(), watch.Added, pod("p", web), nil, nil},
		{"owned by nobody", controller.Owned(none), watch.Added, pod("p"), nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRunner(t, k, func() (plugin.Instance, error) { return &fake{call: mapped}, nil })
			m := &mapper{r: r, slot: r.newSlot()}
			w := wire.Watch{Resource: "v1/pods", Map: uint8(tc.m.Kind), Arg: tc.m.Arg, ToNamespace: tc.m.To.Namespace, ToName: tc.m.To.Name}
			m.event(t.Context(), r.watchesOfPods(w), watch.Event{Type: tc.typ, Revision: 7, Object: object(tc.now), Prev: object(tc.prev)})
			if diff := cmp.Diff(tc.want, r.drain(t)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func none(sdk.Value) []controller.Request { return nil }

// TestIdleMapper: the instance that serves maps is closed when nothing is asked of
// it; the next map opens another.
func TestIdleMapper(t *testing.T) {
	var opened, closed atomic.Int64
	r := newRunner(t, newKit(t), func() (plugin.Instance, error) {
		opened.Add(1)
		return &fake{call: mapped, closed: func() { closed.Add(1) }}, nil
	})
	clock := clocktesting.NewFakeClock(time.Now())
	r.clock = clock
	m := &mapper{r: r, slot: r.newSlot()}
	ask := func() {
		t.Helper()
		w := wire.Watch{Resource: "v1/pods", Map: uint8(controller.MapFunc)}
		m.event(t.Context(), r.byResource([]wire.Watch{w})[podsR], watch.Event{Type: watch.Added, Revision: 7, Object: object(pod("p"))})
		if got := r.drain(t); len(got) != 1 {
			t.Errorf("requests %v, want one", got)
		}
	}
	for range 10 { // it is busy
		ask()
		clock.Step(idleGuest / 2)
	}
	if opened.Load() != 1 || closed.Load() != 0 {
		t.Fatalf("%d opened, %d closed, want one and none", opened.Load(), closed.Load())
	}
	clock.Step(idleGuest)
	registrytest.Eventually(t, "given up", func() bool { return closed.Load() == 1 })
	ask()
	if opened.Load() != 2 {
		t.Errorf("%d opened, want another", opened.Load())
	}
	m.end()
	if closed.Load() != 2 {
		t.Errorf("%d closed at the end, want both", closed.Load())
	}
}

// What is not defined yet is waited for (TestFollowsKinds); what cannot be a
// resource is not.
func TestNonsenseIsLeftOut(t *testing.T) {
	r := newRunner(t, newKit(t), nil)
	got := r.byResource([]wire.Watch{{Resource: "v1/pods"}, {Resource: "example.com/v1/widgets"}, {Resource: "nonsense"}})
	if len(got) != 2 || len(got[podsR]) != 1 {
		t.Errorf("watches = %v", got)
	}
}

// A map that faults is asked once more, of a new instance; an answer that is
// an error is not.
func TestMapFaults(t *testing.T) {
	k := newKit(t)
	for _, tc := range []struct {
		name   string
		err    error
		opened int
		want   int
	}{
		{"a trap", wire.ErrTrap, 2, 1},
		{"an error", wire.Errorf(wire.KindPlugin, "no"), 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opened := 0
			r := newRunner(t, k, func() (plugin.Instance, error) {
				opened++
				if opened > 1 {
					return &fake{call: mapped}, nil
				}
				return &fake{call: func(context.Context, wire.Op, []byte) ([]byte, error) { return nil, tc.err }}, nil
			})
			m := &mapper{r: r, slot: r.newSlot()}
			m.event(t.Context(), r.byResource([]wire.Watch{{Resource: "v1/pods", Map: uint8(controller.MapFunc)}})[podsR], watch.Event{Type: watch.Added, Object: object(pod("p"))})
			if got := len(r.drain(t)); got != tc.want || opened != tc.opened {
				t.Errorf("%d requests of %d instances, want %d of %d", got, opened, tc.want, tc.opened)
			}
		})
	}
}

// Objects that a watch does not care for are not mapped, now or before.
func TestPresent(t *testing.T) {
	r := newRunner(t, newKit(t), nil)
	m := &mapper{r: r}
	watches := r.byResource([]wire.Watch{{Resource: "v1/pods", Map: uint8(controller.MapSelf), Present: []string{"spec.nodeName"}}})
	on := func(p *corev1.Pod) { p.Spec.NodeName = "n" }
	for name, tc := range map[string]struct {
		now, prev *corev1.Pod
		want      int
	}{
		"set": {pod("p", on), nil, 1}, "never set": {pod("p"), pod("p"), 0}, "set before": {pod("p"), pod("p", on), 1},
	} {
		for _, list := range watches {
			m.event(t.Context(), list, watch.Event{Type: watch.Modified, Revision: 7, Object: object(tc.now), Prev: object(tc.prev)})
		}
		if got := len(r.drain(t)); got != tc.want {
			t.Errorf("%s: %d requests, want %d", name, got, tc.want)
		}
	}
	if got := r.byResource([]wire.Watch{{Resource: "v1/pods", Present: []string{".."}}}); len(got) != 0 {
		t.Errorf("a malformed path is watched: %v", got)
	}
}

// TestFieldsOfAKindPanic: the field is read by its path.
func TestFieldsOfAKindPanic(t *testing.T) {
	panics := func(runtime.Object) fields.Set { panic("fields") }
	if set := selectable(panics, pod("p")); set != nil {
		t.Errorf("read %v", set)
	}
}
