package sdktest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
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
// does, for tests of plugins. Placements are in the order of nodes. Other pods are
// those that the nodes name as assigned; a plugin that counts pods by topology
// domain is an error.
func Try(p *scheduling.Points, pod scheduling.PodInfo, nodes ...scheduling.NodeInfo) ([]Placement, error) {
	t := trial{plugin: p.Open(instance.Host{Plugin: "plugin"}), table: schedule.NewTable(nodes...)}
	resp, err := t.call(schedule.OpDescribe, nil)
	if err != nil {
		return nil, err
	}
	if t.members, err = schedule.ReadMembers(resp); err != nil {
		return nil, err
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	record := schedule.EncodePod(&pod)
	for range columns.MaxWanted {
		out, err := t.attempt(record.Bytes())
		if !errors.Is(err, errAgain) {
			return out, err
		}
	}
	return nil, fmt.Errorf("the plugin looks at more than %d columns", columns.MaxWanted)
}

// errAgain asks for another attempt: the plugin looked at a column for the first
// time, such as that of a label that only few nodes have, and what it said is
// thrown away.
var errAgain = errors.New("the plugin looks at more columns")

// attempt asks about the pod once.
func (t *trial) attempt(record []byte) ([]Placement, error) {
	resp, err := t.call(schedule.OpPreFilter, record)
	if err != nil {
		return nil, err
	}
	pre, err := schedule.ReadPreFilter(resp)
	if err != nil {
		return nil, err
	}
	if len(pre.Missing) > 0 {
		return nil, t.give(pre.Missing)
	}
	if len(pre.Counts) > 0 {
		return nil, errors.New("sdktest.Try has no other pods to count: try a plugin that counts pods in a cluster")
	}
	out := make([]Placement, t.table.Rows())
	for i := range out {
		out[i].Node = t.table.Node(i).Name
		if pre.RejectedBy > 0 {
			out[i].Reasons = pre.Reasons
		}
		for _, o := range pre.Only {
			if !slices.Contains(o.Nodes, out[i].Node) && out[i].Fits() {
				out[i].Reasons = []string{"node(s) didn't satisfy plugin(s) [" + t.members[o.Member].Name + "]"}
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
	plugin  instance.Instance
	members []schedule.MemberInfo
	table   *columns.Table
	mirror  *columns.Mirror
	region  []byte
	layout  columns.Layout
}

func (t *trial) call(op wire.Op, req []byte) ([]byte, error) {
	return t.plugin.Serve(nil, op, req, t.region)
}

// load hands the nodes to the plugin.
func (t *trial) load() error {
	cols := []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64}}
	for _, m := range t.members {
		if m.Column > 0 {
			cols = append(cols, columns.Column{ID: columns.ResultScore, Type: columns.Int64, Key: m.Column})
		}
	}
	t.mirror = columns.NewMirror(t.table, cols, func(size int) ([]byte, error) {
		t.region = columns.Alloc(size)
		return t.region, nil
	})
	t.mirror.WantAll()
	return t.sync()
}

// sync brings the plugin's columns up to date.
func (t *trial) sync() error {
	d, err := t.mirror.Update(t.region)
	if err != nil || d == nil {
		return err
	}
	t.layout = t.mirror.Layout()
	_, err = t.call(schedule.OpSnapshot, d.Append(nil))
	return err
}

// give adds the columns that the plugin looked at, and answers errAgain.
func (t *trial) give(missing []columns.Ref) error {
	if err := t.mirror.Want(missing...); err != nil {
		return err
	}
	return cmp.Or(t.sync(), errAgain)
}

// ask puts all nodes to the members of both scopes and adds their scores up.
func (t *trial) ask(out []Placement) error {
	feasible := t.layout.Mask(t.region, columns.ResultFeasible, 0)
	reasons := t.layout.Uint32s(t.region, columns.ResultReason, 0)
	var known []schedule.ReasonInfo
	feasible.Zero()
	for i := range out {
		if out[i].Fits() {
			feasible.Set(i)
		}
	}
	for _, scope := range []schedule.Scope{schedule.NodeLocal, schedule.Cluster} {
		q := schedule.CycleRequest{Scope: scope, Masked: true, Runs: []schedule.Run{{Count: len(out)}}}
		resp, err := t.call(schedule.OpCycle, q.Append(nil))
		if err != nil {
			return err
		}
		a, err := schedule.ReadCycleAnswer(resp)
		if err != nil {
			return err
		}
		if len(a.Missing) > 0 {
			return t.give(a.Missing)
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
func (t *trial) add(out []Placement, scope schedule.Scope, feasible vector.Mask) error {
	sum := t.layout.Int64s(t.region, columns.ResultScore, 0)
	for i := range out {
		out[i].Score += sum[i]
	}
	for k, m := range t.members {
		if m.Column == 0 || m.Scope != scope {
			continue
		}
		raw := t.layout.Int64s(t.region, columns.ResultScore, m.Column)
		if m.Normalizes {
			resp, err := t.call(schedule.OpNormalize, schedule.AppendNormalize(nil, k, len(out)))
			if err != nil {
				return err
			}
			missing, err := schedule.ReadMissing(resp)
			if err != nil {
				return err
			}
			if len(missing) > 0 {
				return t.give(missing)
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
			if !m.Normalizes {
				v = m.Scaling.Apply(v, highest)
			}
			out[i].Score += m.Weight * v
		}
	}
	return nil
}
