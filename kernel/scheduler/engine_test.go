package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/sdk"
)

// registered opens a plugin that was registered in this binary.
func registered(name string) Plugin {
	return Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
		return native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: name})
	}}
}

func register(name string, p func() *sdk.Points) {
	sdk.Register(sdk.Plugin{Name: name, New: func([]byte) (*sdk.Points, error) { return p(), nil }})
}

func init() {
	refused := sdk.Unschedulable("the pod's label says no")
	register("core-label", func() *sdk.Points {
		return &sdk.Points{Filter: func(p *sdk.Pod, n sdk.Node) *sdk.Status {
			if v, _ := p.Label("run"); v == "no" {
				return refused
			}
			return nil
		}}
	})
	// Cluster scope: takes only nodes with the fewest pods of all, and favors
	// the last of them.
	crowded := sdk.Unschedulable("node(s) have more pods than others")
	register("core-spread", func() *sdk.Points {
		var least int64
		return &sdk.Points{Scope: sdk.Cluster,
			PreFilter: func(_ *sdk.Pod, s *sdk.Snapshot) *sdk.Status {
				for i := range s.Len() {
					if n, ok := s.Node(i); ok && (i == 0 || n.Pods() < least) {
						least = n.Pods()
					}
				}
				return nil
			},
			Filter: func(_ *sdk.Pod, n sdk.Node) *sdk.Status {
				if n.Pods() > least {
					return crowded
				}
				return nil
			},
			Score:   func(_ *sdk.Pod, n sdk.Node) int64 { return int64(n.Row()) },
			Scaling: sdk.ScaleToMax,
		}
	})
	// The same by looking around in a node-local plugin, which must work too.
	register("core-curious", func() *sdk.Points {
		return &sdk.Points{
			PreFilter: func(_ *sdk.Pod, s *sdk.Snapshot) *sdk.Status {
				best, at := int64(0), ""
				for i := range s.Len() {
					if n, ok := s.Node(i); ok && (i == 0 || n.Pods() < best) {
						best, at = n.Pods(), n.Name()
					}
				}
				return sdk.Only(at)
			},
		}
	})
	cpu := func(_ *sdk.Pod, n sdk.Node) int64 { return n.AllocatableCPU() - n.RequestedCPU() }
	register("core-scaled", func() *sdk.Points { return &sdk.Points{Score: cpu, Scaling: sdk.ScaleReversed} })
	register("core-normalized", func() *sdk.Points {
		return &sdk.Points{Score: cpu, Normalize: func(_ *sdk.Pod, s *sdk.Scores) {
			highest := s.Max()
			for i := range s.Len() {
				s.Set(i, sdk.ScaleReversed.Apply(s.At(i), highest))
			}
		}}
	})
	register("core-only-a", func() *sdk.Points {
		return &sdk.Points{PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status { return sdk.Only("a", "b") }}
	})
	register("core-only-b", func() *sdk.Points {
		return &sdk.Points{PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status { return sdk.Only("b", "c") }}
	})
	register("core-only-z", func() *sdk.Points {
		return &sdk.Points{PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status { return sdk.Only("z") }}
	})
	register("core-never", func() *sdk.Points {
		return &sdk.Points{PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status {
			return sdk.UnschedulableAndUnresolvable("no", "never")
		}}
	})
}

func threeNodes(c *core) {
	for _, name := range []string{"a", "b", "c"} {
		c.cluster.putNode(testNode(name, "4", "8Gi"), start)
	}
}

// decide places a pod and counts it.
func (c *core) decide(t *testing.T, o *corev1.Pod) outcome {
	t.Helper()
	u := usageOf(o)
	out, err := c.engine.decide(t.Context(), recordOf(o, &u), start)
	if err != nil {
		t.Fatal(err)
	}
	if out.fit == nil {
		o = o.DeepCopy()
		o.Spec.NodeName = out.node
		c.cluster.putPod(o, start)
	}
	return out
}

func labeled(v string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{"run": v} }
}

// Pods that differ in labels only share verdicts until a plugin looks at
// labels.
func TestLabelsTellShapesApart(t *testing.T) {
	c := newTestCore(t, standard())
	threeNodes(c)
	c.decide(t, testPod("p1", "100m", "", labeled("yes")))
	c.decide(t, testPod("p2", "100m", "", labeled("no")))
	if n := len(c.engine.shapes); n != 1 {
		t.Errorf("%d shapes, want 1", n)
	}
	c = newTestCore(t, standard(), registered("core-label"))
	threeNodes(c)
	for i, v := range []string{"yes", "no", "yes", "no"} {
		out := c.decide(t, testPod(fmt.Sprint("p", i), "100m", "", labeled(v)))
		if (out.fit != nil) != (v == "no") {
			t.Errorf("pod %d with label %s: %+v", i, v, out)
		}
	}
	if n := len(c.engine.shapes); n != 2 {
		t.Errorf("%d shapes, want 2", n)
	}
}

