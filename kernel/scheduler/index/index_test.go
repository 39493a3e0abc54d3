package index_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/scheduler/index"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// world is a table with pods, counted naively.
type world struct {
	t     *testing.T
	r     *rand.Rand
	table *columns.Table
	set   *index.Set
	pods  []pod
}

type pod struct {
	index.Pod
	node string
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 3)), table: columns.NewTable()}
	w.set = index.NewSet(w.table, func(yield func(string, index.Pod)) {
		for _, p := range w.pods {
			yield(p.node, p.Pod)
		}
	})
	return w
}

func (w *world) pick(list ...string) string { return list[w.r.IntN(len(list))] }

func (w *world) count(p pod, by int64) {
	w.set.Count(p.node, p.Pod, by)
	if row, ok := w.table.Row(p.node); ok {
		w.table.Use(row, &columns.Usage{}, by)
	}
}

func (w *world) step() {
	node := fmt.Sprint("n", w.r.IntN(12))
	switch k := w.r.IntN(10); {
	case k < 2:
		labels := map[string]string{"host": node}
		if w.r.IntN(4) > 0 {
			labels["zone"] = w.pick("a", "b", "c")
		}
		w.table.Put(columns.Node{Name: node, Labels: labels})
	case k < 3:
		w.table.Remove(node)
	case k < 5 && len(w.pods) > 0:
		i := w.r.IntN(len(w.pods))
		w.count(w.pods[i], -1)
		w.pods = slices.Delete(w.pods, i, i+1)
	default:
		p := pod{index.Pod{Namespace: w.pick("x", "y"), Labels: map[string]string{"app": w.pick("web", "db"), "tier": w.pick("1", "2")},
			Terminating: w.r.IntN(5) == 0}, node}
		w.pods = append(w.pods, p)
		w.count(p, 1)
	}
}

// naive counts what the spec says, by row.
func (w *world) naive(s index.Spec, matches func(index.Pod) bool) (values []int64, sum index.Summary) {
	domains := map[string]int64{}
	for row := range w.table.Rows() {
		if v, ok := w.table.Node(row).Labels[s.TopologyKey]; ok {
			domains[v] += 0
		}
	}
	for _, p := range w.pods {
		row, ok := w.table.Row(p.node)
		if !ok || !matches(p.Pod) || s.SkipTerminating && p.Terminating {
			continue
		}
		if v, ok := w.table.Node(row).Labels[s.TopologyKey]; ok {
			domains[v]++
		}
	}
	for row := range w.table.Rows() {
		v, ok := w.table.Node(row).Labels[s.TopologyKey]
		if !ok {
			values = append(values, index.None)
			continue
		}
		values = append(values, domains[v])
	}
	for _, n := range domains {
		if sum.Domains == 0 || n < sum.Min {
			sum.Min = n
		}
		sum.Max = max(sum.Max, n)
		sum.Domains++
	}
	return values, sum
}

// TestAgainstNaive: whatever happens, the values are those of a new look at
// everything, and Changed names exactly the rows whose value changed.
func TestAgainstNaive(t *testing.T) {
	web := func(p index.Pod) bool { return p.Labels["app"] == "web" }
	specs := []struct {
		spec    index.Spec
		matches func(index.Pod) bool
	}{
		{index.Spec{TopologyKey: "zone", Selector: "app=web"}, web},
		{index.Spec{TopologyKey: "host", Selector: "app=web", Namespaces: []string{"x"}}, func(p index.Pod) bool { return web(p) && p.Namespace == "x" }},
		{index.Spec{TopologyKey: "zone", Selector: "tier in (2), app!=web", SkipTerminating: true}, func(p index.Pod) bool { return !web(p) && p.Labels["tier"] == "2" }},
		{index.Spec{TopologyKey: "nowhere"}, func(index.Pod) bool { return true }},
	}
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		last := make([][]int64, len(specs))
		pos := make([]uint64, len(specs))
		col := make([][]int64, len(specs))
		for range 400 {
			for range 1 + w.r.IntN(3) {
				w.step()
			}
			for i, s := range specs {
				if w.r.IntN(3) == 0 {
					continue // it is not asked for each time
				}
				x, err := w.set.Get(s.spec)
				if err != nil {
					t.Fatal(err)
				}
				want, sum := w.naive(s.spec, s.matches)
				if got := x.Summary(); got != sum {
					t.Fatalf("seed %d, %+v: summary %+v, want %+v", seed, s.spec, got, sum)
				}
				changed := map[int]bool{}
				x.Changed(pos[i], func(row int) { changed[row] = true })
				for len(col[i]) < len(want) {
					col[i] = append(col[i], 0)
				}
				x.Copy(col[i], pos[i])
				if !slices.Equal(col[i][:len(want)], want) {
					t.Fatalf("seed %d, %+v: column %v, want %v", seed, s.spec, col[i][:len(want)], want)
				}
				for row, v := range want {
					if known := row < len(last[i]); known && last[i][row] != v && !changed[row] {
						t.Fatalf("seed %d, %+v: row %d went from %d to %d untold", seed, s.spec, row, last[i][row], v)
					}
				}
				last[i], pos[i] = want, x.Position()
			}
		}
	}
}

