package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

func init() {
	refused := scheduling.Unschedulable("the pod's label says no")
	register("test-label", func() *scheduling.Points {
		return &scheduling.Points{Filter: func(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if v, _ := p.Label("run"); v == "no" {
				return refused
			}
			return nil
		}}
	})
	// Cluster scope: takes only nodes with the fewest pods of all, and favors
	// the last of them.
	crowded := scheduling.Unschedulable("node(s) have more pods than others")
	register("test-spread", func() *scheduling.Points {
		var least int64
		return &scheduling.Points{Scope: schedule.Cluster,
			PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
				for i := range s.Len() {
					if n, ok := s.Node(i); ok && (i == 0 || n.Pods() < least) {
						least = n.Pods()
					}
				}
				return nil
			},
			Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
				if n.Pods() > least {
					return crowded
				}
				return nil
			},
			Score:   func(_ *scheduling.Pod, n scheduling.Node) int64 { return int64(n.Row()) },
			Scaling: schedule.ScaleToMax,
		}
	})
	// The same by looking around in a node-local plugin, which must work too.
	register("test-curious", func() *scheduling.Points {
		return &scheduling.Points{
			PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
				best, at := int64(0), ""
				for i := range s.Len() {
					if n, ok := s.Node(i); ok && (i == 0 || n.Pods() < best) {
						best, at = n.Pods(), n.Name()
					}
				}
				return scheduling.Only(at)
			},
		}
	})
	cpu := func(_ *scheduling.Pod, n scheduling.Node) int64 { return n.AllocatableCPU() - n.RequestedCPU() }
	register("test-scaled", func() *scheduling.Points { return &scheduling.Points{Score: cpu, Scaling: schedule.ScaleReversed} })
	register("test-normalized", func() *scheduling.Points {
		return &scheduling.Points{Score: cpu, Normalize: func(_ *scheduling.Pod, s *scheduling.Scores) {
			highest := s.Max()
			for i := range s.Len() {
				s.Set(i, schedule.ScaleReversed.Apply(s.At(i), highest))
			}
		}}
	})
	register("test-only-a", func() *scheduling.Points {
		return &scheduling.Points{PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status { return scheduling.Only("a", "b") }}
	})
	register("test-only-b", func() *scheduling.Points {
		return &scheduling.Points{PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status { return scheduling.Only("b", "c") }}
	})
	register("test-only-z", func() *scheduling.Points {
		return &scheduling.Points{PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status { return scheduling.Only("z") }}
	})
	register("test-out-of-bounds", func() *scheduling.Points {
		return &scheduling.Points{Score: func(*scheduling.Pod, scheduling.Node) int64 { return 101 }}
	})
	register("test-normalized-out-of-bounds", func() *scheduling.Points {
		return &scheduling.Points{Score: cpu, Normalize: func(_ *scheduling.Pod, s *scheduling.Scores) { s.Set(0, -1) }}
	})
	register("test-never", func() *scheduling.Points {
		return &scheduling.Points{PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status {
			return scheduling.UnschedulableAndUnresolvable("no", "never")
		}}
	})
}

func labeled(v string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels = map[string]string{"run": v} }
}

// Pods that differ in labels only share verdicts until a plugin looks at
// labels.
func TestLabelsTellSignaturesApart(t *testing.T) {
	c := newTestBed(t, standard())
	c.threeNodes()
	c.place(t, pod("p1", "100m", labeled("yes")))
	c.place(t, pod("p2", "100m", labeled("no")))
	if n := len(c.memory.bySignature); n != 1 {
		t.Errorf("%d signatures, want 1", n)
	}
	c = newTestBed(t, standard(), registered("test-label"))
	c.threeNodes()
	for i, v := range []string{"yes", "no", "yes", "no"} {
		out := c.place(t, pod(fmt.Sprint("p", i), "100m", labeled(v)))
		if (out.Fit != nil) != (v == "no") {
			t.Errorf("pod %d with label %s: %+v", i, v, out)
		}
	}
	if n := len(c.memory.bySignature); n != 2 {
		t.Errorf("%d signatures, want 2", n)
	}
}

func TestClusterScope(t *testing.T) {
	for _, name := range []string{"test-spread", "test-curious"} {
		c := newTestBed(t, standard(), registered(name))
		c.threeNodes()
		count := map[string]int{}
		for i := range 9 {
			out := c.place(t, pod(fmt.Sprint("p", i), "100m"))
			if out.Fit != nil {
				t.Fatalf("%s: pod %d: %v", name, i, out.Fit)
			}
			count[out.Node]++
			if i%3 == 2 && !slices.Equal([]int{count["a"], count["b"], count["c"]}, []int{i/3 + 1, i/3 + 1, i/3 + 1}) {
				t.Errorf("%s: after %d pods %v", name, i+1, count)
			}
		}
	}
	c := newTestBed(t, standard(), registered("test-spread"))
	c.threeNodes()
	for _, on := range []string{"a", "b"} {
		row, _ := c.cfg.Table.Row(on)
		c.cfg.Table.Use(row, &columns.Usage{}, 1)
	}
	c.put(node("c", "1", "8Gi"))
	out := c.place(t, pod("big", "2"))
	want := "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) have more pods than others."
	if out.Fit == nil || out.Fit.Error() != want {
		t.Errorf("%+v, want %s", out.Fit, want)
	}
}

