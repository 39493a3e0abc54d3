package scheduler

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/sdk"
)

// choose takes the best row. When plugins depend on more than the row, their
// part is computed anew over all rows.
func (e *engine) choose(ctx context.Context, units []*unit, sh *shape) (outcome, bool, *unit, error) {
	if !e.needsAll(units, sh) {
		return e.winner(units, sh, &sh.rank, sh.counts[0], nil), false, nil, nil
	}
	n := e.table.Rows()
	e.totals.resize(n)
	copy(e.totals.scores, sh.rank.scores)
	feasible := sh.counts[0]
	var extra map[int]reason
	for i, u := range units {
		if err := e.normalize(ctx, u, i, sh); err != nil {
			return outcome{}, false, u, err
		}
		if !u.cluster {
			continue
		}
		again, more, err := e.askCluster(ctx, u, i, sh)
		if err != nil || again {
			return outcome{}, again, u, err
		}
		for row, r := range more {
			if extra == nil {
				extra = map[int]reason{}
			}
			extra[row] = r
			feasible--
		}
	}
	e.totals.rebuild()
	return e.winner(units, sh, &e.totals, feasible, extra), false, nil, nil
}

func (e *engine) needsAll(units []*unit, sh *shape) bool {
	for i := range sh.raw {
		if sh.raw[i].custom {
			return true
		}
	}
	for _, u := range units {
		if u.cluster {
			return true
		}
	}
	return false
}

// normalize lets a unit's members that do it by themselves bring their scores
// to 0..100, and adds them to the totals.
func (e *engine) normalize(ctx context.Context, u *unit, i int, sh *shape) error {
	for k := range sh.raw {
		r := &sh.raw[k]
		if r.unit != i || !r.custom {
			continue
		}
		out, err := u.bind()
		if err != nil {
			return err
		}
		sh.feasible(out.feasible)
		copy(out.scores[r.column], r.values)
		if err := e.callNormalize(ctx, u, r.member, r.column, r.weight); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) callNormalize(ctx context.Context, u *unit, member int, column uint32, weight int64) error {
	n := e.table.Rows()
	u.req = sdk.AppendNormalize(u.req[:0], member, n)
	if _, err := u.inst.Call(ctx, sdk.OpNormalize, u.req); err != nil {
		return err
	}
	out, err := u.bind()
	if err != nil {
		return err
	}
	for row, v := range out.scores[column][:n] {
		if e.totals.scores[row] != absent {
			if err := u.scored(v, sdk.MaxNodeScore); err != nil {
				return err
			}
			e.totals.scores[row] += weight * v
		}
	}
	return nil
}

// askCluster asks a unit's members of cluster scope about every row that is
// left, and adds their scores to the totals.
func (e *engine) askCluster(ctx context.Context, u *unit, i int, sh *shape) (again bool, rejected map[int]reason, err error) {
	n := e.table.Rows()
	out, err := u.bind()
	if err != nil {
		return false, nil, err
	}
	out.feasible.Zero()
	for row, s := range e.totals.scores {
		if s != absent {
			out.feasible.Set(row)
		}
	}
	a, out, err := u.cycle(ctx, &sdk.CycleRequest{Scope: sdk.Cluster, Masked: true, Runs: []sdk.Run{{Start: 0, Count: n}}})
	if err != nil {
		return false, nil, err
	}
	if e.grew(sh, a.Reads&^(sdk.ReadCluster|sdk.ReadNodes)) {
		return true, nil, nil
	}
	if err := sh.learn(i, a.Reasons); err != nil {
		return false, nil, err
	}
	rejected = map[int]reason{}
	for row := range n {
		if e.totals.scores[row] == absent {
			continue
		}
		if !out.feasible.Has(row) {
			id := sh.reasonID(i, out.reasons[row])
			if id == 0 {
				id = sh.unnamed(i)
			}
			rejected[row] = sh.reasons[id-1]
			e.totals.scores[row] = absent
			continue
		}
		if err := u.scored(out.scores[0][row], u.most); err != nil {
			return false, nil, err
		}
		e.totals.scores[row] += out.scores[0][row]
	}
	return false, rejected, e.scaleCluster(ctx, u)
}

// scaleCluster adds the scores of cluster members that need scaling.
func (e *engine) scaleCluster(ctx context.Context, u *unit) error {
	n := e.table.Rows()
	for k, m := range u.members {
		w := u.uses[k].Weight
		if m.Scope != sdk.Cluster || m.Column == 0 || w == 0 {
			continue
		}
		if m.Normalizes {
			if err := e.callNormalize(ctx, u, k, m.Column, w); err != nil {
				return err
			}
			continue
		}
		values := u.out.scores[m.Column][:n]
		var highest int64
		for row, v := range values {
			if e.totals.scores[row] != absent {
				if err := u.scored(v, maxRawScore); err != nil {
					return err
				}
				highest = max(highest, v)
			}
		}
		for row, v := range values {
			if e.totals.scores[row] != absent {
				e.totals.scores[row] += w * m.Scaling.Apply(v, highest)
			}
		}
	}
	return nil
}

// winner picks among the best rows; extra are rejections of cluster scope.
func (e *engine) winner(units []*unit, sh *shape, r *ranking, feasible int, extra map[int]reason) outcome {
	row, score := r.pick(e.rand.Uint64())
	if row < 0 {
		fit := &fitError{nodes: e.table.Rows()}
		for id, n := range sh.counts {
			if id > 0 && n > 0 {
				fit.add(units, &sh.reasons[id-1], n)
			}
		}
		for _, r := range extra {
			fit.add(units, &r, 1)
		}
		fit.examples = e.examples(sh)
		return outcome{fit: fit}
	}
	return outcome{node: e.table.Node(row).Name, row: row, score: score, feasible: feasible}
}

// maxExamples is how many nodes an explanation names for each reason.
const maxExamples = 3

// examples names some nodes for each text of a reason.
func (e *engine) examples(sh *shape) map[string][]string {
	left := make([]int, len(sh.reasons)+1)
	for i := range left {
		left[i] = maxExamples
	}
	out := map[string][]string{}
	for row, id := range sh.row {
		if id == 0 || left[id] == 0 {
			continue
		}
		left[id]--
		for _, text := range sh.reasons[id-1].texts {
			if len(out[text]) < maxExamples {
				out[text] = append(out[text], e.table.Node(row).Name)
			}
		}
	}
	return out
}

// rejected answers for a pod that a PreFilter rejected on all nodes.
func (e *engine) rejected(units []*unit, sh *shape) *fitError {
	for i := range units {
		if a := &sh.pre[i].answer; a.RejectedBy > 0 {
			fit := &fitError{nodes: e.table.Rows(), preFilter: true}
			r := reason{unit: i, member: a.RejectedBy - 1, unresolvable: a.Unresolvable, texts: a.Reasons}
			fit.add(units, &r, e.table.Rows())
			fit.message = strings.Join(a.Reasons, ", ")
			return fit
		}
	}
	return nil
}

// narrowed intersects the node names that PreFilters ask for; nil when none
// does.
func (e *engine) narrowed(units []*unit, sh *shape) (names []string, fit *fitError) {
	var who []string
	var events sdk.Event
	first := true
	for i, u := range units {
		for _, o := range sh.pre[i].answer.Only {
			who = append(who, u.members[o.Member].Name)
			events |= eventsOf(u.members[o.Member].Events)
			if first {
				names, first = o.Nodes, false
				continue
			}
			wanted := make(map[string]bool, len(o.Nodes))
			for _, n := range o.Nodes {
				wanted[n] = true
			}
			names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !wanted[n] })
		}
	}
	if first {
		return nil, nil
	}
	sort.Strings(who)
	if len(names) == 0 {
		text := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v simultaneously", who)
		if len(who) == 1 {
			text = fmt.Sprintf("node(s) didn't satisfy plugin %v", who[0])
		}
		return nil, &fitError{nodes: e.table.Rows(), preFilter: true, message: text, events: events}
	}
	return names, nil
}