func TestClusterScope(t *testing.T) {
	for _, name := range []string{"core-spread", "core-curious"} {
		c := newTestCore(t, standard(), registered(name))
		threeNodes(c)
		count := map[string]int{}
		for i := range 9 {
			out := c.decide(t, testPod(fmt.Sprint("p", i), "100m", ""))
			if out.fit != nil {
				t.Fatalf("%s: pod %d: %v", name, i, out.fit)
			}
			count[out.node]++
			if i%3 == 2 && !slices.Equal([]int{count["a"], count["b"], count["c"]}, []int{i/3 + 1, i/3 + 1, i/3 + 1}) {
				t.Errorf("%s: after %d pods %v", name, i+1, count)
			}
		}
	}
	c := newTestCore(t, standard(), registered("core-spread"))
	threeNodes(c)
	for _, on := range []string{"a", "b"} {
		c.cluster.putPod(testPod("on-"+on, "", "", func(p *corev1.Pod) { p.Spec.NodeName = on }), start)
	}
	c.cluster.putNode(testNode("c", "1", "8Gi"), start)
	out := c.decide(t, testPod("big", "2", ""))
	want := "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) have more pods than others."
	if out.fit == nil || out.fit.Error() != want {
		t.Errorf("%+v, want %s", out.fit, want)
	}
}

// A plugin that normalizes by itself gets the same as one that lets the
// kernel scale.
func TestNormalizeAndScaleAgree(t *testing.T) {
	a := newTestCore(t, standard(), registered("core-scaled"))
	b := newTestCore(t, standard(), registered("core-normalized"))
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 100 {
		n := testNode(fmt.Sprint("n", r.IntN(70)), fmt.Sprint(1+r.IntN(64)), "64Gi")
		a.cluster.putNode(n, start)
		b.cluster.putNode(n, start)
		p := testPod(fmt.Sprint("p", i), []string{"100m", "2", "40"}[r.IntN(3)], "")
		x, y := a.decide(t, p), b.decide(t, p)
		if x.node != y.node || x.score != y.score {
			t.Fatalf("step %d: scaled %s %d, normalized %s %d", i, x.node, x.score, y.node, y.score)
		}
	}
}

func TestNarrowing(t *testing.T) {
	for _, tt := range []struct {
		plugins []string
		node    string
		message string
	}{
		{[]string{"core-only-a", "core-only-b"}, "b", ""},
		{[]string{"core-only-a", "core-only-z"}, "", "0/3 nodes are available: node(s) didn't satisfy plugin(s) [core-only-a core-only-z] simultaneously."},
		{[]string{"core-only-z"}, "", "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [core-only-z]."},
		{[]string{"core-never"}, "", "0/3 nodes are available: no, never."},
	} {
		list := []Plugin{standard()}
		for _, name := range tt.plugins {
			list = append(list, registered(name))
		}
		c := newTestCore(t, list...)
		threeNodes(c)
		out := c.decide(t, testPod("p", "100m", ""))
		message := ""
		if out.fit != nil {
			message = out.fit.Error()
		}
		if out.node != tt.node || message != tt.message {
			t.Errorf("%v: %q %q, want %q %q", tt.plugins, out.node, message, tt.node, tt.message)
		}
	}
}

// The memory of shapes is bounded.
func TestShapesAreEvicted(t *testing.T) {
	c := newTestCore(t)
	threeNodes(c)
	for i := range 2 * maxShapes {
		o := testPod(fmt.Sprint("p", i), "", "", func(p *corev1.Pod) { p.Spec.Containers[0].Image = fmt.Sprint("image:", i) })
		u := usageOf(o)
		if _, err := c.engine.decide(t.Context(), recordOf(o, &u), start); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.engine.shapes); n != maxShapes {
		t.Errorf("%d shapes, want %d", n, maxShapes)
	}
}

// Ties are broken by chance, so that equal nodes fill alike.
func TestTies(t *testing.T) {
	c := newTestCore(t)
	for i := range 200 {
		c.cluster.putNode(testNode(fmt.Sprint("n", i), "4", "8Gi"), start)
	}
	o := testPod("p", "100m", "")
	u := usageOf(o)
	count := map[string]int{}
	for range 10_000 {
		out, err := c.engine.decide(t.Context(), recordOf(o, &u), start)
		if err != nil {
			t.Fatal(err)
		}
		count[out.node]++
	}
	for i := range 200 {
		if n := count[fmt.Sprint("n", i)]; n < 15 || n > 100 {
			t.Errorf("node %d was chosen %d times of 10000, expected about 50", i, n)
		}
	}
}

func TestRanking(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var k ranking
	var want []int64
	for range 3000 {
		switch n := len(want); {
		case n == 0 || r.IntN(20) == 0:
			n = r.IntN(300)
			for len(want) < n {
				want = append(want, absent)
			}
			want = want[:n]
			k.resize(n)
		default:
			row, v := r.IntN(n), int64(r.IntN(6))
			if v == 5 {
				v = absent
			}
			want[row] = v
			k.set(row, v)
		}
		best := int64(absent)
		var rows []int
		for i, v := range want {
			if v > best {
				best, rows = v, nil
			}
			if v == best && v != absent {
				rows = append(rows, i)
			}
		}
		pick := r.Uint64()
		row, score := k.pick(pick)
		if len(rows) == 0 {
			if row != -1 {
				t.Fatalf("picked %d of none", row)
			}
			continue
		}
		if w := rows[pick%uint64(len(rows))]; row != w || score != best {
			t.Fatalf("picked %d with %d, want %d with %d", row, score, w, best)
		}
	}
}

// TestOrderOfPlugins: the order is that of names, since plugins that are loaded
// at the same time come in any order.
func TestOrderOfPlugins(t *testing.T) {
	e := &engine{shapes: map[string]*shape{}}
	for _, name := range []string{"m", "z", "a", "m"} {
		if err := e.replace(name, &unit{name: name}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, u := range e.units {
		got = append(got, u.name)
	}
	if want := []string{"a", "m", "z"}; !slices.Equal(got, want) {
		t.Errorf("units %q, want %q", got, want)
	}
}
