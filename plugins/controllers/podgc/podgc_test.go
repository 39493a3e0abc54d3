package podgc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func aPod(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name, p.Generation, p.Spec.NodeName, p.Status.Phase = "default", name, 3, node, corev1.PodRunning
	p.CreationTimestamp = metav1.NewTime(start)
	p.Finalizers = []string{"test/seen"} // so that what was written can be read
	for _, f := range change {
		f(p)
	}
	return p
}

func deleted(p *corev1.Pod) { at := metav1.NewTime(start); p.DeletionTimestamp = &at }
func phase(v corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = v }
}

func aNode(name string, ready corev1.ConditionStatus, taint string) *corev1.Node {
	n := &corev1.Node{}
	n.Name = name
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	if taint != "" {
		n.Spec.Taints = []corev1.Taint{{Key: taint, Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

// lab is a collector with a clock, and a store.
type lab struct {
	*collector
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
	l := &lab{store: s, c: s.Client(), at: start}
	if l.collector, err = newCollector(nil); err != nil {
		t.Fatal(err)
	}
	l.now = func() time.Time { return l.at }
	return l
}

func (l *lab) look(t *testing.T, q controller.Request) time.Duration {
	t.Helper()
	res, err := l.reconcile(l.c, q)
	if err != nil {
		t.Fatal(err)
	}
	return res.RequeueAfter
}

// state is what became of the pod: its phase, why, and whether it was deleted.
func (l *lab) state(t *testing.T, name string) string {
	t.Helper()
	p := &corev1.Pod{}
	if err := l.c.Get(p, "default", name); err != nil {
		return "gone"
	}
	out := string(p.Status.Phase)
	if p.DeletionTimestamp != nil {
		out += ", deleted"
	}
	if c := p.Condition(corev1.DisruptionTarget); c != nil {
		out += fmt.Sprintf(", %s: %s for %d", c.Reason, c.Message, c.ObservedGeneration)
	}
	return out
}

const gone = "Failed, deleted, DeletionByPodGC: PodGC: node no longer exists for 3"

// The pods of a node that is gone go after the time of quarantine, unless the store says
// that it is there.
func TestOrphans(t *testing.T) {
	l := newLab(t, aPod("runs", "n"), aPod("waits", "n", phase(corev1.PodPending)), aPod("ended", "n", phase(corev1.PodSucceeded)), aPod("other", "m"))
	q := controller.Request{Name: "n"}
	if again := l.look(t, q); again != 40*time.Second {
		t.Errorf("looks again in %v, want 40s", again)
	}
	l.at = start.Add(39 * time.Second)
	if again := l.look(t, q); again != time.Second || l.state(t, "runs") != "Running" {
		t.Errorf("looks again in %v: %s", again, l.state(t, "runs"))
	}
	l.at = start.Add(40 * time.Second)
	if again := l.look(t, q); again != 0 || len(l.missing) != 0 {
		t.Errorf("looks again in %v, remembers %v", again, l.missing)
	}
	for name, want := range map[string]string{"runs": gone, "waits": gone, "ended": "Succeeded, deleted", "other": "Running"} {
		if got := l.state(t, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestNodeIsBack(t *testing.T) {
	l := newLab(t, aPod("p", "n"))
	q := controller.Request{Name: "n"}
	l.look(t, q)
	n := aNode("n", corev1.ConditionTrue, "")
	if err := l.c.Create(n); err != nil {
		t.Fatal(err)
	}
	l.at = start.Add(time.Minute)
	// What is read is behind: only the list from the store knows.
	if res, err := l.reconcile(&behind{Client: l.c}, q); err != nil || res.RequeueAfter != time.Second || l.state(t, "p") != "Running" {
		t.Errorf("again in %v, %v: %s", res.RequeueAfter, err, l.state(t, "p"))
	}
	l.look(t, q)
	if err := l.c.Delete(n, client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := l.look(t, q); again != 40*time.Second {
		t.Errorf("gone again: looks again in %v, want 40s", again)
	}
	empty := newLab(t)
	if again := empty.look(t, q); again != 0 || len(empty.missing) > 0 {
		t.Errorf("a node without pods is remembered: again in %v, %v", again, empty.missing)
	}
}

// behind knows no nodes, but for lists from the store.
type behind struct{ client.Client }

func (b *behind) Get(obj client.Object, namespace, name string) error {
	if _, ok := obj.(*node); ok {
		return b.Client.Get(obj, namespace, "no "+name)
	}
	return b.Client.Get(obj, namespace, name)
}

func (b *behind) List(list any, o client.ListOptions) error {
	if _, ok := list.(*[]*node); ok && !o.Fresh {
		return nil
	}
	return b.Client.List(list, o)
}

// Pods that are being deleted on a node that is off for good go at once; on one that is
// ready, or without the taint, their agent ends them.
func TestOutOfService(t *testing.T) {
	for _, tc := range []struct {
		name string
		node *corev1.Node
		pod  *corev1.Pod
		want string
	}{
		{"off", aNode("n", "False", outOfService), aPod("p", "n", deleted), "Failed, deleted"},
		{"lost", aNode("n", "Unknown", outOfService), aPod("p", "n", deleted), "Failed, deleted"},
		{"has ended", aNode("n", "Unknown", outOfService), aPod("p", "n", deleted, phase(corev1.PodSucceeded)), "Succeeded, deleted"},
		{"not deleted", aNode("n", "False", outOfService), aPod("p", "n"), "Running"},
		{"ready", aNode("n", "True", outOfService), aPod("p", "n", deleted), "Running, deleted"},
		{"another taint", aNode("n", "False", "mine"), aPod("p", "n", deleted), "Running, deleted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, tc.node, tc.pod)
			if again := l.look(t, controller.Request{Name: "n"}); again != 0 {
				t.Errorf("looks again in %v", again)
			}
			if got := l.state(t, "p"); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestUnscheduled(t *testing.T) {
	for _, tc := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{"deleted", aPod("p", "", deleted, phase(corev1.PodPending)), "Failed, deleted"},
		{"deleted, held by nothing", aPod("p", "", deleted, phase(corev1.PodPending), func(p *corev1.Pod) { p.Finalizers = nil }), "gone"},
		{"it has a node", aPod("p", "n", deleted, phase(corev1.PodPending)), "Pending, deleted"},
		{"it is wanted", aPod("p", "", phase(corev1.PodPending)), "Pending"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, tc.pod)
			l.look(t, controller.Request{Namespace: "default", Name: "p"})
			if got := l.state(t, "p"); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	newLab(t).look(t, controller.Request{Namespace: "default", Name: "p"})
}

// The oldest of the pods that have ended go, those that nodes evicted before them, and no
// more often than every 20 seconds they are counted.
func TestEnded(t *testing.T) {
	var objects []client.Object
	for i := range 6 {
		objects = append(objects, aPod(fmt.Sprint("p", i), "n", phase([]corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}[i%2]), func(p *corev1.Pod) {
			p.Finalizers, p.CreationTimestamp = nil, metav1.NewTime(start.Add(time.Duration(-i)*time.Minute))
			if i == 1 {
				p.Status.Reason = "Evicted"
			}
		}))
	}
	objects = append(objects, aPod("runs", "n", func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(start.Add(-time.Hour)) }))
	left := func(l *lab) string {
		var out []string
		for _, k := range l.store.Keys() {
			out = append(out, k[strings.LastIndexByte(k, '/')+1:])
		}
		return strings.Join(out, " ")
	}
	l := newLab(t, objects...)
	l.keep = 6
	for _, phase := range []string{"Running", "Pending", "Failed"} {
		l.look(t, controller.Request{Name: phase})
	}
	if got := left(l); got != "p0 p1 p2 p3 p4 p5 runs" {
		t.Errorf("not too many: %s", got)
	}
	l.keep = 3
	if again := l.look(t, controller.Request{Name: "Succeeded"}); again != period {
		t.Errorf("counted again in %v, want %v", again, period)
	}
	l.at = start.Add(period)
	l.look(t, controller.Request{Name: "Succeeded"})
	if got := left(l); got != "p0 p2 p3 runs" {
		t.Errorf("three are kept: %s", got)
	}
	l.keep, l.at = 0, l.at.Add(period)
	l.look(t, controller.Request{Name: "Failed"})
	if got := left(l); got != "p0 p2 p3 runs" {
		t.Errorf("all are kept: %s", got)
	}
}

func TestSurplusInChunks(t *testing.T) {
	var objects []client.Object
	for i := range chunk + 20 {
		objects = append(objects, aPod(fmt.Sprintf("p%03d", i), "n", phase(corev1.PodFailed), func(p *corev1.Pod) { p.Finalizers = nil }))
	}
	l := newLab(t, objects...)
	l.keep = 10
	if again := l.look(t, controller.Request{Name: "Failed"}); again != time.Millisecond || len(l.store.Keys()) != 20 {
		t.Errorf("again in %v, %d left", again, len(l.store.Keys()))
	}
	if again := l.look(t, controller.Request{Name: "Failed"}); again != 0 || len(l.store.Keys()) != 10 {
		t.Errorf("again in %v, %d left", again, len(l.store.Keys()))
	}
}

// TestSurplusThatIsHeld: pods that somebody's finalizers hold are not deleted again and
// again, and do not keep others from going.
func TestSurplusThatIsHeld(t *testing.T) {
	var objects []client.Object
	for i := range chunk + 20 {
		objects = append(objects, aPod(fmt.Sprintf("p%03d", i), "n", phase(corev1.PodFailed), func(p *corev1.Pod) {
			if p.Finalizers = nil; i < chunk {
				p.Finalizers = []string{"example.com/hold"}
			}
		}))
	}
	l := newLab(t, objects...)
	l.keep = 1
	l.look(t, controller.Request{Name: "Failed"}) // the oldest: all of them are held
	before := len(l.store.Keys())
	l.look(t, controller.Request{Name: "Failed"})
	if now := len(l.store.Keys()); before != chunk+20 || now >= before {
		t.Errorf("%d are left of %d: others must go", now, before)
	}
	l.at = l.at.Add(period)
	if again := l.look(t, controller.Request{Name: "Failed"}); again == time.Millisecond {
		t.Error("what is held is looked at without end")
	}
}

// A pod that says already that it goes has said so since then.
func TestDisruptionKeepsItsTime(t *testing.T) {
	before := metav1.NewTime(start.Add(-time.Hour))
	p := &pod{}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", LastTransitionTime: before}}
	if c := disruption(p, "why", start); c.LastTransitionTime != before || c.Reason != "DeletionByPodGC" {
		t.Errorf("condition %+v", c)
	}
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	if c := disruption(p, "why", start); c.LastTransitionTime != metav1.NewTime(start) {
		t.Errorf("condition %+v", c)
	}
}

func TestMaps(t *testing.T) {
	points := sdktest.Open[*controller.Points](t, "pod-garbage-collector", `{"terminatedPodThreshold": 1, "quarantineSeconds": 2}`)
	for _, tc := range []struct {
		resource string
		object   any
		want     controller.Request
	}{
		{"v1/nodes", aNode("n", "True", ""), controller.Request{Name: "n"}},
		{"v1/pods", aPod("p", "n", deleted), controller.Request{Name: "n"}},
		{"v1/pods", aPod("p", "", deleted), controller.Request{Namespace: "default", Name: "p"}},
	} {
		for _, w := range points.Watches {
			if w.Resource != tc.resource || w.Map.Func == nil {
				continue
			}
			if diff := cmp.Diff([]controller.Request{tc.want}, w.Map.Func(sdktest.Value(t, tc.object))); diff != "" {
				t.Errorf("%s by %q (-want +got):\n%s", tc.resource, w.Map.Arg, diff)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		"":                                  "12500 40s",
		`{"terminatedPodThreshold":0}`:      "0 40s",
		`{"quarantineSeconds":0.5}`:         "12500 500ms",
		`{"quarantineSeconds":-1}`:          "config.quarantineSeconds: -1 is negative",
		`{"terminatedPodThreshold":"many"}`: "config: json",
	} {
		k, err := newCollector([]byte(config))
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(k.keep, " ", k.quarantine)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
}
