package sdk_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
	"github.com/pintle-io/pintle/sdk/wire"
)

func node(name, zone string, cpu int64, change ...func(*sdk.NodeInfo)) sdk.NodeInfo {
	n := sdk.NodeInfo{Node: columns.Node{Name: name, Pods: 110, Allocatable: sdk.Resources{MilliCPU: cpu, Memory: 8 << 30}}}
	if zone != "" {
		n.Labels = map[string]string{"topology.kubernetes.io/zone": zone}
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

// zoneFit is a plugin as an author writes it.
func zoneFit() *sdk.Points {
	small := sdk.Unschedulable("node(s) are too small for zone-fit")
	return &sdk.Points{
		Filter: func(p *sdk.Pod, n sdk.Node) *sdk.Status {
			if n.AllocatableCPU()-n.RequestedCPU() < p.CPU() {
				return small
			}
			return nil
		},
		Score: func(p *sdk.Pod, n sdk.Node) int64 {
			if z, _ := n.Label("topology.kubernetes.io/zone"); z == "b" {
				return 100
			}
			return 0
		},
	}
}

func TestTry(t *testing.T) {
	got, err := sdk.Try(zoneFit(), sdk.PodInfo{Name: "p", Requests: sdk.Resources{MilliCPU: 500}},
		node("one", "a", 1000), node("two", "b", 1000), node("three", "b", 400),
		node("four", "", 1000, func(n *sdk.NodeInfo) { n.Used = []columns.Usage{{Requests: sdk.Resources{MilliCPU: 600}}} }))
	if err != nil {
		t.Fatal(err)
	}
	small := []string{"node(s) are too small for zone-fit"}
	want := []sdk.Placement{{Node: "one"}, {Node: "two", Score: 100}, {Node: "three", Reasons: small}, {Node: "four", Reasons: small}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestScaling(t *testing.T) {
	reverse := func(_ *sdk.Pod, s *sdk.Scores) {
		highest := s.Max()
		for i := range s.Len() {
			s.Set(i, highest-s.At(i))
		}
	}
	for _, tt := range []struct {
		points sdk.Points
		want   []int64
	}{
		{sdk.Points{}, []int64{10, 20, 40}},
		{sdk.Points{Scaling: sdk.ScaleToMax}, []int64{25, 50, 100}},
		{sdk.Points{Scaling: sdk.ScaleReversed}, []int64{75, 50, 0}},
		{sdk.Points{Normalize: reverse}, []int64{30, 20, 0}},
		{sdk.Points{Normalize: reverse, Scope: sdk.Cluster}, []int64{30, 20, 0}},
	} {
		p := tt.points
		p.Score = func(_ *sdk.Pod, n sdk.Node) int64 { return n.AllocatableCPU() }
		got, err := sdk.Try(&p, sdk.PodInfo{}, node("a", "", 10), node("b", "", 20), node("c", "", 40))
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
		p := &sdk.Points{Score: func(*sdk.Pod, sdk.Node) int64 { return v }}
		if _, err := sdk.Try(p, sdk.PodInfo{}, node("a", "", 1)); err == nil {
			t.Errorf("score %d was taken", v)
		}
	}
}

func TestPreFilter(t *testing.T) {
	called := false
	filter := func(*sdk.Pod, sdk.Node) *sdk.Status { called = true; return nil }
	for _, tt := range []struct {
		name string
		say  *sdk.Status
		want []sdk.Placement
		call bool
	}{
		{"go on", nil, []sdk.Placement{{Node: "a"}, {Node: "b"}}, true},
		{"skip", sdk.Skip(), []sdk.Placement{{Node: "a"}, {Node: "b"}}, false},
		{"reject", sdk.Unschedulable("no"), []sdk.Placement{{Node: "a", Reasons: []string{"no"}}, {Node: "b", Reasons: []string{"no"}}}, false},
		{"only", sdk.Only("b"), []sdk.Placement{{Node: "a", Reasons: []string{"node(s) didn't satisfy plugin(s) [plugin]"}}, {Node: "b"}}, true},
	} {
		called = false
		got, err := sdk.Try(&sdk.Points{Filter: filter, PreFilter: func(*sdk.Pod, *sdk.Snapshot) *sdk.Status { return tt.say }},
			sdk.PodInfo{}, node("a", "", 1), node("b", "", 1))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, tt.want) || called != tt.call {
			t.Errorf("%s: got %+v, called %v; want %+v, %v", tt.name, got, called, tt.want, tt.call)
		}
	}
}

func TestPodRecord(t *testing.T) {
	info := sdk.PodInfo{
		Namespace: "ns", Name: "n", UID: "u", Labels: map[string]string{"a": "b", "c": ""}, Annotations: map[string]string{"x": "y"},
		NodeName: "node", SchedulerName: "s", Priority: -5,
		Requests:     sdk.Resources{MilliCPU: 1, Memory: 2, Ephemeral: 3, Extended: []sdk.Amount{{Name: "e/gpu", Value: 4}}},
		NonZero:      sdk.Resources{MilliCPU: 100, Memory: 200},
		NodeSelector: map[string]string{"k": "v"},
		Affinity: &sdk.NodeAffinity{
			Required:  []sdk.NodeTerm{{Expressions: []sdk.Requirement{{Key: "k", Operator: "In", Values: []string{"1", "2"}}}}, {}},
			Preferred: []sdk.PreferredTerm{{Weight: 7, Term: sdk.NodeTerm{Fields: []sdk.Requirement{{Key: "metadata.name", Operator: "In", Values: []string{"x"}}}}}},
		},
		Tolerations: []sdk.Toleration{{Key: "t", Operator: "Exists", Effect: "NoSchedule"}},
		Images:      []string{"i"}, Ports: []sdk.HostPort{{IP: "0.0.0.0", Protocol: "TCP", Port: 80}},
	}
	rec := sdk.EncodePod(&info)
	pod, err := sdk.DecodePod(rec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(pod, sdk.NewPod(info)) {
		t.Errorf("got %+v\nwant %+v", pod, info)
	}
	for n := range rec.Bytes() {
		if _, err := sdk.DecodePod(rec.Bytes()[:n]); err == nil {
			t.Fatalf("a record cut at %d was taken", n)
		}
	}

	other := info
	other.Name, other.UID, other.Labels = "m", "w", map[string]string{"a": "z"}
	rec2 := sdk.EncodePod(&other)
	same := func(reads sdk.Reads) bool {
		return string(rec.AppendKey(nil, reads)) == string(rec2.AppendKey(nil, reads))
	}
	if !same(0) || !same(sdk.ReadAnnotations) {
		t.Error("pods of one shape have different keys")
	}
	for _, r := range []sdk.Reads{sdk.ReadName, sdk.ReadUID, sdk.ReadLabels} {
		if same(r) {
			t.Errorf("keys do not tell pods apart by part %d", r)
		}
	}
}

// What plugins look at is reported, so that the kernel shares verdicts only
// between pods that are alike in it.
func TestReads(t *testing.T) {
	for _, tt := range []struct {
		want sdk.Reads
		read func(*sdk.Pod, *sdk.Snapshot)
	}{
		{0, func(p *sdk.Pod, _ *sdk.Snapshot) { _, _, _ = p.Namespace(), p.CPU(), p.NodeSelector() }},
		{sdk.ReadName, func(p *sdk.Pod, _ *sdk.Snapshot) { _ = p.Name() }},
		{sdk.ReadLabels, func(p *sdk.Pod, _ *sdk.Snapshot) { p.Label("x") }},
		{sdk.ReadCluster, func(_ *sdk.Pod, s *sdk.Snapshot) { s.Len() }},
		{sdk.ReadNodes, func(_ *sdk.Pod, s *sdk.Snapshot) { s.Node(0) }},
	} {
		s := sdk.NewScheduling("x", &sdk.Points{PreFilter: func(p *sdk.Pod, snap *sdk.Snapshot) *sdk.Status {
			tt.read(p, snap)
			return nil
		}})
		rec := sdk.EncodePod(&sdk.PodInfo{})
		resp, err := s.Handle(sdk.OpPreFilter, rec.Bytes(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := sdk.ReadPreFilter(resp); err != nil || a.Reads != tt.want {
			t.Errorf("reads %b, %v, want %b", a.Reads, err, tt.want)
		}
	}
}

func TestNode(t *testing.T) {
	nodes := []sdk.NodeInfo{node("n0", "a", 4000, func(n *sdk.NodeInfo) {
		n.Labels["rare"] = "yes"
		n.Taints = []sdk.Taint{{Key: "k", Value: "v", Effect: sdk.NoSchedule}}
		n.Images = []columns.Image{{Names: []string{"app:1", "app@sha256:x"}, Size: 5}}
		n.Allocatable.Extended = []sdk.Amount{{Name: "e/gpu", Value: 2}}
		n.Unschedulable, n.Ready = true, true
		n.Used = []columns.Usage{{Requests: sdk.Resources{MilliCPU: 7, Extended: []sdk.Amount{{Name: "e/gpu", Value: 1}}}, NonZeroCPU: 9},
			{Ports: []sdk.HostPort{{Port: 80}, {IP: "10.0.0.1", Port: 81, Protocol: "UDP"}}}}
	})}
	for i := range 40 {
		nodes = append(nodes, node(fmt.Sprintf("other-%d", i), "b", 1000))
	}
	s := sdk.NewSnapshot(nodes...)
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
	if got := n.Taints(); len(got) != 1 || got[0] != (sdk.Taint{Key: "k", Value: "v", Effect: sdk.NoSchedule}) {
		t.Errorf("taints %v", got)
	}
	for port, want := range map[sdk.HostPort]bool{
		{Port: 80}: true, {IP: "10.0.0.2", Port: 80, Protocol: "TCP"}: true, {Port: 80, Protocol: "UDP"}: false, {Port: 79}: false, {Port: 82}: false,
		{IP: "10.0.0.1", Port: 81, Protocol: "UDP"}: true, {IP: "10.0.0.2", Port: 81, Protocol: "UDP"}: false, {IP: "0.0.0.0", Port: 81, Protocol: "UDP"}: true,
	} {
		if got := n.PortTaken(port); got != want {
			t.Errorf("port %+v is taken: %v, want %v", port, got, want)
		}
	}
	o, _ := s.Node(1)
	if _, ok := o.Label("rare"); ok || o.PortTaken(sdk.HostPort{Port: 80}) || o.Unschedulable() || len(o.Taints()) != 0 || o.HasImage("app:1") {
		t.Error("what one node has shows on another")
	}
	if _, ok := s.Node(41); ok {
		t.Error("a row behind the last")
	}
}

// A kernel's mistakes, or another's, must not bring a guest down.
func FuzzHandle(f *testing.F) {
	rec := sdk.EncodePod(&sdk.PodInfo{Name: "p"})
	q := sdk.CycleRequest{Runs: []sdk.Run{{Start: 0, Count: 3}, {Start: 1 << 40, Count: 2}}}
	f.Add(uint32(sdk.OpPreFilter), rec.Bytes())
	f.Add(uint32(sdk.OpCycle), q.Append(nil))
	f.Add(uint32(sdk.OpSnapshot), (&columns.Delta{Reset: true, Layout: true, Rows: 5}).Append(nil))
	f.Add(uint32(sdk.OpNormalize), sdk.AppendNormalize(nil, 0, 2))
	f.Add(uint32(sdk.OpProfile), sdk.AppendUses(nil, []sdk.MemberUse{{Filter: true, Weight: 1}}))
	f.Fuzz(func(t *testing.T, op uint32, req []byte) {
		p := zoneFit()
		p.Normalize = func(*sdk.Pod, *sdk.Scores) {}
		s := sdk.NewScheduling("x", p)
		table := columns.NewTable()
		for i := range 3 {
			table.Put(columns.Node{Name: fmt.Sprint(i)})
		}
		var region []byte
		m := columns.NewMirror(table, []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
			{ID: columns.ResultScore, Type: columns.Int64}, {ID: columns.ResultScore, Type: columns.Int64, Key: 1}},
			func(size int) ([]byte, error) { region = columns.Alloc(size); return region, nil })
		d, err := m.Update(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Handle(sdk.OpSnapshot, d.Append(nil), region); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Handle(sdk.OpPreFilter, rec.Bytes(), region); err != nil {
			t.Fatal(err)
		}
		_, _ = s.Handle(wire.Op(op), req, region) // may refuse; must return
		_, _ = s.Handle(sdk.OpPreFilter, rec.Bytes(), region)
		_, _ = s.Handle(sdk.OpCycle, q.Append(nil), region)
	})
}

// A kernel of ABI 1.1 sends neither sets of host ports nor their column.
func TestKernelWithoutPorts(t *testing.T) {
	var took []bool
	s := sdk.NewScheduling("x", &sdk.Points{Filter: func(_ *sdk.Pod, n sdk.Node) *sdk.Status {
		took = append(took, n.PortTaken(sdk.HostPort{Port: 80}))
		return nil
	}})
	table := columns.NewTable()
	table.Put(columns.Node{Name: "n"})
	var region []byte
	m := columns.NewMirror(table, []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64}}, func(size int) ([]byte, error) { region = columns.Alloc(size); return region, nil })
	d, err := m.Update(nil)
	if err != nil {
		t.Fatal(err)
	}
	l := m.Layout()
	l.Columns[l.Find(columns.PortSet, 0)].ID = 1 << 20
	if err := l.WriteHeader(region); err != nil {
		t.Fatal(err)
	}
	d.PortSets = nil
	frame := d.Append(nil)
	if _, err := s.Handle(sdk.OpSnapshot, frame[:len(frame)-1], region); err != nil {
		t.Fatal(err)
	}
	rec := sdk.EncodePod(&sdk.PodInfo{Ports: []sdk.HostPort{{Port: 80}}})
	q := sdk.CycleRequest{Runs: []sdk.Run{{Count: 1}}}
	if _, err := s.Handle(sdk.OpPreFilter, rec.Bytes(), region); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle(sdk.OpCycle, q.Append(nil), region); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(took, []bool{false}) {
		t.Errorf("taken: %v, want one no", took)
	}
}
