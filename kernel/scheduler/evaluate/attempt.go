package evaluate

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// attempt is one pass over the plugins for one pod: their PreFilters, the rows
// that they must be asked about, and the choice.
type attempt struct {
	table     *columns.Table
	indexes   Indexes
	objects   *objects.View
	memory    *memory
	rand      *rand.Rand
	totals    *ranking // of choices that depend on all rows
	instances []*Instance
	verdicts  *verdicts // of the pod's signature
	scores    *Scores   // to write to; nil when nobody is to know who gave what
}

// run finds the node. errMoreColumns and errMoreFields ask for another attempt.
// bad is the instance that err is about.
func (a *attempt) run(ctx context.Context, pod *Pod) (out Outcome, bad *Instance, err error) {
	v := a.verdicts
	for _, in := range a.instances {
		if err := in.sync(ctx, a.table); err != nil {
			return out, in, err
		}
	}
	if v.filled && (v.reads&schedule.ReadNodes != 0 || v.reads&schedule.ReadCluster != 0 && v.cluster != a.table.Cluster()) {
		v.filled = false
	}
	v.voidObjects(a.objects)
	if bad, err := a.findCounts(); err != nil {
		return out, bad, err
	}
	rows, all := a.memory.changed(v)
	// Without a question to ask, what the PreFilters said holds as long as
	// their tables do.
	idle := !all && len(rows) == 0 && !v.needsAllRows(a.instances)
	if bad, err := a.preFilter(ctx, pod, idle); err != nil {
		return out, bad, err
	}
	if bad, err := a.findCounts(); err != nil {
		return out, bad, err
	}
	if all = all || !v.filled; a.giveCounts(ctx) {
		return out, nil, errMoreColumns
	}
	if fit := a.rejected(); fit != nil {
		fit.noteObjects(a.instances, a.verdicts)
		return Outcome{Fit: fit}, nil, nil
	}
	only, fit := a.narrowed()
	if fit != nil {
		fit.noteObjects(a.instances, a.verdicts)
		return Outcome{Fit: fit}, nil, nil
	}
	if only != nil {
		return a.chooseAmong(ctx, only)
	}
	a.memory.keep(a.instances, v)
	if bad, err := a.refresh(ctx, rows, all); err != nil {
		return out, bad, err
	}
	return a.choose(ctx)
}

// preFilter gives the pod to those instances whose answer is not known.
func (a *attempt) preFilter(ctx context.Context, pod *Pod, idle bool) (bad *Instance, err error) {
	v := a.verdicts
	known := v.reads&(schedule.ReadNodes|schedule.ReadAgain) == 0
	for i, in := range a.instances {
		if known && v.pre[i].gen == in.gen && (in.loaded == v || idle) {
			continue
		}
		b, err := pod.record(in.plan)
		if err != nil {
			return in, err
		}
		since := in.reads.Now()
		answer, err := in.preFilter(ctx, b)
		if err != nil {
			return in, err
		}
		counts := v.pre[i].counts
		if !equalCounts(v.pre[i].answer.Counts, answer.Counts) {
			counts = make([]countState, len(answer.Counts))
		}
		looked := v.pre[i].objects // on which remembered rows rest; they have not changed, see voidObjects
		v.pre[i] = preState{gen: in.gen, answer: answer, counts: counts, objects: looked, since: since}
		v.read(i, in.reads.Take())
		in.loaded = v
		v.reads |= answer.Reads
	}
	return nil, nil
}

// refresh asks about the rows that changed and writes the answers into the
// verdicts.
func (a *attempt) refresh(ctx context.Context, rows []uint32, all bool) (bad *Instance, err error) {
	v := a.verdicts
	n := a.table.Rows()
	pos := a.table.Position()
	if !all && len(rows) == 0 {
		v.resize(n)
		v.pos = pos
		v.keepCounts()
		return nil, nil
	}
	v.filled = false // until all answers are in
	v.resize(n)
	if all {
		bad, err = a.refreshAll(ctx, n)
	} else {
		bad, err = a.refreshRows(ctx, rows)
	}
	if err != nil {
		return bad, err
	}
	v.filled, v.pos, v.cluster = true, pos, a.table.Cluster()
	v.keepCounts()
	return nil, nil
}

func (a *attempt) refreshAll(ctx context.Context, n int) (bad *Instance, err error) {
	for start := 0; start < n; start += chunkRows {
		if bad, err = a.ask(ctx, []schedule.Run{{Start: start, Count: min(chunkRows, n-start)}}); err != nil {
			return bad, err
		}
	}
	v := a.verdicts
	for i := range v.raw {
		v.raw[i].max, v.raw[i].top = 1, 0 // updateMaxima looks for the maximum
	}
	v.updateMaxima(true)
	return nil, nil
}