// Nothing is told of a domain that did not change.
func TestOtherDomainsStay(t *testing.T) {
	w := newWorld(t, 1)
	for i, zone := range []string{"a", "a", "b"} {
		w.table.Put(columns.Node{Name: fmt.Sprint("n", i), Labels: map[string]string{"zone": zone}})
	}
	spec := index.Spec{TopologyKey: "zone", Selector: "app=web"}
	x, err := w.set.Get(spec)
	if err != nil {
		t.Fatal(err)
	}
	pos := x.Position()
	w.count(pod{index.Pod{Namespace: "x", Labels: map[string]string{"app": "db"}}, "n0"}, 1)
	x.Update()
	if x.Position() != pos {
		t.Error("a pod that does not match changed something")
	}
	w.count(pod{index.Pod{Namespace: "x", Labels: map[string]string{"app": "web"}}, "n0"}, 1)
	x.Update()
	var rows []int
	x.Changed(pos, func(row int) { rows = append(rows, row) })
	if !slices.Equal(rows, []int{0, 1}) {
		t.Errorf("rows %v changed, want those of zone a", rows)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld(t, 1)
	w.table.Put(columns.Node{Name: "n"})
	for _, s := range []index.Spec{
		{Selector: "a=b"},
		{TopologyKey: "zone", Selector: "a in"},
		{TopologyKey: "zone", Selector: strings.Repeat("a", 5000)},
		{TopologyKey: "zone", Namespaces: make([]string, 2000)},
	} {
		if _, err := w.set.Get(s); !errors.Is(err, index.ErrSpec) {
			t.Errorf("%d bytes, %d namespaces: %v", len(s.Selector), len(s.Namespaces), err)
		}
	}
	get := func(i int) *index.Index {
		x, err := w.set.Get(index.Spec{TopologyKey: "zone", Selector: fmt.Sprintf("app=a%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	first := get(0)
	for i := range 2 * index.MaxIndexes {
		get(i)
		w.set.Sweep(1 << 30)
		if get(0) != first {
			t.Fatal("an index in use was dropped")
		}
	}
	if n := w.set.Len(); n > index.MaxIndexes {
		t.Errorf("%d indexes", n)
	}
	for range 4 {
		get(0)
		w.set.Sweep(2)
	}
	if n := w.set.Len(); n != 1 {
		t.Errorf("%d indexes are left, want the one in use", n)
	}
}

// BenchmarkBind is what a bind costs: 5,000 nodes, 10,000 pods, a column for
// each of zone and host.
func BenchmarkBind(b *testing.B) {
	t := columns.NewTable()
	set := index.NewSet(t, func(func(string, index.Pod)) {})
	for i := range 5000 {
		t.Put(columns.Node{Name: fmt.Sprint("n", i), Labels: map[string]string{"zone": fmt.Sprint(i % 3), "host": fmt.Sprint("n", i)}})
	}
	p := index.Pod{Namespace: "x", Labels: map[string]string{"app": "web"}}
	add := func(i int) {
		set.Count(fmt.Sprint("n", i%5000), p, 1)
		row, _ := t.Row(fmt.Sprint("n", i%5000))
		t.Use(row, &columns.Usage{}, 1)
	}
	for i := range 10_000 {
		add(i)
	}
	for _, key := range []string{"zone", "host"} {
		b.Run(key, func(b *testing.B) {
			col := make([]int64, 5000)
			pos, i := uint64(0), 0
			for b.Loop() {
				add(i)
				i += 17
				x, err := set.Get(index.Spec{TopologyKey: key, Selector: "app=web"})
				if err != nil {
					b.Fatal(err)
				}
				x.Copy(col, pos)
				pos = x.Position()
				x.Summary()
			}
		})
	}
}