// A plugin that normalizes by itself gets the same as one that lets the
// kernel scale.
func TestNormalizeAndScaleAgree(t *testing.T) {
	a := newTestBed(t, standard(), registered("test-scaled"))
	b := newTestBed(t, standard(), registered("test-normalized"))
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 100 {
		n := node(fmt.Sprint("n", r.IntN(70)), fmt.Sprint(1+r.IntN(64)), "64Gi")
		a.put(n)
		b.put(n)
		p := pod(fmt.Sprint("p", i), []string{"100m", "2", "40"}[r.IntN(3)])
		x, y := a.place(t, p), b.place(t, p)
		if x.Node != y.Node || x.Score != y.Score {
			t.Fatalf("step %d: scaled %s %d, normalized %s %d", i, x.Node, x.Score, y.Node, y.Score)
		}
	}
}

func TestNarrowing(t *testing.T) {
	for _, tt := range []struct {
		plugins []string
		node    string
		message string
	}{
		{[]string{"test-only-a", "test-only-b"}, "b", ""},
		{[]string{"test-only-a", "test-only-z"}, "", "0/3 nodes are available: node(s) didn't satisfy plugin(s) [test-only-a test-only-z] simultaneously."},
		{[]string{"test-only-z"}, "", "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [test-only-z]."},
		{[]string{"test-never"}, "", "0/3 nodes are available: no, never."},
	} {
		list := []Plugin{standard()}
		for _, name := range tt.plugins {
			list = append(list, registered(name))
		}
		c := newTestBed(t, list...)
		c.threeNodes()
		out := c.place(t, pod("p", "100m"))
		message := ""
		if out.Fit != nil {
			message = out.Fit.Error()
		}
		if out.Node != tt.node || message != tt.message {
			t.Errorf("%v: %q %q, want %q %q", tt.plugins, out.Node, message, tt.node, tt.message)
		}
	}
}

// The number of signatures is bounded.
func TestSignaturesAreEvicted(t *testing.T) {
	c := newTestBed(t)
	c.threeNodes()
	for i := range 2 * maxSignatures {
		o := pod(fmt.Sprint("p", i), "", func(p *corev1.Pod) { p.Spec.Containers[0].Image = fmt.Sprint("image:", i) })
		c.try(t, o)
	}
	if n := len(c.memory.bySignature); n != maxSignatures {
		t.Errorf("%d signatures, want %d", n, maxSignatures)
	}
}

// Ties are broken by chance, so that equal nodes fill alike.
func TestTies(t *testing.T) {
	c := newTestBed(t)
	for i := range 200 {
		c.put(node(fmt.Sprint("n", i), "4", "8Gi"))
	}
	o := pod("p", "100m")
	count := map[string]int{}
	for range 10_000 {
		count[c.try(t, o).Node]++
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
	var lead leaders
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
		row, score := k.pick(pick, &lead)
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
	e := New(Config{Table: columns.NewTable(), Seed: rand.NewPCG(1, 2)})
	for _, name := range []string{"m", "z", "a", "m"} {
		if err := e.Replace(name, &Instance{name: name}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, in := range e.instances {
		got = append(got, in.name)
	}
	if want := []string{"a", "m", "z"}; !slices.Equal(got, want) {
		t.Errorf("plugins %q, want %q", got, want)
	}
}

// TestScoreOutOfBoundsIsAFault: an answer that cannot be used counts as one, as
// the documents say, and is said once.
func TestScoreOutOfBoundsIsAFault(t *testing.T) {
	for name, want := range map[string]string{
		"test-out-of-bounds":            "plugin plugin-1: plugin protocol violated: score 101 of node a is not in the range of 0 to 100",
		"test-normalized-out-of-bounds": "plugin plugin-1: plugin protocol violated: score -1 of node a is not in the range of 0 to 100",
	} {
		c := newTestBed(t, standard(), faulting(t, name))
		c.threeNodes()
		for i := range 3 {
			if _, err := c.Decide(t.Context(), pod("p", "100m").asked(), start); err == nil || err.Error() != want || !isFault(err) {
				t.Fatalf("try %d: %v, want the fault %s", i, err, want)
			}
		}
		_, err := c.Decide(t.Context(), pod("p", "100m").asked(), start)
		if !errors.Is(err, plugin.ErrQuarantined) {
			t.Fatalf("after three faults: %v", err)
		}
		if text := err.Error(); strings.Count(text, "plugin-1") != 1 || strings.Contains(text, "open") {
			t.Errorf("the quarantine reads %q", text)
		}
	}
}

// faulting is a registered plugin whose faults are counted.
func faulting(t *testing.T, name string) Plugin {
	t.Helper()
	p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: name, Host: native.Host{}, Options: plugin.OpenOptions{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return Plugin{Open: func(ctx context.Context) (plugin.Instance, error) { return p.Open(ctx, nil) }}
}
