package sdktest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
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
// does, for tests of plugins. Placements are in the order of nodes. Other pods
// are those that the nodes name as assigned.
func Try(p *scheduling.Points, pod scheduling.PodInfo, nodes ...scheduling.NodeInfo) ([]Placement, error) {
	return TryWith(nil, p, pod, nodes...)
}

// TryWith is Try for plugins that read objects: those of a store; nil has none.
func TryWith(s *Store, p *scheduling.Points, pod scheduling.PodInfo, nodes ...scheduling.NodeInfo) ([]Placement, error) {
	t, err := newTrial(s, p, nodes)
	if err != nil {
		return nil, err
	}
	var out []Placement
	err = t.until(func() error {
		out, err = t.attempt(pod)
		return err
	})
	return out, err
}

func newTrial(s *Store, p *scheduling.Points, nodes []scheduling.NodeInfo) (*trial, error) {
	if s == nil {
		s = &Store{}
	}
	t := &trial{plugin: p.Open(instance.Host{Plugin: "plugin", Call: s.call}), table: schedule.NewTable(nodes...), nodes: nodes}
	return t, t.open()
}

// until asks again while the plugin looks at more.
func (t *trial) until(ask func() error) error {
	for range columns.MaxWanted {
		if err := ask(); !errors.Is(err, errAgain) {
			return err
		}
	}
	return fmt.Errorf("the plugin looks at more than %d columns and fields", columns.MaxWanted)
}

// errAgain asks for another attempt: the plugin looked at a column or a field of
// the pod for the first time, and what it said is thrown away.
var errAgain = errors.New("the plugin looks at more")

// attempt asks about the pod once.
func (t *trial) attempt(pod scheduling.PodInfo) ([]Placement, error) {
	record, err := pod.Record(t.fields)
	if err != nil {
		return nil, err
	}
	resp, err := t.call(schedule.OpPreFilter, record)
	if err != nil {
		return nil, err
	}
	pre, err := schedule.ReadPreFilter(resp)
	if err != nil {
		return nil, err
	}
	if pre.Missing.Any() {
		return nil, t.give(&pre.Missing)
	}
	if err := t.count(pre.Counts); err != nil {
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
	fields  *string // of the pod, that the plugin declares
	table   *columns.Table
	nodes   []scheduling.NodeInfo // as in table
	mirror  *columns.Mirror
	region  []byte
	layout  columns.Layout
	counts  []schedule.CountsAt
	slots   int // columns for counts
}

// open learns what the plugin holds and gives it the nodes.
func (t *trial) open() error {
	resp, err := t.call(schedule.OpDescribe, nil)
	if err != nil {
		return err
	}
	if t.members, err = schedule.ReadMembers(resp); err != nil {
		return err
	}
	uses := make([]schedule.MemberUse, len(t.members))
	for i, m := range t.members {
		uses[i] = schedule.MemberUse{Filter: m.Filters}
		if m.Scores {
			uses[i].Weight = m.Weight
		}
	}
	if resp, err = t.call(schedule.OpProfile, schedule.AppendUses(nil, uses)); err != nil {
		return err
	}
	if t.fields, err = schedule.ReadFields(resp); err != nil {
		return err
	}
	t.mirror = columns.NewMirror(t.table, t.columns(), func(size int) ([]byte, error) {
		t.region = columns.Alloc(size)
		return t.region, nil
	})
	t.mirror.WantAll()
	return t.load()
}

// give adds what the plugin looked at and did not have, and answers errAgain.
func (t *trial) give(m *schedule.Missing) error {
	if m.Fields != nil {
		t.fields = m.Fields
	}
	if err := t.mirror.Want(m.Columns...); err != nil {
		return err
	}
	return cmp.Or(t.load(), errAgain)
}

func (t *trial) call(op wire.Op, req []byte) ([]byte, error) {
	return t.plugin.Serve(nil, op, req, t.region)
}

// columns are those for answers and counts.
func (t *trial) columns() []columns.Column {
	cols := []columns.Column{{ID: columns.ResultFeasible, Type: columns.Bits}, {ID: columns.ResultReason, Type: columns.Uint32},
		{ID: columns.ResultScore, Type: columns.Int64}}
	for _, m := range t.members {
		if m.Column > 0 {
			cols = append(cols, columns.Column{ID: columns.ResultScore, Type: columns.Int64, Key: m.Column})
		}
	}
	for k := range t.slots {
		cols = append(cols, columns.Column{ID: columns.DomainPods, Type: columns.Int64, Key: uint32(k + 1)})
	}
	return cols
}

// load hands the nodes to the plugin.
func (t *trial) load() error {
	d, err := t.mirror.Update(t.region)
	if err != nil || d == nil {
		return err
	}
	t.layout = t.mirror.Layout()
	_, err = t.call(schedule.OpSnapshot, d.Append(nil))
	return err
}

// count counts the pods that run as the plugin asks for it.
func (t *trial) count(list []schedule.PodCounts) error {
	if len(list) > t.slots {
		t.slots = len(list)
		t.mirror.SetExtra(t.columns())
		return cmp.Or(t.load(), errAgain)
	}
	t.counts = t.counts[:0]
	for i, c := range list {
		at, err := t.domains(c, t.layout.Int64s(t.region, columns.DomainPods, uint32(i+1)))
		if err != nil {
			return err
		}
		at.Slot = uint32(i + 1)
		t.counts = append(t.counts, at)
	}
	return nil
}

// domains writes for each node the pods in its domain, -1 where it has none.
func (t *trial) domains(c schedule.PodCounts, col []int64) (at schedule.CountsAt, err error) {
	selector, err := metav1.ParseToLabelSelector(c.Selector)
	if err != nil {
		return at, err
	}
	pods := map[string]int64{}
	for i := range t.nodes {
		if domain, ok := t.nodes[i].Labels[c.TopologyKey]; ok {
			pods[domain] += 0
			for _, p := range t.nodes[i].Assigned {
				if (len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, p.Namespace)) && !(c.SkipTerminating && p.Terminating) && selector.Matches(p.Labels) {
					pods[domain]++
				}
			}
		}
	}
	for i := range t.nodes {
		col[i] = -1
		if domain, ok := t.nodes[i].Labels[c.TopologyKey]; ok {
			col[i] = pods[domain]
		}
	}
	all := slices.Collect(maps.Values(pods))
	if at.Domains = uint32(len(all)); len(all) > 0 {
		at.Min, at.Max = slices.Min(all), slices.Max(all)
	}
	return at, nil
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
		q := schedule.CycleRequest{Scope: scope, Masked: true, Runs: []schedule.Run{{Count: len(out)}}, Counts: t.counts}
		resp, err := t.call(schedule.OpCycle, q.Append(nil))
		if err != nil {
			return err
		}
		a, err := schedule.ReadCycleAnswer(resp)
		if err != nil {
			return err
		}
		if a.Missing.Any() {
			return t.give(&a.Missing)
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
			if missing.Any() {
				return t.give(&missing)
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
