package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/scheduler/cache"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

var start = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// standard is the profile of a new cluster on the native host.
func standard() Plugin {
	return Plugin{
		Open: func(ctx context.Context) (plugin.Instance, error) {
			return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: scheduling.Name})
		},
	}
}

func newTestCycle(t testing.TB, plugins ...Plugin) *cycle {
	t.Helper()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(name string) bool { return name == "" || name == corev1.DefaultSchedulerName }
	c := newCycle(ours, rand.NewPCG(1, 2), m, slog.New(slog.DiscardHandler), 1000)
	if len(plugins) == 0 {
		plugins = []Plugin{standard()}
	}
	for i, p := range plugins {
		in, err := evaluate.Open(t.Context(), fmt.Sprintf("plugin-%d", i), p, c.objects)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.setPlugin(in.Name(), in); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := c.evaluator.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// record is what plugins are given of a pod.
func record(o *corev1.Pod, u *columns.Usage) *evaluate.Pod { return evaluate.NewPod(o, u) }

// decide places a pod and counts it.
func (c *cycle) decide(t *testing.T, o *corev1.Pod) evaluate.Outcome {
	t.Helper()
	u := cache.UsageOf(o)
	out, err := c.evaluator.Decide(t.Context(), record(o, &u), start)
	if err != nil {
		t.Fatal(err)
	}
	if out.Fit == nil {
		o = o.DeepCopy()
		o.Spec.NodeName = out.Node
		c.putPod(o, start)
	}
	return out
}

func testNode(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			corev1.ResourcePods: resource.MustParse("110"), corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		}},
	}
	for _, f := range change {
		f(n)
	}
	return n
}

func testPod(name, cpu, memory string, change ...func(*corev1.Pod)) *corev1.Pod {
	requests := corev1.ResourceList{}
	if cpu != "" {
		requests[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		requests[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{
			Name: "c", Image: "registry.local/app:1", Resources: corev1.ResourceRequirements{Requests: requests},
		}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func TestPlacesAndRefuses(t *testing.T) {
	c := newTestCycle(t)
	cl := c
	cl.putNode(testNode("a", "2", "4Gi"), start)
	cl.putNode(testNode("b", "4", "8Gi"), start)
	cl.putNode(testNode("c", "8", "8Gi", func(n *corev1.Node) { n.Spec.Unschedulable = true }), start)
	cl.putPod(testPod("one", "1", "1Gi"), start)
	cl.putPod(testPod("big", "3500m", "1Gi"), start)

	d := c.next(t.Context(), start)
	if d == nil || d.node != "b" {
		t.Fatalf("first decision %+v, want node b: it has the most room", d)
	}
	d = c.next(t.Context(), start)
	want := "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
	if d == nil || d.node != "" || d.message != want {
		t.Fatalf("second decision %+v, want %q", d, want)
	}
	if !d.condition || !d.event {
		t.Errorf("a new message must be written and noted: %+v", d)
	}
	if d := c.next(t.Context(), start); d != nil {
		t.Fatalf("decision %+v without a pod", d)
	}
}

func benchCore(b *testing.B, nodes int, p Plugin) *cycle {
	c := newTestCycle(b, p)
	for i := range nodes {
		c.putNode(testNode(fmt.Sprintf("node-%d", i), fmt.Sprint(4+i%5*4), fmt.Sprintf("%dGi", 16+i%3*16), func(n *corev1.Node) {
			n.Labels["topology.kubernetes.io/zone"] = string(rune('a' + i%3))
			if i%10 == 0 {
				n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
			}
			n.Status.Images = []corev1.ContainerImage{{Names: []string{fmt.Sprintf("registry.local/app:%d", i%4)}, SizeBytes: 300 << 20}}
		}), start)
	}
	return c
}

func benchPod(i int) *corev1.Pod {
	return testPod(fmt.Sprintf("pod-%d", i), "100m", "64Mi", func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{"topology.kubernetes.io/zone": "a"}
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 5, Preference: corev1.NodeSelectorTerm{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "topology.kubernetes.io/zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a", "b"}}},
			}}},
		}}
	})
}

// BenchmarkFirst is the decision about a pod of a new signature.
func BenchmarkFirst(b *testing.B) { benchFirst(b, standard()) }

// BenchmarkRepeat is the decision about the next pod of a known signature, with
// the row of the last decision changed.
func BenchmarkRepeat(b *testing.B) { benchRepeat(b, standard()) }

func benchFirst(b *testing.B, p Plugin) {
	c := benchCore(b, 5000, p)
	o := benchPod(0)
	u := cache.UsageOf(o)
	_, _ = c.evaluator.Decide(b.Context(), record(o, &u), start)
	b.ResetTimer()
	for b.Loop() {
		c.evaluator.Forget()
		if out, err := c.evaluator.Decide(b.Context(), record(o, &u), start); err != nil || out.Node == "" {
			b.Fatal(out, err)
		}
	}
}

func benchRepeat(b *testing.B, p Plugin) {
	c := benchCore(b, 5000, p)
	o := benchPod(0)
	u := cache.UsageOf(o)
	rec := record(o, &u)
	var last []int
	for b.Loop() {
		out, err := c.evaluator.Decide(b.Context(), rec, start)
		if err != nil || out.Node == "" {
			b.Fatal(out, err)
		}
		c.cache.Table().Use(out.Row, &u, 1)
		if last = append(last, out.Row); len(last) > 1000 {
			c.cache.Table().Use(last[0], &u, -1)
			last = last[1:]
		}
	}
}
