package evaluate

import (
	"context"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// choose takes the best row. When plugins depend on more than the row, their
// part is computed anew over all rows.
func (a *attempt) choose(ctx context.Context) (out Outcome, bad *Instance, err error) {
	v := a.verdicts
	if !v.needsAllRows(a.instances) {
		return a.winner(&v.rank, v.counts[0], nil), nil, nil
	}
	n := a.table.Rows()
	a.totals.resize(n)
	a.totals.credits = fit(a.totals.credits, len(v.by.origins))
	copy(a.totals.scores, v.rank.scores)
	feasible := v.counts[0]
	var rejected map[int]reason // by cluster scope
	for i, in := range a.instances {
		if err := a.normalizeLocal(ctx, in, i); err != nil {
			return out, in, err
		}
		if !in.cluster {
			continue
		}
		more, err := a.askCluster(ctx, in, i)
		if err != nil {
			return out, in, err
		}
		for row, r := range more {
			if rejected == nil {
				rejected = map[int]reason{}
			}
			rejected[row] = r
			feasible--
		}
	}
	a.totals.rebuild()
	return a.winner(a.totals, feasible, rejected), nil, nil
}

// normalizeLocal lets an instance's node-local members that do it by themselves
// bring their scores to 0..100, and adds them to the totals.
func (a *attempt) normalizeLocal(ctx context.Context, in *Instance, i int) error {
	v := a.verdicts
	for k := range v.raw {
		r := &v.raw[k]
		if r.instance != i || !r.custom {
			continue
		}
		out, err := in.bind()
		if err != nil {
			return err
		}
		v.feasible(out.feasible)
		copy(out.scores[r.column], r.values)
		if err := a.normalize(ctx, in, i, r.member, r.column, r.weight); err != nil {
			return err
		}
	}
	return nil
}

// normalize calls a member's NormalizeScore and adds what comes to the totals.
func (a *attempt) normalize(ctx context.Context, in *Instance, i, member int, column uint32, weight int64) error {
	n := a.table.Rows()
	out, err := in.normalize(ctx, member, n)
	if err != nil {
		return err
	}
	credits := a.creditsOf(i, member)
	for row, score := range out.scores[column][:n] {
		if a.totals.scores[row] != absent {
			if err := in.checkScore(score, schedule.MaxNodeScore); err != nil {
				return err
			}
			a.totals.credit(credits, row, weight*score)
		}
	}
	return nil
}

// askCluster asks an instance's members of cluster scope about every row that
// is left, and adds their scores to the totals.
func (a *attempt) askCluster(ctx context.Context, in *Instance, i int) (rejected map[int]reason, err error) {
	v := a.verdicts
	n := a.table.Rows()
	out, err := in.bind()
	if err != nil {
		return nil, err
	}
	out.feasible.Zero()
	for row, s := range a.totals.scores {
		if s != absent {
			out.feasible.Set(row)
		}
	}
	answer, out, err := in.cycle(ctx, &schedule.CycleRequest{Scope: schedule.Cluster, Masked: true, Runs: []schedule.Run{{Start: 0, Count: n}}})
	if err != nil {
		return nil, err
	}
	v.reads |= answer.Reads &^ (schedule.ReadCluster | schedule.ReadNodes)
	v.read(i, in.reads.Take())
	if err := v.addReasons(i, answer.Reasons); err != nil {
		return nil, err
	}
	rejected = map[int]reason{}
	credits := a.creditsOf(i, -1)
	for row := range n {
		if a.totals.scores[row] == absent {
			continue
		}
		if !out.feasible.Has(row) {
			id := v.reasonID(i, out.reasons[row])
			if id == 0 {
				id = v.unnamedReason(i)
			}
			rejected[row] = v.reasons[id-1]
			a.totals.scores[row] = absent
			continue
		}
		if err := in.checkScore(out.scores[0][row], in.most); err != nil {
			return nil, err
		}
		a.totals.credit(credits, row, out.scores[0][row])
	}
	return rejected, a.scaleCluster(ctx, in, i)
}

// scaleCluster adds the scores of cluster members that need scaling.
func (a *attempt) scaleCluster(ctx context.Context, in *Instance, i int) error {
	n := a.table.Rows()
	for k, m := range in.members {
		w := in.uses[k].Weight
		if m.Scope != schedule.Cluster || m.Column == 0 || w == 0 {
			continue
		}
		if m.Normalizes {
			if err := a.normalize(ctx, in, i, k, m.Column, w); err != nil {
				return err
			}
			continue
		}
		credits := a.creditsOf(i, k)
		values := in.out.scores[m.Column][:n]
		var highest int64
		for row, v := range values {
			if a.totals.scores[row] != absent {
				if err := in.checkScore(v, schedule.MaxRawScore); err != nil {
					return err
				}
				highest = max(highest, v)
			}
		}
		for row, v := range values {
			if a.totals.scores[row] != absent {
				a.totals.credit(credits, row, w*m.Scaling.Apply(v, highest))
			}
		}
	}
	return nil
}

// winner picks among the best rows; rejected are those that members of cluster
// scope rejected.
func (a *attempt) winner(r *ranking, feasible int, rejected map[int]reason) Outcome {
	v := a.verdicts
	var lead leaders
	row, score := r.pick(a.rand.Uint64(), &lead)
	if row < 0 {
		fit := &FitError{nodes: a.table.Rows()}
		for id, n := range v.counts {
			if id > 0 && n > 0 {
				fit.add(a.instances, &v.reasons[id-1], n)
			}
		}
		for _, r := range rejected {
			fit.add(a.instances, &r, 1)
		}
		fit.examples = a.examples()
		fit.noteObjects(a.instances, a.verdicts)
		return Outcome{Fit: fit}
	}
	return Outcome{Node: a.table.Node(row).Name, Row: row, Score: score, Feasible: feasible, Scores: a.tell(r, row, &lead), reserving: reservingOf(a.instances, a.verdicts)}
}

// maxExamples is how many nodes an explanation names for each reason.
const maxExamples = 3

// examples names some nodes for each text of a reason.
func (a *attempt) examples() map[string][]string {
	v := a.verdicts
	left := make([]int, len(v.reasons)+1)
	for i := range left {
		left[i] = maxExamples
	}
	out := map[string][]string{}
	for row, id := range v.row {
		if id == 0 || left[id] == 0 {
			continue
		}
		left[id]--
		for _, text := range v.reasons[id-1].texts {
			if len(out[text]) < maxExamples {
				out[text] = append(out[text], a.table.Node(row).Name)
			}
		}
	}
	return out
}
