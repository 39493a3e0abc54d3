package columns_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// podReader is a plugin's side of columns over pods.
type podReader struct {
	nodes, pods columns.Layout
	region      []byte
	strings     []string
	labelSets   [][]columns.LabelRef
	portSets    [][]columns.PortRef
	affinities  []string
}

func (r *podReader) take(t *testing.T, d *columns.Delta) {
	t.Helper()
	d, err := columns.ReadDelta(d.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d.Layout {
		if r.nodes, err = columns.Parse(r.region); err != nil {
			t.Fatal(err)
		}
		if r.pods, err = columns.Parse(r.region[r.nodes.Size:]); err != nil {
			t.Fatal(err)
		}
	}
	if d.Pods == nil {
		return
	}
	if d.Pods.Reset {
		r.strings, r.labelSets, r.portSets, r.affinities = nil, nil, nil, nil
	}
	r.strings = append(r.strings, d.Pods.Strings...)
	r.labelSets = append(r.labelSets, d.Pods.LabelSets...)
	r.portSets = append(r.portSets, d.Pods.PortSets...)
	r.affinities = append(r.affinities, d.Pods.Affinities...)
}

func (r *podReader) str(id uint32) string {
	if id == 0 {
		return "<absent>"
	}
	return r.strings[id-1]
}

// dump describes each pod by its label "id", and lists those that the chains of
// nodes lead to.
func (r *podReader) dump(t *testing.T, names []string) (pods map[string]string, chained int) {
	t.Helper()
	block := r.region[r.nodes.Size:]
	u32 := func(id columns.ID, key uint32) []uint32 { return r.pods.Uint32s(block, id, key) }
	i64 := func(id columns.ID, key uint32) []int64 { return r.pods.Int64s(block, id, key) }
	pods = map[string]string{}
	node := u32(columns.PodNode, 0)
	for row, n := range node {
		if n == 0 {
			continue
		}
		labels := map[string]string{}
		for _, l := range r.labelSets[u32(columns.PodLabelSet, 0)[row]] {
			labels[r.str(l.Key)] = r.str(l.Value)
		}
		var ports []string
		for _, p := range r.portSets[u32(columns.PodPortSet, 0)[row]] {
			ports = append(ports, fmt.Sprint(r.str(p.IP), p.Port, r.str(p.Protocol)))
		}
		app, gpu := "", int64(0)
		for _, c := range r.pods.Columns {
			switch {
			case c.ID == columns.PodLabel && r.str(c.Key) == "app":
				app = r.str(u32(c.ID, c.Key)[row])
			case c.ID == columns.PodExtended:
				gpu = i64(c.ID, c.Key)[row]
			}
		}
		pods[labels["id"]] = fmt.Sprint(names[n-1], r.str(u32(columns.PodNamespace, 0)[row]), labels, app, ports, u32(columns.PodFlags, 0)[row],
			i64(columns.PodPriority, 0)[row], i64(columns.PodStarted, 0)[row], i64(columns.PodCPU, 0)[row], i64(columns.PodMemory, 0)[row],
			i64(columns.PodEphemeral, 0)[row], gpu, r.affinities[u32(columns.PodAffinitySet, 0)[row]])
	}
	first, next := r.nodes.Uint32s(r.region, columns.FirstPod, 0), u32(columns.PodNext, 0)
	for row := range names {
		for at := first[row]; at != 0; at = next[at-1] {
			if node[at-1] != uint32(row+1) {
				t.Fatalf("the chain of node %d leads to a pod of node %d", row, int(node[at-1])-1)
			}
			chained++
		}
	}
	return pods, chained
}

// hamlet is nodes and pods that come and go, known to a table and to plain maps.
type hamlet struct {
	r     *rand.Rand
	table *columns.Table
	nodes map[string]bool
	pods  map[string]*columns.Pod // by label "id"
	on    map[string]string       // the pod's node
	next  int
}

func newHamlet(seed uint64) *hamlet {
	h := &hamlet{r: rand.New(rand.NewPCG(seed, 5)), table: columns.NewTable(), nodes: map[string]bool{}, pods: map[string]*columns.Pod{}, on: map[string]string{}}
	h.table.Pods().Keep(func(yield func(string, *columns.Pod)) {
		for id, p := range h.pods {
			yield(h.on[id], p)
		}
	})
	return h
}

func (h *hamlet) assign(id string) {
	if row, ok := h.table.Row(h.on[id]); ok {
		h.table.Assign(row, h.pods[id])
	}
}

func (h *hamlet) unassign(id string) {
	if row, ok := h.table.Row(h.on[id]); ok {
		h.table.Unassign(row, h.pods[id])
	}
}

func (h *hamlet) pod(id string) *columns.Pod {
	p := &columns.Pod{Namespace: fmt.Sprint("ns", h.r.IntN(3)), Labels: map[string]string{"id": id}, Priority: int32(h.r.IntN(5) - 2),
		Started: uint32(h.r.IntN(3)), Terminating: h.r.IntN(4) == 0, NeverPreempts: h.r.IntN(4) == 0}
	if h.r.IntN(3) > 0 {
		p.Labels["app"] = fmt.Sprint("a", h.r.IntN(3))
	}
	p.Usage.Requests = columns.Resources{MilliCPU: int64(h.r.IntN(9)), Memory: int64(h.r.IntN(9)), Ephemeral: int64(h.r.IntN(9))}
	if h.r.IntN(3) == 0 {
		p.Usage.Requests.Extended = []columns.Amount{{Name: "gpu", Value: int64(1 + h.r.IntN(3))}}
	}
	if h.r.IntN(3) == 0 {
		record := fmt.Sprint("record", h.r.IntN(3))
		p.Affinity = func() string { return record }
	}
	for range h.r.IntN(3) {
		p.Usage.Ports = append(p.Usage.Ports, columns.HostPort{Port: int32(h.r.IntN(3) + 1)})
	}
	return p
}

func (h *hamlet) step() {
	ids := slices.Sorted(maps.Keys(h.pods))
	some := func() string { return ids[h.r.IntN(len(ids))] }
	switch k := h.r.IntN(12); {
	case k < 2:
		name := fmt.Sprint("n", h.r.IntN(20))
		if !h.nodes[name] {
			h.nodes[name] = true
			h.table.Put(columns.Node{Name: name})
			for id, n := range h.on {
				if n == name {
					h.assign(id)
				}
			}
		}
	case k < 3:
		name := fmt.Sprint("n", h.r.IntN(20))
		delete(h.nodes, name)
		h.table.Remove(name)
	case k < 5 && len(ids) > 0: // another state of a pod, sometimes elsewhere
		id := some()
		h.unassign(id)
		h.pods[id] = h.pod(id)
		if h.r.IntN(3) == 0 {
			h.on[id] = fmt.Sprint("n", h.r.IntN(20))
		}
		h.assign(id)
	case k < 8 && len(ids) > 0:
		id := some()
		h.unassign(id)
		delete(h.pods, id)
		delete(h.on, id)
	default:
		for range 1 + h.r.IntN(4) {
			h.next++
			id := fmt.Sprint("p", h.next)
			h.pods[id], h.on[id] = h.pod(id), fmt.Sprint("n", h.r.IntN(20))
			h.assign(id)
		}
	}
}

// want describes the pods as podReader.dump does.
func (h *hamlet) want() map[string]string {
	out := map[string]string{}
	for id, p := range h.pods {
		if !h.nodes[h.on[id]] {
			continue
		}
		distinct := map[int32]bool{}
		for _, x := range p.Usage.Ports {
			distinct[x.Port] = true
		}
		var ports []string
		for _, n := range slices.Sorted(maps.Keys(distinct)) {
			ports = append(ports, fmt.Sprint("0.0.0.0", n, "TCP"))
		}
		app, ok := p.Labels["app"]
		if !ok {
			app = "<absent>"
		}
		flags := 0
		if p.Terminating {
			flags |= 1
		}
		if p.NeverPreempts {
			flags |= 2
		}
		affinity := ""
		if p.Affinity != nil {
			affinity = p.Affinity()
		}
		q := p.Usage.Requests
		out[id] = fmt.Sprint(h.on[id], p.Namespace, p.Labels, app, ports, flags, p.Priority, p.Started, q.MilliCPU, q.Memory, q.Ephemeral, q.Of("gpu"), affinity)
	}
	return out
}

// names of the nodes by row.
func (h *hamlet) names() []string {
	out := make([]string, h.table.Rows())
	for row := range out {
		out[row] = h.table.Node(row).Name
	}
	return out
}

var podColumns = []columns.Ref{{ID: columns.FirstPod}, {ID: columns.PodNode}, {ID: columns.PodNext}, {ID: columns.PodNamespace}, {ID: columns.PodFlags},
	{ID: columns.PodLabelSet}, {ID: columns.PodPortSet}, {ID: columns.PodPriority}, {ID: columns.PodStarted}, {ID: columns.PodCPU}, {ID: columns.PodMemory},
	{ID: columns.PodEphemeral}, {ID: columns.PodAffinitySet}, {ID: columns.PodLabel, Key: "app"}, {ID: columns.PodExtended, Key: "gpu"}}

// TestPodsAgainstModel: whatever happened, and whenever a plugin came, went or
// had its memory moved, its columns say what is.
func TestPodsAgainstModel(t *testing.T) {
	for seed := range uint64(8) {
		h := newHamlet(seed)
		type guest struct {
			m *columns.Mirror
			r podReader
		}
		var guests []*guest
		for step := range 400 {
			h.step()
			switch k := h.r.IntN(40); {
			case k == 0 && len(guests) > 0:
				guests[0].m.Close()
				guests = guests[1:]
			case k <= 2 && len(guests) < 3:
				g := &guest{}
				g.m = columns.NewMirror(h.table, nil, func(size int) ([]byte, error) {
					g.r.region = columns.Alloc(size)
					for i := range g.r.region {
						g.r.region[i] = 0xa5 // a guest need not clear it
					}
					return g.r.region, nil
				})
				if err := g.m.Want(podColumns...); err != nil {
					t.Fatal(err)
				}
				guests = append(guests, g)
			case k == 3 && len(guests) > 0:
				g := guests[0]
				moved := columns.Alloc(len(g.r.region))
				copy(moved, g.r.region)
				g.r.region = moved
			}
			if h.table.Pods().Kept() && len(guests) == 0 {
				t.Fatal("pods are kept for nobody")
			}
			for _, g := range guests {
				if h.r.IntN(3) > 0 {
					continue // it is behind
				}
				d, err := g.m.Update(g.r.region)
				if err != nil {
					t.Fatal(err)
				}
				if d != nil {
					g.r.take(t, d)
				}
				got, chained := g.r.dump(t, h.names())
				if want := h.want(); !maps.Equal(got, want) || chained != len(want) {
					t.Fatalf("seed %d, step %d: %d in chains\n got %v\nwant %v", seed, step, chained, got, want)
				}
			}
		}
		for _, g := range guests {
			g.m.Close()
		}
		if n := h.table.Pods().Len(); n != 0 {
			t.Fatalf("%d pods are kept for nobody", n)
		}
	}
}

// What belongs to pods that are gone is given up.
func TestPodsLeaveNothing(t *testing.T) {
	h := newHamlet(1)
	h.table.Put(columns.Node{Name: "n"})
	h.nodes["n"] = true
	var r podReader
	largest := 0
	m := columns.NewMirror(h.table, nil, func(size int) ([]byte, error) {
		r.region, largest = columns.Alloc(size), max(largest, size)
		return r.region, nil
	})
	if err := m.Want(podColumns...); err != nil {
		t.Fatal(err)
	}
	update := func() {
		d, err := m.Update(r.region)
		if err != nil {
			t.Fatal(err)
		}
		if d != nil {
			r.take(t, d)
		}
	}
	add := func(n int) {
		for i := range n {
			h.next++
			id := fmt.Sprint("p", h.next)
			h.pods[id], h.on[id] = h.pod(id), "n"
			h.assign(id)
			if i%100 == 0 {
				update()
			}
		}
		update()
	}
	drop := func(keep int) {
		for id := range h.pods {
			if len(h.pods) <= keep {
				break
			}
			h.unassign(id)
			delete(h.pods, id)
			delete(h.on, id)
		}
		update()
	}
	for range 3 {
		add(5000)
		drop(100)
	}
	add(1)
	if len(r.region) > largest/8 || len(r.strings) > 5000 || len(r.labelSets) > 5000 {
		t.Errorf("%d bytes of at most %d, %d strings, %d sets for %d pods", len(r.region), largest, len(r.strings), len(r.labelSets), len(h.pods))
	}
	if got, _ := r.dump(t, h.names()); !maps.Equal(got, h.want()) {
		t.Error("columns are not what is")
	}
}

// A plugin that asks for too much is refused, with the name of the column.
func TestPodColumnsAreBounded(t *testing.T) {
	h := newHamlet(1)
	m := columns.NewMirror(h.table, nil, func(size int) ([]byte, error) { return columns.Alloc(size), nil })
	var err error
	n := 0
	for ; err == nil && n < 2000; n++ {
		err = m.Want(columns.Ref{ID: columns.PodLabel, Key: fmt.Sprint("key", n), Name: "pod.label"})
	}
	if n != columns.MaxPodKeys+1 || !errors.Is(err, columns.ErrColumn) || !strings.Contains(err.Error(), "pod.label[key64] (224)") {
		t.Errorf("%d keys: %v", n, err)
	}
	for _, r := range []columns.Ref{
		{ID: columns.PodLabel, Name: "pod.label"},
		{ID: columns.PodNode, Name: "pod.node", Key: "x"},
		{ID: columns.PodLabel, Name: "pod.label", Key: strings.Repeat("x", columns.MaxKey+1)},
		{ID: 230, Name: "pod.of.tomorrow"},
	} {
		if err := m.Want(r); !errors.Is(err, columns.ErrColumn) || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := m.Update(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Update(make([]byte, 4096)); !errors.Is(err, columns.ErrMalformed) {
		t.Errorf("a region that is cut off: %v", err)
	}
	// 64 columns of labels and 8 others over 600,000 pods are more than 128 MiB
	h.table.Put(columns.Node{Name: "n"})
	pods := make([]columns.Pod, 600_000)
	for i := range pods {
		h.table.Assign(0, &pods[i])
	}
	if _, err := m.Update(columns.Alloc(1 << 20)); !errors.Is(err, columns.ErrColumn) || !strings.Contains(err.Error(), "600000 pods") {
		t.Errorf("64 columns over 600,000 pods: %v", err)
	}
}

// BenchmarkPods is what a plugin costs that reads all columns over 100,000 pods:
// the first time, and for one pod that goes and one that comes.
func BenchmarkPods(b *testing.B) {
	table := columns.NewTable()
	const count, nodes = 100_000, 5000
	pods := make([]*columns.Pod, count)
	for i := range pods {
		pods[i] = &columns.Pod{Namespace: fmt.Sprint("ns", i%50), Labels: map[string]string{"app": fmt.Sprint("app", i%2000), "hash": fmt.Sprint("h", i%2000)},
			Usage: columns.Usage{Requests: columns.Resources{MilliCPU: 100, Memory: 1 << 20}}}
	}
	node := func(i int) string { return fmt.Sprint("n", i%nodes) }
	for i := range nodes {
		table.Put(columns.Node{Name: node(i)})
	}
	table.Pods().Keep(func(yield func(string, *columns.Pod)) {
		for i, p := range pods {
			yield(node(i), p)
		}
	})
	for i, p := range pods {
		table.Assign(i%nodes, p)
	}
	var region []byte
	mirror := func() *columns.Mirror {
		m := columns.NewMirror(table, nil, func(size int) ([]byte, error) {
			region = columns.Alloc(size)
			return region, nil
		})
		if err := m.Want(podColumns...); err != nil {
			b.Fatal(err)
		}
		return m
	}
	update := func(m *columns.Mirror) {
		if _, err := m.Update(region); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := mirror()
			update(m)
			m.Close()
		}
		b.ReportMetric(float64(len(region))/count, "region-B/pod")
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		region = nil
		before := heap()
		m := mirror()
		update(m)
		b.ReportMetric(float64(heap()-before)/count-float64(len(region))/count, "kernel-B/pod")
		m.Close()
	})
	change := func(b *testing.B, after func()) {
		i := 0
		for b.Loop() {
			i = (i + 1) % count
			table.Unassign(i%nodes, pods[i])
			table.Assign(i%nodes, pods[i])
			after()
		}
	}
	b.Run("change/unread", func(b *testing.B) { change(b, func() {}) })
	b.Run("change/read", func(b *testing.B) {
		m := mirror()
		update(m)
		b.ResetTimer()
		change(b, func() { update(m) })
		m.Close()
	})
}