// among decides between a few named nodes, without remembering: pods that name
// their node differ from each other.
func (e *engine) among(ctx context.Context, units []*unit, sh *shape, names []string) (outcome, bool, *unit, error) {
	var rows []uint32
	for _, name := range names {
		if row, ok := e.table.Row(name); ok {
			rows = append(rows, uint32(row))
		}
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	n := e.table.Rows()
	sh.filled = false
	sh.resize(n)
	if again, bad, err := e.ask(ctx, units, sh, runsOf(rows)); again || err != nil {
		return outcome{}, again, bad, err
	}
	for row := range sh.row {
		sh.rank.scores[row] = absent
	}
	for i := range sh.raw {
		r := &sh.raw[i]
		r.max = 0
		for _, row := range rows {
			if sh.row[row] == 0 {
				r.max = max(r.max, r.values[row])
			}
		}
	}
	feasible := 0
	for _, row := range rows {
		if sh.row[row] == 0 {
			sh.rank.scores[row] = sh.total(int(row))
			feasible++
		}
	}
	sh.rank.rebuild()
	sh.counts[0] = feasible
	defer sh.restart()
	if feasible > 0 {
		return e.choose(ctx, units, sh)
	}
	fit := &fitError{nodes: n, examples: map[string][]string{}}
	for _, row := range rows {
		r := &sh.reasons[sh.row[row]-1]
		fit.add(units, r, 1)
		for _, text := range r.texts {
			fit.examples[text] = append(fit.examples[text], e.table.Node(int(row)).Name)
		}
	}
	e.addAbsent(units, sh, fit, n-len(rows))
	return outcome{fit: fit}, false, nil, nil
}

// addAbsent counts the nodes that PreFilters left out.
func (e *engine) addAbsent(units []*unit, sh *shape, fit *fitError, n int) {
	var who []string
	for i, u := range units {
		for _, o := range sh.pre[i].answer.Only {
			who = append(who, u.members[o.Member].Name)
			fit.events |= eventsOf(u.members[o.Member].Events)
		}
	}
	sort.Strings(who)
	if n > 0 {
		who = slices.Compact(who)
		fit.addText(fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", who), strings.Join(who, ","), n)
	}
}

// restart forgets the answers, but not the pod that the guests hold.
func (sh *shape) restart() {
	sh.row, sh.local = sh.row[:0], sh.local[:0]
	sh.rank = ranking{}
	clear(sh.counts)
	for i := range sh.raw {
		sh.raw[i].values, sh.raw[i].max, sh.raw[i].top = nil, 0, 0
	}
	sh.filled = false
}
