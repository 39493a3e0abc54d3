package columns_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// reader is a plugin's side of a mirror: it keeps tables from deltas.
type reader struct {
	layout    columns.Layout
	region    []byte
	rows      int
	strings   []string
	taintSets [][]columns.TaintRef
	labelSets [][]columns.LabelRef
	imageSets [][]uint32
	portSets  [][]columns.PortRef
	images    map[uint32]columns.ImageRef
}

func (r *reader) take(t *testing.T, d *columns.Delta) {
	t.Helper()
	sent, err := columns.ReadDelta(append(d.Append(nil), 7, 7)) // two fields of a later minor version
	if err != nil {
		t.Fatal(err)
	}
	d = sent
	if d.Reset {
		*r = reader{region: r.region, images: map[uint32]columns.ImageRef{}}
	}
	if d.Layout {
		if r.layout, err = columns.Parse(r.region); err != nil {
			t.Fatal(err)
		}
	}
	r.rows = d.Rows
	r.strings = append(r.strings, d.Strings...)
	r.taintSets = append(r.taintSets, d.TaintSets...)
	r.labelSets = append(r.labelSets, d.LabelSets...)
	r.imageSets = append(r.imageSets, d.ImageSets...)
	r.portSets = append(r.portSets, d.PortSets...)
	for _, m := range d.Images {
		r.images[m.Index] = m
	}
}

func (r *reader) str(id uint32) string {
	if id == 0 {
		return "<absent>"
	}
	return r.strings[id-1]
}

// dump describes every row by what a plugin can see of it.
func (r *reader) dump() map[string]string {
	out := map[string]string{}
	i64 := func(id columns.ID, key uint32, row int) int64 { return r.layout.Int64s(r.region, id, key)[row] }
	u32 := func(id columns.ID, key uint32, row int) uint32 { return r.layout.Uint32s(r.region, id, key)[row] }
	for row := range r.rows {
		labels, extended := map[string]string{}, map[string][2]int64{}
		for _, c := range r.layout.Columns {
			switch c.ID {
			case columns.Label:
				if v := u32(c.ID, c.Key, row); v != 0 {
					labels[r.str(c.Key)] = r.str(v)
				}
			case columns.AllocExtended:
				if v := i64(c.ID, c.Key, row); v != 0 {
					extended[r.str(c.Key)] = [2]int64{v, i64(columns.RequestExtended, c.Key, row)}
				}
			}
		}
		for _, l := range r.labelSets[u32(columns.LabelSet, 0, row)] {
			labels[r.str(l.Key)] = r.str(l.Value)
		}
		var taints, images []string
		for _, x := range r.taintSets[u32(columns.TaintSet, 0, row)] {
			taints = append(taints, r.str(x.Key)+"="+r.str(x.Value)+":"+r.str(x.Effect))
		}
		var ports []string
		for _, p := range r.portSets[u32(columns.PortSet, 0, row)] {
			ports = append(ports, fmt.Sprint(r.str(p.IP), p.Port, r.str(p.Protocol)))
		}
		have := map[string]string{}
		for _, i := range r.imageSets[u32(columns.ImageSet, 0, row)] {
			m := r.images[i]
			have[r.str(m.Name)] = fmt.Sprint(m.Nodes)
		}
		out[r.str(u32(columns.Name, 0, row))] = fmt.Sprint(
			i64(columns.AllocCPU, 0, row), i64(columns.RequestCPU, 0, row), i64(columns.NonZeroMemory, 0, row), i64(columns.RequestPods, 0, row),
			u32(columns.Flags, 0, row), labels, extended, taints, images, have, ports)
	}
	return out
}

// model is the same from plain maps.
type model struct {
	nodes map[string]columns.Node
	used  map[string][]columns.Usage
}

func (m *model) dump() map[string]string {
	out := map[string]string{}
	count := map[string]int{}
	for _, n := range m.nodes {
		for _, i := range n.Images {
			count[i.Names[0]]++
		}
	}
	for name, n := range m.nodes {
		var cpu, memory, gpu int64
		distinct := map[string]bool{}
		for _, u := range m.used[name] {
			for _, p := range u.Ports {
				distinct[fmt.Sprint("0.0.0.0", p.Port, "TCP")] = true
			}
			cpu, memory, gpu = cpu+u.Requests.MilliCPU, memory+u.NonZeroMemory, gpu+u.Requests.Of("e/gpu")
		}
		labels, extended := map[string]string{}, map[string][2]int64{}
		for k, v := range n.Labels {
			labels[k] = v
		}
		if v := n.Allocatable.Of("e/gpu"); v != 0 {
			extended["e/gpu"] = [2]int64{v, gpu}
		}
		var taints, images []string
		for _, x := range n.Taints {
			taints = append(taints, x.Key+"="+x.Value+":"+x.Effect)
		}
		have := map[string]string{}
		for _, i := range n.Images {
			have[i.Names[0]] = fmt.Sprint(count[i.Names[0]])
		}
		flags := uint32(0)
		if n.Unschedulable {
			flags = columns.FlagUnschedulable
		}
		out[name] = fmt.Sprint(n.Allocatable.MilliCPU, cpu, memory, len(m.used[name]), flags, labels, extended, taints, images, have, slices.Sorted(maps.Keys(distinct)))
	}
	return out
}

