package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/internal/simnodes"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	kresource "github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
	shipped "github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// stack is a control plane without its edge.
type stack struct {
	registry.Registry // the administrator's
	t                 testing.TB
}

var podsR = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// table is made once: it is only read, and the kinds register globally.
var table = sync.OnceValues(func() (*kresource.Table, error) { return kinds.Table(kinds.Options{}) })

func newStack(t testing.TB, on store.Store) *stack {
	t.Helper()
	kinds, err := table()
	if err != nil {
		t.Fatal(err)
	}
	return &stack{registrytest.Start(t, registrytest.Options{Table: kinds, Store: on}).Registry, t}
}

// run runs something until the test ends.
func (s *stack) run(what string, f func(context.Context) error) { registrytest.Run(s.t, what, f) }

func (s *stack) create(t registry.Target, obj runtime.Object) {
	s.t.Helper()
	if _, err := s.Create(s.t.Context(), t, obj, registry.WriteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// schedule runs a scheduler with the standard set.
func (s *stack) schedule(change ...func(*scheduler.Config)) *scheduler.Scheduler {
	s.t.Helper()
	cfg := scheduler.Config{Registry: s.Registry, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, f := range change {
		f(&cfg)
	}
	sched, err := scheduler.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := sched.Set(s.t.Context(), "scheduling", nativePlugin(shipped.Name)); err != nil {
		s.t.Fatal(err)
	}
	s.run("scheduler", sched.Run)
	return sched
}

func (s *stack) nodes(n int, prepare func(int, *corev1.Node)) *simnodes.Nodes {
	s.t.Helper()
	nodes := simnodes.New(simnodes.Config{Registry: s.Registry, Count: n, Prepare: prepare})
	if err := nodes.Create(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.run("nodes", nodes.Run)
	return nodes
}

func aPod(name, cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "x"}},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName, RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{Name: "c", Image: "app:1", ImagePullPolicy: corev1.PullIfNotPresent,
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func (s *stack) createPod(p *corev1.Pod) {
	s.t.Helper()
	s.create(registry.Target{Resource: podsR, Namespace: p.Namespace}, p)
}

// until waits until a pod is as wanted.
func (s *stack) until(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	s.t.Helper()
	var last *corev1.Pod
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		o, err := s.Get(s.t.Context(), registry.Target{Resource: podsR, Namespace: "default", Name: name}, metav1.GetOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		if last = o.Obj.(*corev1.Pod); ok(last) {
			return last
		}
	}
	s.t.Fatalf("pod %s is not %s: node %q, status %+v", name, what, last.Spec.NodeName, last.Status)
	return nil
}

func isRunning(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && p.Status.Phase == corev1.PodRunning
}

func refusal(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && (c.Reason == corev1.PodReasonUnschedulable || c.Reason == corev1.PodReasonSchedulerError) {
			return c.Message
		}
	}
	return ""
}

// events returns the notes of the events with a reason. The hub of events is
// core/v1.
func (s *stack) events(reason string) []string {
	s.t.Helper()
	t := registry.Target{Resource: eventsv1.SchemeGroupVersion.WithResource("events"), Namespace: "default"}
	list, err := s.List(s.t.Context(), t, metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, o := range list.Items {
		e, ok := o.Obj.(*corev1.Event)
		if !ok {
			s.t.Fatalf("event is a %T", o.Obj)
		}
		if e.Reason == reason {
			out = append(out, e.Message)
		}
	}
	return out
}

// Pods are placed, refused with upstream's message, and placed once a node
// comes that takes them.
func TestRun(t *testing.T) {
	s := newStack(t, memory.New())
	s.nodes(3, func(i int, n *corev1.Node) {
		n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("2")
		n.Spec.Unschedulable = i == 2
	})
	sched := s.schedule()
	s.createPod(aPod("small", "500m"))
	s.createPod(aPod("big", "8"))
	s.createPod(aPod("gated", "100m", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}} }))
	s.createPod(aPod("foreign", "100m", func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }))

	s.until("small", "running", isRunning)
	want := "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
	s.until("big", "refused", func(p *corev1.Pod) bool { return refusal(p) == want })
	v, ok := sched.Explain("default", "big")
	if !ok || v.Message != want || len(v.Reasons) != 2 || v.Reasons[0].Plugin != "NodeResourcesFit" || len(v.Reasons[0].Examples) != 2 {
		t.Errorf("explain: %+v, %v", v, ok)
	}

	late := simnodes.New(simnodes.Config{Registry: s.Registry, Count: 1, Name: func(int) string { return "late" }})
	if err := late.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.run("late node", late.Run)
	if p := s.until("big", "running", isRunning); p.Spec.NodeName != "late" {
		t.Errorf("big is on %s", p.Spec.NodeName)
	}
	for _, name := range []string{"gated", "foreign"} {
		if p := s.until(name, "there", func(*corev1.Pod) bool { return true }); p.Spec.NodeName != "" {
			t.Errorf("%s was placed on %s", name, p.Spec.NodeName)
		}
	}
	for reason, note := range map[string]string{"Scheduled": "Successfully assigned default/small to ", "FailedScheduling": want} {
		found := false
		for end := time.Now().Add(time.Minute); !found && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			for _, e := range s.events(reason) {
				found = found || strings.HasPrefix(e, note)
			}
		}
		if !found {
			t.Errorf("no %s event that begins with %q in %v", reason, note, s.events(reason))
		}
	}
}

