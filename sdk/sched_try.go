package sdk

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/columns"
)

// Placement is what plugins say about one node for a pod.
type Placement struct {
	Node string
	// Reasons are empty when the pod fits.
	Reasons []string
	// Score is the weighted sum of all scores; 0 when the pod does not fit.
	Score int64
}

// Fits tells whether the pod fits the node.
func (p *Placement) Fits() bool { return len(p.Reasons) == 0 }

// Try asks the points of a plugin about a pod and nodes, the way a kernel
// does, for tests of plugins. Placements are in the order of nodes.
func Try(p *Points, pod PodInfo, nodes ...NodeInfo) ([]Placement, error) {
	t := trial{guest: NewScheduling("plugin", p), table: columns.NewTable()}
	for _, n := range nodes {
		row := t.table.Put(n.Node)
		for i := range n.Used {
			t.table.Use(row, &n.Used[i], 1)
		}
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	record := EncodePod(&pod)
	resp, err := t.guest.Handle(OpPreFilter, record.Bytes(), t.region)
	if err != nil {
		return nil, err
	}
	pre, err := ReadPreFilter(resp)
	if err != nil {
		return nil, err
	}
	out := make([]Placement, t.table.Rows())
	for i := range out {
		out[i].Node = t.table.Node(i).Name
		if pre.RejectedBy > 0 {
			out[i].Reasons = pre.Reasons
		}
		for _, o := range pre.Only {
			if !slices.Contains(o.Nodes, out[i].Node) && out[i].Fits() {
				out[i].Reasons = []string{"node(s) didn't satisfy plugin(s) [" + t.guest.members[o.Member].name + "]"}
			}
		}
	}
	if pre.RejectedBy > 0 {
		return out, nil
	}
	return out, t.ask(out)
}

// trial is a kernel in small.
type trial struct {
	guest  *Scheduling
	table  *columns.Table
	region []byte
	layout columns.Layout
}

// load hands the nodes to the plugin.
func (t *trial) load() error {
	cols := []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64}}
	for _, m := range t.guest.members {
		if m.column > 0 {
			cols = append(cols, columns.Column{ID: columns.ResultScore, Type: columns.Int64, Key: m.column})
		}
	}
	mirror := columns.NewMirror(t.table, cols, func(size int) ([]byte, error) {
		t.region = columns.Alloc(size)
		return t.region, nil
	})
	d, err := mirror.Update(nil)
	if err != nil {
		return err
	}
	t.layout = mirror.Layout()
	_, err = t.guest.Handle(OpSnapshot, d.Append(nil), t.region)
	return err
}

// ask puts all nodes to the members of both scopes and adds their scores up.
func (t *trial) ask(out []Placement) error {
	feasible := t.layout.Mask(t.region, columns.ResultFeasible, 0)
	reasons := t.layout.Uint32s(t.region, columns.ResultReason, 0)
	var known []ReasonInfo
	feasible.Zero()
	for i := range out {
		if out[i].Fits() {
			feasible.Set(i)
		}
	}
	for _, scope := range []Scope{NodeLocal, Cluster} {
		q := CycleRequest{Scope: scope, Masked: true, Runs: []Run{{Count: len(out)}}}
		resp, err := t.guest.Handle(OpCycle, q.Append(nil), t.region)
		if err != nil {
			return err
		}
		a, err := ReadCycleAnswer(resp)
		if err != nil {
			return err
		}
		known = append(known, a.Reasons...)
		for i := range out {
			if id := int(reasons[i]); !feasible.Has(i) && out[i].Fits() && id > 0 && id <= len(known) {
				out[i].Reasons = known[id-1].Reasons
			}
		}
		if err := t.add(out, scope, feasible); err != nil {
			return err
		}
	}
	for i := range out {
		if !out[i].Fits() {
			out[i].Score = 0
		}
	}
	return nil
}

// add sums the scores of the members of a scope.
func (t *trial) add(out []Placement, scope Scope, feasible columns.Mask) error {
	sum := t.layout.Int64s(t.region, columns.ResultScore, 0)
	for i := range out {
		out[i].Score += sum[i]
	}
	for k, m := range t.guest.members {
		if m.column == 0 || m.points.Scope != scope {
			continue
		}
		raw := t.layout.Int64s(t.region, columns.ResultScore, m.column)
		if m.points.Normalize != nil {
			if _, err := t.guest.Handle(OpNormalize, AppendNormalize(nil, k, len(out)), t.region); err != nil {
				return err
			}
		}
		var highest int64
		for i := range out {
			if feasible.Has(i) {
				highest = max(highest, raw[i])
			}
		}
		for i := range out {
			v := raw[i]
			if m.points.Normalize == nil {
				v = m.points.Scaling.Apply(v, highest)
			}
			out[i].Score += m.weight * v
		}
	}
	return nil
}