// TestMirror lets nodes come, change and go, and compares what two mirrors
// show with a model: one that follows every step and one that sleeps.
func TestMirror(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		table := columns.NewTable()
		m := &model{nodes: map[string]columns.Node{}, used: map[string][]columns.Usage{}}
		var readers [2]reader
		var mirrors [2]*columns.Mirror
		for i := range mirrors {
			mirrors[i] = columns.NewMirror(table, []columns.Column{{ID: columns.ResultReason, Type: columns.Uint32}}, func(size int) ([]byte, error) {
				readers[i].region = columns.Alloc(size)
				return readers[i].region, nil
			})
			mirrors[i].WantAll()
		}
		for step := range 600 {
			change(r, table, m)
			for i := range mirrors {
				if i == 1 && step%37 != 0 {
					continue
				}
				d, err := mirrors[i].Update(readers[i].region)
				if err != nil {
					t.Fatal(err)
				}
				if d != nil {
					readers[i].take(t, d)
				}
				got, want := readers[i].dump(), m.dump()
				if len(got) != len(want) {
					t.Fatalf("seed %d step %d: %d rows, want %d", seed, step, len(got), len(want))
				}
				for name := range want {
					if got[name] != want[name] {
						t.Fatalf("seed %d step %d: node %s\n got %s\nwant %s", seed, step, name, got[name], want[name])
					}
				}
			}
		}
	}
}

func change(r *rand.Rand, table *columns.Table, m *model) {
	name := fmt.Sprintf("n%d", r.IntN(90))
	_, known := m.nodes[name]
	row, _ := table.Row(name)
	switch k := r.IntN(10); {
	case k < 4:
		n := columns.Node{Name: name, Labels: map[string]string{"zone": fmt.Sprint(r.IntN(3)), "host": name}}
		n.Allocatable.MilliCPU = int64(r.IntN(9))
		if r.IntN(8) == 0 {
			n.Labels[fmt.Sprintf("rare%d", r.IntN(40))] = ""
		}
		if r.IntN(6) == 0 {
			n.Allocatable.Extended = []columns.Amount{{Name: "e/gpu", Value: 3}}
		}
		if r.IntN(3) == 0 {
			n.Taints = []columns.Taint{{Key: "k", Value: fmt.Sprint(r.IntN(4)), Effect: "NoSchedule"}}
		}
		if r.IntN(2) == 0 {
			n.Images = []columns.Image{{Names: []string{fmt.Sprintf("i%d", r.IntN(30))}, Size: 9}}
		}
		n.Unschedulable = r.IntN(4) == 0
		m.nodes[name] = n
		table.Put(n)
	case k < 5:
		table.Remove(name)
		delete(m.nodes, name)
		delete(m.used, name)
	case !known:
	case k < 8:
		u := columns.Usage{Requests: columns.Resources{MilliCPU: int64(r.IntN(5))}, NonZeroMemory: int64(r.IntN(5))}
		if r.IntN(4) == 0 {
			u.Requests.Extended = []columns.Amount{{Name: "e/gpu", Value: 1}}
		}
		for range r.IntN(3) {
			u.Ports = append(u.Ports, columns.HostPort{Port: int32(1000 + r.IntN(900))})
			if r.IntN(2) == 0 { // as written, or with what is left out
				u.Ports[0].IP, u.Ports[0].Protocol = "0.0.0.0", "TCP"
			}
		}
		m.used[name] = append(m.used[name], u)
		table.Use(row, &u, 1)
	default:
		if list := m.used[name]; len(list) > 0 {
			u := list[0]
			m.used[name] = list[1:]
			table.Use(row, &u, -1)
		}
	}
}

// Sets of ports that no node has any more are given up, also when no node
// changes otherwise.
func TestPortSetsAreBounded(t *testing.T) {
	table := columns.NewTable()
	row := table.Put(columns.Node{Name: "n"})
	var region []byte
	m := columns.NewMirror(table, nil, func(size int) ([]byte, error) { region = columns.Alloc(size); return region, nil })
	m.WantAll()
	sets, resets := 0, 0
	for port := range int32(5000) {
		u := columns.Usage{Ports: []columns.HostPort{{Port: 1 + port}}}
		for _, sign := range []int64{1, -1} {
			table.Use(row, &u, sign)
			d, err := m.Update(region)
			if err != nil {
				t.Fatal(err)
			}
			if d != nil && d.Reset {
				sets, resets = 0, resets+1
			}
			if d != nil {
				sets += len(d.PortSets)
			}
			if sets > 1000 {
				t.Fatalf("%d sets for one node", sets)
			}
		}
	}
	if resets < 2 {
		t.Errorf("%d resets", resets)
	}
}

// A plugin may not ask for columns without end.
func TestWantedColumnsAreBounded(t *testing.T) {
	m := columns.NewMirror(columns.NewTable(), nil, func(size int) ([]byte, error) { return columns.Alloc(size), nil })
	for i := range columns.MaxWanted {
		if err := m.Want(columns.Ref{ID: columns.Label, Key: fmt.Sprint(i), Name: "node.label"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Want(columns.Ref{ID: columns.Label, Key: "0", Name: "node.label"}); err != nil {
		t.Errorf("one that it has: %v", err)
	}
	if err := m.Want(columns.Ref{ID: columns.Label, Key: "one more", Name: "node.label"}); !errors.Is(err, columns.ErrColumn) {
		t.Errorf("one more: %v", err)
	}
}