// A pod that is deleted makes room for one that waits.
func TestRoomAfterDeletion(t *testing.T) {
	s := newStack(t, memory.New())
	s.nodes(1, func(_ int, n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("1") })
	s.schedule()
	s.createPod(aPod("first", "800m"))
	s.until("first", "running", isRunning)
	s.createPod(aPod("second", "800m"))
	s.until("second", "refused", func(p *corev1.Pod) bool { return refusal(p) != "" })
	_, err := s.Delete(t.Context(), registry.Target{Resource: podsR, Namespace: "default", Name: "first"}, metav1.DeleteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.until("second", "running", isRunning)
}

// A plugin can be loaded and taken out while pods come.
func TestHotPlugin(t *testing.T) {
	s := newStack(t, memory.New())
	s.nodes(3, nil)
	sched := s.schedule()
	s.createPod(aPod("before", "100m"))
	s.until("before", "running", isRunning)
	if err := sched.Set(t.Context(), "test-nobody", nativePlugin("test-nobody")); err != nil {
		t.Fatal(err)
	}
	s.createPod(aPod("during", "100m"))
	s.until("during", "refused", func(p *corev1.Pod) bool {
		return refusal(p) == "0/3 nodes are available: 3 nobody may run here."
	})
	sched.Remove("test-nobody")
	s.until("during", "running", isRunning)
}

// A plugin that panics leaves the pod pending with a message, or out of the
// decision; the scheduler goes on.
func TestFaultyPlugin(t *testing.T) {
	for _, policy := range []scheduler.FailurePolicy{scheduler.Fail, scheduler.Ignore} {
		t.Run(string(policy), func(t *testing.T) {
			s := newStack(t, memory.New())
			s.nodes(2, nil)
			sched := s.schedule(func(c *scheduler.Config) { c.Log = nil })
			p := nativePlugin("test-panics")
			p.FailurePolicy = policy
			if err := sched.Set(t.Context(), "test-panics", p); err != nil {
				t.Fatal(err)
			}
			s.createPod(aPod("victim", "100m"))
			if policy == scheduler.Ignore {
				s.until("victim", "running", isRunning)
				return
			}
			got := s.until("victim", "refused", func(p *corev1.Pod) bool { return refusal(p) != "" })
			if m := refusal(got); !strings.Contains(m, "test-panics") || !strings.Contains(m, "panic: on purpose") {
				t.Errorf("message %q", m)
			}
			sched.Remove("test-panics")
			s.until("victim", "running", isRunning)
		})
	}
}

// TestPoisonPods: pods on which a plugin with the policy Fail panics wait, each
// by itself, and nobody waits with them.
func TestPoisonPods(t *testing.T) {
	s := newStack(t, memory.New())
	s.nodes(2, nil)
	sched := s.schedule(func(c *scheduler.Config) { c.Log = nil })
	if err := sched.Set(t.Context(), "test-poisoned", nativePlugin("test-poisoned")); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s.createPod(aPod(fmt.Sprint("poison-", i), "10m"))
		s.createPod(aPod(fmt.Sprint("good-", i), "10m"))
	}
	for i := range 20 {
		s.until(fmt.Sprint("good-", i), "running", isRunning)
	}
	got := s.until("poison-7", "refused", func(p *corev1.Pod) bool { return refusal(p) != "" })
	c := got.Status.Conditions[0]
	if c.Reason != corev1.PodReasonSchedulerError || !strings.Contains(c.Message, "plugin test-poisoned: plugin trapped: panic: poison") {
		t.Errorf("condition %+v", c)
	}
	sched.Remove("test-poisoned")
	s.until("poison-7", "running", isRunning)
}

func init() {
	sdk.Register(sdk.Plugin{Name: "test-poisoned", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Filter: func(p *scheduling.Pod, _ scheduling.Node) *scheduling.Status {
			if strings.HasPrefix(p.Name(), "poison") {
				panic("poison")
			}
			return nil
		}}, nil
	}})
	refuse := scheduling.Unschedulable("nobody may run here")
	sdk.Register(sdk.Plugin{Name: "test-nobody", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return refuse }}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "test-panics", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{Score: func(*scheduling.Pod, scheduling.Node) int64 { panic("on purpose") }}, nil
	}})
}

// BenchmarkCluster places 5,000 pods on 1,000 simulated nodes, on etcd.
func BenchmarkCluster(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		etcd, err := embed.Start(b.Context(), embed.Config{Dir: b.TempDir(), UnsafeNoFsync: true})
		if err != nil {
			b.Fatal(err)
		}
		s := newStack(b, etcd.Store())
		nodes := simnodes.New(simnodes.Config{Registry: s.Registry, Count: 1000, LeaseInterval: -1})
		if err := nodes.Create(b.Context()); err != nil {
			b.Fatal(err)
		}
		w, err := s.Watch(b.Context(), registry.Target{Resource: podsR}, metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		s.schedule()
		const pods = 5000
		var items []registry.BatchItem
		for i := range pods {
			items = append(items, registry.BatchItem{Verb: "create", Target: registry.Target{Resource: podsR, Namespace: "default"},
				Object: aPod(fmt.Sprintf("p-%d", i), "100m")})
		}
		b.StartTimer()
		begin := time.Now()
		go func() {
			for k := 0; k < pods; k += 250 {
				if _, err := s.Batch(b.Context(), items[k:k+250], false); err != nil {
					b.Error(err)
				}
			}
		}()
		bound := map[string]bool{}
		for len(bound) < pods {
			e, ok := <-w.Events()
			if !ok {
				b.Fatal(w.Err())
			}
			if e.Object != nil && e.Object.Obj.(*corev1.Pod).Spec.NodeName != "" {
				bound[e.Object.Name] = true
			}
		}
		b.ReportMetric(pods/time.Since(begin).Seconds(), "pods/s")
		b.StopTimer()
		w.Stop()
		if err := etcd.Close(); err != nil {
			b.Error(err)
		}
		b.StartTimer()
	}
}

func nativePlugin(name string) scheduler.Plugin {
	return scheduler.Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
		return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: name})
	}}
}