func (a *attempt) refreshRows(ctx context.Context, rows []uint32) (bad *Instance, err error) {
	v := a.verdicts
	for _, row := range rows {
		v.remove(int(row))
	}
	slices.Sort(rows)
	a.memory.runs = appendRuns(a.memory.runs[:0], rows)
	if bad, err = a.ask(ctx, a.memory.runs); err != nil {
		return bad, err
	}
	rose := false
	for _, row := range rows {
		if v.row[row] != 0 {
			v.rank.set(int(row), absent)
		} else if v.add(int(row)) {
			rose = true
		}
	}
	v.updateMaxima(rose)
	return nil, nil
}

// ask puts runs of rows to every instance and writes the answers of node-local
// members into the verdicts. Rows that one instance rejects are not asked of
// the next.
func (a *attempt) ask(ctx context.Context, runs []schedule.Run) (bad *Instance, err error) {
	for len(runs) > 0 {
		part, rest := takeRows(runs, chunkRows)
		runs = rest
		for i, in := range a.instances {
			if err = a.askInstance(ctx, in, i, part); err != nil {
				return in, err
			}
		}
	}
	return nil, nil
}

func (a *attempt) askInstance(ctx context.Context, in *Instance, i int, runs []schedule.Run) error {
	v := a.verdicts
	q := schedule.CycleRequest{Scope: schedule.NodeLocal, Masked: i > 0, Runs: runs}
	if q.Masked {
		out, err := in.bind()
		if err != nil {
			return err
		}
		eachRow(runs, func(pos, row int) { setBit(out.feasible, pos, v.row[row] == 0) })
	}
	answer, out, err := in.cycle(ctx, &q)
	if err != nil {
		return err
	}
	v.reads |= answer.Reads
	v.read(i, in.reads.Take())
	if err := v.addReasons(i, answer.Reasons); err != nil {
		return err
	}
	a.readFilters(i, runs, out)
	var local []int64
	if k := v.localOf(i); k >= 0 {
		local = v.local[k].values
	}
	if err := a.readScores(in, runs, out.scores[0], local, in.most); err != nil {
		return err
	}
	for k := range v.raw {
		if r := &v.raw[k]; r.instance == i {
			if err := a.readScores(in, runs, out.scores[r.column], r.values, schedule.MaxRawScore); err != nil {
				return err
			}
		}
	}
	return nil
}

// readFilters writes which rows an instance refuses, and why.
func (a *attempt) readFilters(i int, runs []schedule.Run, out *resultColumns) {
	v := a.verdicts
	eachRow(runs, func(pos, row int) {
		switch {
		case i > 0 && v.row[row] != 0: // it was not asked
		case !out.feasible.Has(pos):
			id := v.reasonID(i, out.reasons[pos])
			if id == 0 {
				id = v.unnamedReason(i)
			}
			v.setReason(row, id)
		case v.row[row] != 0:
			v.setReason(row, 0)
		}
	})
}

// readScores copies a column of scores, which follow each other as runs do, to
// the rows that fit; to may be nil.
func (a *attempt) readScores(in *Instance, runs []schedule.Run, scores, to []int64, most int64) error {
	for _, run := range runs {
		fits := a.verdicts.row[run.Start : run.Start+run.Count]
		for k, score := range scores[:len(fits)] {
			if fits[k] != 0 {
				continue
			}
			if score < 0 || score > most {
				return in.checkScore(score, most)
			}
			if to != nil {
				to[run.Start+k] = score
			}
		}
		scores = scores[len(fits):]
	}
	return nil
}

// appendRuns joins sorted rows that follow each other.
func appendRuns(runs []schedule.Run, rows []uint32) []schedule.Run {
	for _, r := range rows {
		if k := len(runs); k > 0 && runs[k-1].Start+runs[k-1].Count == int(r) && runs[k-1].Count < chunkRows {
			runs[k-1].Count++
			continue
		}
		runs = append(runs, schedule.Run{Start: int(r), Count: 1})
	}
	return runs
}

// takeRows cuts runs off that have limit rows together.
func takeRows(runs []schedule.Run, limit int) (part, rest []schedule.Run) {
	total := 0
	for i, r := range runs {
		if total += r.Count; total > limit && i > 0 {
			return runs[:i], runs[i:]
		}
	}
	return runs, nil
}

// eachRow calls fn with the position in the answer and the row.
func eachRow(runs []schedule.Run, fn func(pos, row int)) {
	pos := 0
	for _, r := range runs {
		for row := r.Start; row < r.Start+r.Count; row++ {
			fn(pos, row)
			pos++
		}
	}
}

func setBit(m vector.Mask, i int, on bool) {
	if on {
		m.Set(i)
	} else {
		m.Unset(i)
	}
}
