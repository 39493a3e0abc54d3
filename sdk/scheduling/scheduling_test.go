package scheduling_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/sdktest"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

func node(name, zone string, cpu int64, change ...func(*scheduling.NodeInfo)) scheduling.NodeInfo {
	n := scheduling.NodeInfo{Name: name, Pods: 110, Allocatable: scheduling.Resources{MilliCPU: cpu, Memory: 8 << 30}}
	if zone != "" {
		n.Labels = map[string]string{"topology.kubernetes.io/zone": zone}
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

func open(p *scheduling.Points) instance.Instance { return p.Open(instance.Host{Plugin: "x"}) }

// zoneFit is a plugin as an author writes it.
func zoneFit() *scheduling.Points {
	small := scheduling.Unschedulable("node(s) are too small for zone-fit")
	return &scheduling.Points{
		Filter: func(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if n.AllocatableCPU()-n.RequestedCPU() < p.CPU() {
				return small
			}
			return nil
		},
		Score: func(p *scheduling.Pod, n scheduling.Node) int64 {
			if z, _ := n.Label("topology.kubernetes.io/zone"); z == "b" {
				return 100
			}
			return 0
		},
	}
}

func TestTry(t *testing.T) {
	got, err := sdktest.Try(zoneFit(), scheduling.PodInfo{Name: "p", Requests: scheduling.Resources{MilliCPU: 500}},
		node("one", "a", 1000), node("two", "b", 1000), node("three", "b", 400),
		node("four", "", 1000, func(n *scheduling.NodeInfo) {
			n.Used = []scheduling.Usage{{Requests: scheduling.Resources{MilliCPU: 600}}}
		}))
	if err != nil {
		t.Fatal(err)
	}
	small := []string{"node(s) are too small for zone-fit"}
	want := []sdktest.Placement{{Node: "one"}, {Node: "two", Score: 100}, {Node: "three", Reasons: small}, {Node: "four", Reasons: small}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestScaling(t *testing.T) {
	reverse := func(_ *scheduling.Pod, s *scheduling.Scores) {
		highest := s.Max()
		for i := range s.Len() {
			s.Set(i, highest-s.At(i))
		}
	}
	for _, tt := range []struct {
		points scheduling.Points
		want   []int64
	}{
		{scheduling.Points{}, []int64{10, 20, 40}},
		{scheduling.Points{Scaling: scheduling.ScaleToMax}, []int64{25, 50, 100}},
		{scheduling.Points{Scaling: scheduling.ScaleReversed}, []int64{75, 50, 0}},
		{scheduling.Points{Normalize: reverse}, []int64{30, 20, 0}},
		{scheduling.Points{Normalize: reverse, Scope: scheduling.Cluster}, []int64{30, 20, 0}},
	} {
		p := tt.points
		p.Score = func(_ *scheduling.Pod, n scheduling.Node) int64 { return n.AllocatableCPU() }
		got, err := sdktest.Try(&p, scheduling.PodInfo{}, node("a", "", 10), node("b", "", 20), node("c", "", 40))
		if err != nil {
			t.Fatal(err)
		}
		var scores []int64
		for _, x := range got {
			scores = append(scores, x.Score)
		}
		if !slices.Equal(scores, tt.want) {
			t.Errorf("scores %v, want %v", scores, tt.want)
		}
	}
}

func TestScoreOutOfRange(t *testing.T) {
	for _, v := range []int64{-1, 101} {
		p := &scheduling.Points{Score: func(*scheduling.Pod, scheduling.Node) int64 { return v }}
		if _, err := sdktest.Try(p, scheduling.PodInfo{}, node("a", "", 1)); err == nil {
			t.Errorf("score %d was taken", v)
		}
	}
}

func TestPreFilter(t *testing.T) {
	called := false
	filter := func(*scheduling.Pod, scheduling.Node) *scheduling.Status { called = true; return nil }
	for _, tt := range []struct {
		name string
		say  *scheduling.Status
		want []sdktest.Placement
		call bool
	}{
		{"go on", nil, []sdktest.Placement{{Node: "a"}, {Node: "b"}}, true},
		{"skip", scheduling.Skip(), []sdktest.Placement{{Node: "a"}, {Node: "b"}}, false},
		{"reject", scheduling.Unschedulable("no"), []sdktest.Placement{{Node: "a", Reasons: []string{"no"}}, {Node: "b", Reasons: []string{"no"}}}, false},
		{"only", scheduling.Only("b"), []sdktest.Placement{{Node: "a", Reasons: []string{"node(s) didn't satisfy plugin(s) [plugin]"}}, {Node: "b"}}, true},
	} {
		called = false
		got, err := sdktest.Try(&scheduling.Points{Filter: filter, PreFilter: func(*scheduling.Pod, *scheduling.Snapshot) *scheduling.Status { return tt.say }},
			scheduling.PodInfo{}, node("a", "", 1), node("b", "", 1))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, tt.want) || called != tt.call {
			t.Errorf("%s: got %+v, called %v; want %+v, %v", tt.name, got, called, tt.want, tt.call)
		}
	}
}

// What plugins look at beyond the pod and the row is reported, so that the kernel
// remembers verdicts only as long as it stays.
func TestReads(t *testing.T) {
	for _, tt := range []struct {
		want schedule.Reads
		read func(*scheduling.Pod, *scheduling.Snapshot)
	}{
		{0, func(*scheduling.Pod, *scheduling.Snapshot) {}},
		{schedule.ReadCluster, func(_ *scheduling.Pod, s *scheduling.Snapshot) { s.Len() }},
		{schedule.ReadNodes, func(_ *scheduling.Pod, s *scheduling.Snapshot) { s.Node(0) }},
	} {
		s := open(&scheduling.Points{PreFilter: func(p *scheduling.Pod, snap *scheduling.Snapshot) *scheduling.Status {
			tt.read(p, snap)
			return nil
		}})
		resp, err := s.Serve(nil, schedule.OpPreFilter, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := schedule.ReadPreFilter(resp); err != nil || a.Reads != tt.want {
			t.Errorf("reads %b, %v, want %b", a.Reads, err, tt.want)
		}
	}
}

func TestNode(t *testing.T) {
	nodes := []scheduling.NodeInfo{node("n0", "a", 4000, func(n *scheduling.NodeInfo) {
		n.Labels["rare"] = "yes"
		n.Taints = []scheduling.Taint{{Key: "k", Value: "v", Effect: scheduling.NoSchedule}}
		n.Images = []scheduling.NodeImage{{Names: []string{"app:1", "app@sha256:x"}, Size: 5}}
		n.Allocatable.Extended = []scheduling.Amount{{Name: "e/gpu", Value: 2}}
		n.Unschedulable, n.Ready = true, true
		n.Used = []scheduling.Usage{{Requests: scheduling.Resources{MilliCPU: 7, Extended: []scheduling.Amount{{Name: "e/gpu", Value: 1}}}, NonZeroCPU: 9},
			{Ports: []scheduling.HostPort{{Port: 80}, {IP: "10.0.0.1", Port: 81, Protocol: "UDP"}}}}
	})}
	for i := range 40 {
		nodes = append(nodes, node(fmt.Sprintf("other-%d", i), "b", 1000))
	}
	s := scheduling.NewSnapshot(nodes...)
	n, ok := s.Node(0)
	if !ok || n.Name() != "n0" || n.AllocatableCPU() != 4000 || n.RequestedCPU() != 7 || n.NonZeroCPU() != 9 || n.Pods() != 2 || n.AllocatablePods() != 110 {
		t.Fatalf("node %v %s", ok, n.Name())
	}
	if !n.Unschedulable() || !n.Ready() || !n.HasImage("app:1") || n.HasImage("app:2") || len(n.Images()) != 2 {
		t.Error("flags or images")
	}
	if a, r := n.Extended("e/gpu"); a != 2 || r != 1 {
		t.Errorf("gpu %d %d", a, r)
	}
	for key, want := range map[string]string{"topology.kubernetes.io/zone": "a", "rare": "yes"} {
		if v, ok := n.Label(key); !ok || v != want {
			t.Errorf("label %s is %q, %v", key, v, ok)
		}
	}
	if _, ok := n.Label("none"); ok {
		t.Error("a label that no node has")
	}
	if got := n.Taints(); len(got) != 1 || got[0] != (scheduling.Taint{Key: "k", Value: "v", Effect: scheduling.NoSchedule}) {
		t.Errorf("taints %v", got)
	}
	for port, want := range map[scheduling.HostPort]bool{
		{Port: 80}: true, {IP: "10.0.0.2", Port: 80, Protocol: "TCP"}: true, {Port: 80, Protocol: "UDP"}: false, {Port: 79}: false, {Port: 82}: false,
		{IP: "10.0.0.1", Port: 81, Protocol: "UDP"}: true, {IP: "10.0.0.2", Port: 81, Protocol: "UDP"}: false, {IP: "0.0.0.0", Port: 81, Protocol: "UDP"}: true,
	} {
		if got := n.PortTaken(port); got != want {
			t.Errorf("port %+v is taken: %v, want %v", port, got, want)
		}
	}
	o, _ := s.Node(1)
	if _, ok := o.Label("rare"); ok || o.PortTaken(scheduling.HostPort{Port: 80}) || o.Unschedulable() || len(o.Taints()) != 0 || o.HasImage("app:1") {
		t.Error("what one node has shows on another")
	}
	if _, ok := s.Node(41); ok {
		t.Error("a row behind the last")
	}
}

// A kernel's mistakes, or another's, must not bring a guest down.
func FuzzHandle(f *testing.F) {
	fields := "effective(requests(milliCPU,memory,ephemeralStorage,extended(name,value)))"
	rec, err := scheduling.PodInfo{Name: "p", Requests: scheduling.Resources{MilliCPU: 1}}.Record(&fields)
	if err != nil {
		f.Fatal(err)
	}
	q := schedule.CycleRequest{Runs: []schedule.Run{{Start: 0, Count: 3}, {Start: 1 << 40, Count: 2}}}
	f.Add(uint32(schedule.OpPreFilter), rec)
	f.Add(uint32(schedule.OpCycle), q.Append(nil))
	f.Add(uint32(schedule.OpSnapshot), (&columns.Delta{Reset: true, Layout: true, Rows: 5}).Append(nil))
	f.Add(uint32(schedule.OpNormalize), schedule.AppendNormalize(nil, 0, 2))
	f.Add(uint32(schedule.OpProfile), schedule.AppendUses(nil, []schedule.MemberUse{{Filter: true, Weight: 1}}))
	f.Fuzz(func(t *testing.T, op uint32, req []byte) {
		p := zoneFit()
		p.Fields = []string{"effective.requests.milliCPU", "effective.requests.memory", "effective.requests.ephemeralStorage", "effective.requests.extended.name", "effective.requests.extended.value"}
		p.Normalize = func(*scheduling.Pod, *scheduling.Scores) {}
		s := open(p)
		table := columns.NewTable()
		for i := range 3 {
			table.Put(columns.Node{Name: fmt.Sprint(i)})
		}
		var region []byte
		m := columns.NewMirror(table, []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
			{ID: columns.ResultScore, Type: columns.Int64}, {ID: columns.ResultScore, Type: columns.Int64, Key: 1}},
			func(size int) ([]byte, error) { region = columns.Alloc(size); return region, nil })
		m.WantAll()
		d, err := m.Update(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Serve(nil, schedule.OpSnapshot, d.Append(nil), region); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Serve(nil, schedule.OpPreFilter, rec, region); err != nil {
			t.Fatal(err)
		}
		_, _ = s.Serve(nil, wire.Op(op), req, region) // may refuse; must return
		_, _ = s.Serve(nil, schedule.OpPreFilter, rec, region)
		_, _ = s.Serve(nil, schedule.OpCycle, q.Append(nil), region)
	})
}

// kernel is a host in small that gives columns as they are asked for.
type kernel struct {
	t      *testing.T
	plugin instance.Instance
	mirror *columns.Mirror
	region []byte
	fields *string    // of the pod, that are declared
	told   [][]string // columns and fields asked for, by round
}

func newKernel(t *testing.T, p *scheduling.Points, nodes ...columns.Node) *kernel {
	k := &kernel{t: t, plugin: open(p)}
	table := columns.NewTable()
	for _, n := range nodes {
		table.Put(n)
	}
	k.mirror = columns.NewMirror(table, []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64}}, func(size int) ([]byte, error) { k.region = columns.Alloc(size); return k.region, nil })
	return k
}

// sync tells the plugin what it must know before it is asked.
func (k *kernel) sync() {
	k.t.Helper()
	d, err := k.mirror.Update(k.region)
	if err != nil {
		k.t.Fatal(err)
	}
	if d != nil {
		if _, err := k.plugin.Serve(nil, schedule.OpSnapshot, d.Append(nil), k.region); err != nil {
			k.t.Fatal(err)
		}
	}
}

// give answers a question for columns.
func (k *kernel) give(missing *schedule.Missing) {
	k.t.Helper()
	var names []string
	if missing.Fields != nil {
		k.fields = missing.Fields
		names = append(names, "pod: "+*k.fields)
	}
	for _, r := range missing.Columns {
		name := r.Name
		if r.Key != "" {
			name += "[" + r.Key + "]"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	k.told = append(k.told, names)
	if err := k.mirror.Want(missing.Columns...); err != nil {
		k.t.Fatal(err)
	}
}

// place asks about a pod until the plugin has what it wants.
func (k *kernel) place(pod scheduling.PodInfo, rows int) (schedule.CycleAnswer, error) {
	k.t.Helper()
	for range 20 {
		k.sync()
		rec, err := pod.Record(k.fields)
		if err != nil {
			k.t.Fatal(err)
		}
		resp, err := k.plugin.Serve(nil, schedule.OpPreFilter, rec, k.region)
		if err != nil {
			return schedule.CycleAnswer{}, err
		}
		pre, err := schedule.ReadPreFilter(resp)
		if err != nil {
			k.t.Fatal(err)
		}
		if pre.Missing.Any() {
			k.give(&pre.Missing)
			continue
		}
		q := schedule.CycleRequest{Runs: []schedule.Run{{Count: rows}}}
		resp, err = k.plugin.Serve(nil, schedule.OpCycle, q.Append(nil), k.region)
		if err != nil {
			return schedule.CycleAnswer{}, err
		}
		a, err := schedule.ReadCycleAnswer(resp)
		if err != nil {
			k.t.Fatal(err)
		}
		if !a.Missing.Any() {
			return a, nil
		}
		k.give(&a.Missing)
	}
	k.t.Fatal("the plugin never has what it wants")
	return schedule.CycleAnswer{}, nil
}

// TestColumnsAreAskedFor: a plugin gets the columns that it looked at, and no
// others; what it did with zeros in their place, a panic too, is not seen.
func TestColumnsAreAskedFor(t *testing.T) {
	k := newKernel(t, &scheduling.Points{
		PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			if len(s.TaintSets()) == 0 {
				panic("there is a taint")
			}
			return nil
		},
		Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if zone, _ := n.Label("zone"); zone != "a" || 100/n.AllocatableCPU() != 25 {
				return scheduling.Unschedulable("not so")
			}
			return nil
		},
	}, columns.Node{Name: "n", Labels: map[string]string{"zone": "a"}, Allocatable: columns.Resources{MilliCPU: 4}, Taints: []columns.Taint{{Key: "k"}}})
	for range 2 {
		if a, err := k.place(scheduling.PodInfo{Name: "p"}, 1); err != nil || a.Feasible != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	want := [][]string{{"node.taints"}, {"node.label[zone]", "node.labels"}, {"node.allocatable.cpu"}}
	if !reflect.DeepEqual(k.told, want) {
		t.Errorf("asked for %v, want %v", k.told, want)
	}
	var have []scheduling.Column
	for _, c := range k.mirror.Layout().Columns {
		have = append(have, c.ID)
	}
	slices.Sort(have)
	if want := []scheduling.Column{columns.AllocCPU, columns.TaintSet, columns.LabelSet, columns.Label, columns.ResultFeasible, columns.ResultReason, columns.ResultScore}; !slices.Equal(have, want) {
		t.Errorf("the region holds %v, want %v", have, want)
	}
}

// A column that was declared and did not come is told by name, and so is one
// that was looked at and did not come.
func TestColumnThatDoesNotCome(t *testing.T) {
	for name, p := range map[string]*scheduling.Points{
		"declared": {Columns: []scheduling.Column{scheduling.RequestedPods}},
		"seen":     {},
	} {
		p.Score = func(_ *scheduling.Pod, n scheduling.Node) int64 { return n.Pods() }
		k := newKernel(t, p, columns.Node{Name: "n"})
		if _, err := k.plugin.Serve(nil, schedule.OpDescribe, nil, nil); err != nil {
			t.Fatal(err)
		}
		k.sync()
		q := schedule.CycleRequest{Runs: []schedule.Run{{Count: 1}}}
		var err error
		for range 2 {
			if _, err = k.plugin.Serve(nil, schedule.OpPreFilter, nil, k.region); err != nil {
				t.Fatal(err)
			}
			if _, err = k.plugin.Serve(nil, schedule.OpCycle, q.Append(nil), k.region); err != nil {
				break
			}
		}
		if err == nil || !errors.Is(err, wire.ErrProtocol) || !strings.Contains(err.Error(), "node.pods (8)") {
			t.Errorf("%s: %v, want an error that names the column", name, err)
		}
	}
}

// A host that is older than the plugin refuses a column by the name that the
// plugin has for it.
func TestUnknownColumn(t *testing.T) {
	m := columns.NewMirror(columns.NewTable(), nil, nil)
	for _, r := range []columns.Ref{
		{ID: 9999, Name: "node.of.tomorrow"},
		{ID: columns.ResultScore, Name: "result.score"},
		{ID: columns.Label, Name: "node.label"},
		{ID: columns.AllocCPU, Name: "node.allocatable.cpu", Key: "x"},
	} {
		if err := m.Want(r); !errors.Is(err, columns.ErrColumn) || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// The mask of a run stays when an earlier run of the same call is answered,
// wherever the words of the mask end.
func TestMaskOfSeveralRuns(t *testing.T) {
	var nodes []columns.Node
	for i := range 200 {
		nodes = append(nodes, columns.Node{Name: fmt.Sprint(i)})
	}
	k := newKernel(t, &scheduling.Points{Filter: func(*scheduling.Pod, scheduling.Node) *scheduling.Status { return nil }}, nodes...)
	k.sync()
	if _, err := k.plugin.Serve(nil, schedule.OpPreFilter, nil, k.region); err != nil {
		t.Fatal(err)
	}
	feasible := k.mirror.Layout().Mask(k.region, columns.ResultFeasible, 0)
	for _, runs := range [][]schedule.Run{{{Start: 3, Count: 1}, {Start: 7, Count: 1}}, {{Count: 64}, {Start: 70, Count: 3}}, {{Count: 70}, {Start: 90, Count: 70}}} {
		total := 0
		for _, r := range runs {
			total += r.Count
		}
		feasible.Zero()
		for i := 0; i < total; i += 2 {
			feasible.Set(i)
		}
		q := schedule.CycleRequest{Masked: true, Runs: runs}
		if _, err := k.plugin.Serve(nil, schedule.OpCycle, q.Append(nil), k.region); err != nil {
			t.Fatal(err)
		}
		for i := range total {
			if feasible.Has(i) != (i%2 == 0) {
				t.Errorf("runs %v: position %d is %t", runs, i, feasible.Has(i))
			}
		}
	}
}
