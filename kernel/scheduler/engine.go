package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// engine decides where pods go: it asks the plugins about rows and remembers
// what they said by pod shape. It is used by one goroutine.
type engine struct {
	table *columns.Table
	units []*unit
	rand  *rand.Rand
	log   *slog.Logger
	m     *metrics

	// reads are the parts of pods that tell shapes apart: what some plugin was
	// seen to look at.
	reads  sdk.Reads
	shapes map[string]*shape
	judged *shape // of the last attempt
	tick   uint64
	spare  *shape // no longer used; its memory serves the next one

	// without are the indices of units that are left out for the pod at hand.
	without []int
	keyBuf  []byte
	rowsBuf []uint32
	seen    columns.Mask
	totals  ranking
}

// outcome of a decision.
type outcome struct {
	node     string
	row      int
	score    int64
	feasible int
	fit      *fitError // set when no node was found
}

// maxShapeRows bounds the memory of remembered shapes: each row of each takes
// about 40 bytes. maxShapes bounds their number.
const (
	maxShapeRows = 2 << 20
	maxShapes    = 512
)

// decide finds the node for a pod. An error is a fault of a plugin whose
// policy is Fail: it is this pod's alone, the next one is asked about on a new
// instance. ctx carries the pod's namespace (plugin.ForNamespace).
func (e *engine) decide(ctx context.Context, rec *sdk.PodRecord, now time.Time) (outcome, error) {
	if e.table.Rows() == 0 {
		return outcome{fit: &fitError{empty: true}}, nil
	}
	e.without = e.without[:0]
	for range maxAttempts + len(e.units) {
		units, err := e.ready(ctx, now)
		if err != nil {
			return outcome{}, err
		}
		out, again, bad, err := e.attempt(ctx, units, rec)
		if err == nil && !again {
			return out, nil
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return outcome{}, ctx.Err()
		}
		e.failed(ctx, bad, err)
		if bad.plugin.FailurePolicy != Ignore {
			return outcome{}, fmt.Errorf("plugin %s: %w", bad.name, err)
		}
		e.leaveOut(bad)
	}
	return outcome{}, errors.New("plugins keep changing what they look at of the pod")
}

// maxAttempts bounds how often a decision begins anew because plugins looked
// at more of the pod than before.
const maxAttempts = 8

// failed takes note of a unit that gave no answer.
func (e *engine) failed(ctx context.Context, u *unit, err error) {
	if errors.Is(err, plugin.ErrQuarantined) {
		return // it was not asked
	}
	e.log.Warn("scheduling plugin failed", "plugin", u.name, "error", err, "policy", u.plugin.FailurePolicy)
	e.m.faults.WithLabelValues(u.name).Inc()
	if isFault(err) {
		if _, ours := errors.AsType[wrongAnswer](err); ours && u.inst != nil {
			plugin.Blame(ctx, u.inst, sdk.OpCycle, err)
		}
		u.discard()
		e.forget()
	}
}

// leaveOut decides about the pod at hand without a unit.
func (e *engine) leaveOut(u *unit) {
	if i := slices.Index(e.units, u); !slices.Contains(e.without, i) {
		e.without = append(e.without, i)
	}
}

// ready returns the units to ask about the pod at hand, opening those that have
// no instance.
func (e *engine) ready(ctx context.Context, now time.Time) ([]*unit, error) {
	for i, u := range e.units {
		if u.inst != nil || slices.Contains(e.without, i) {
			continue
		}
		if err := u.reopen(ctx, now); err != nil {
			if u.plugin.FailurePolicy != Ignore {
				return nil, fmt.Errorf("plugin %s: %w", u.name, err)
			}
			e.leaveOut(u)
			continue
		}
		e.forget()
	}
	if len(e.without) == 0 {
		return e.units, nil
	}
	slices.Sort(e.without)
	list := make([]*unit, 0, len(e.units))
	for i, u := range e.units {
		if !slices.Contains(e.without, i) {
			list = append(list, u)
		}
	}
	return list, nil
}

// attempt is one try with the units that work. again asks for another: what
// tells shapes apart became more. bad is the unit that err is about.
func (e *engine) attempt(ctx context.Context, units []*unit, rec *sdk.PodRecord) (out outcome, again bool, bad *unit, err error) {
	sh := e.shape(units, rec)
	e.judged = sh
	for _, u := range units {
		if err := u.sync(ctx, e.table); err != nil {
			return out, false, u, err
		}
	}
	if sh.filled && (sh.reads&sdk.ReadNodes != 0 || sh.reads&sdk.ReadCluster != 0 && sh.cluster != e.table.Cluster()) {
		sh.filled = false
	}
	rows, all := e.stale(sh)
	// Without a question to ask, what the PreFilters said holds as long as
	// their tables do.
	idle := !all && len(rows) == 0 && !e.needsAll(units, sh)
	fresh := sh.reads&(sdk.ReadNodes|sdk.ReadAgain) == 0
	for i, u := range units {
		if fresh && sh.pre[i].gen == u.gen && (u.loaded == sh || idle) {
			continue
		}
		a, err := u.preFilter(ctx, rec.Bytes())
		if err != nil {
			return out, false, u, err
		}
		sh.pre[i] = preState{gen: u.gen, answer: a}
		u.loaded = sh
		if e.grew(sh, a.Reads) {
			return out, true, nil, nil
		}
	}
	if fit := e.rejected(units, sh); fit != nil {
		return outcome{fit: fit}, false, nil, nil
	}
	only, fit := e.narrowed(units, sh)
	if fit != nil {
		return outcome{fit: fit}, false, nil, nil
	}
	if only != nil {
		return e.among(ctx, units, sh, only)
	}
	e.keep(sh)
	if again, bad, err := e.refresh(ctx, units, sh, rows, all); err != nil || again {
		return out, again, bad, err
	}
	return e.choose(ctx, units, sh)
}

// shape finds what is remembered for pods like this one.
func (e *engine) shape(units []*unit, rec *sdk.PodRecord) *shape {
	e.tick++
	e.keyBuf = append(e.keyBuf[:0], byte(len(e.without)))
	for _, i := range e.without { // what others said without them is another story
		e.keyBuf = append(e.keyBuf, byte(i), byte(i>>8))
	}
	e.keyBuf = rec.AppendKey(e.keyBuf, e.reads)
	sh := e.shapes[string(e.keyBuf)]
	if sh == nil || len(sh.pre) != len(units) {
		sh = newShape(units, e.spare)
		e.spare = nil
	}
	sh.used = e.tick
	return sh
}

// keep remembers the shape that shape found or made last.
func (e *engine) keep(sh *shape) {
	if e.shapes[string(e.keyBuf)] != sh {
		e.evict()
		e.shapes[string(e.keyBuf)] = sh
	}
}

// evict makes room for one more shape.
func (e *engine) evict() {
	limit := max(4, min(maxShapes, maxShapeRows/max(e.table.Rows(), 1)))
	for len(e.shapes) >= limit {
		var oldest string
		tick := ^uint64(0)
		for k, sh := range e.shapes {
			if sh.used < tick {
				oldest, tick = k, sh.used
			}
		}
		for _, u := range e.units {
			if u.loaded == e.shapes[oldest] {
				u.loaded = nil
			}
		}
		e.spare = e.shapes[oldest]
		delete(e.shapes, oldest)
	}
}

// forget drops all that is remembered.
func (e *engine) forget() {
	for _, sh := range e.shapes {
		e.spare = sh
		break
	}
	clear(e.shapes)
	for _, u := range e.units {
		u.loaded = nil
	}
}

// grew notes what plugins looked at. It answers true when pods that were taken
// for alike may differ: everything remembered is dropped then.
func (e *engine) grew(sh *shape, reads sdk.Reads) bool {
	const cluster = sdk.ReadCluster | sdk.ReadNodes | sdk.ReadAgain
	sh.reads |= reads & cluster
	more := reads &^ cluster &^ e.reads
	if more == 0 {
		return false
	}
	e.reads |= more
	e.forget()
	return true
}

// stale lists the rows that the shape must ask about; all when it knows none.
func (e *engine) stale(sh *shape) (rows []uint32, all bool) {
	n := e.table.Rows()
	if !sh.filled {
		return nil, true
	}
	changed, ok := e.table.Since(sh.pos)
	if !ok || len(changed) > n {
		return nil, true
	}
	if len(e.seen)*64 < n {
		e.seen = columns.NewMask(n + n/2)
	}
	e.rowsBuf = e.rowsBuf[:0]
	for _, row := range changed {
		if int(row) < n && !e.seen.Has(int(row)) {
			e.seen.Set(int(row))
			e.rowsBuf = append(e.rowsBuf, row)
		}
	}
	for _, row := range e.rowsBuf {
		e.seen.Unset(int(row))
	}
	return e.rowsBuf, len(e.rowsBuf) > n/4+8
}

// refresh asks about the stale rows and writes the answers into the shape.
func (e *engine) refresh(ctx context.Context, units []*unit, sh *shape, rows []uint32, all bool) (again bool, bad *unit, err error) {
	n := e.table.Rows()
	pos := e.table.Position()
	if !all && len(rows) == 0 {
		sh.resize(n)
		sh.pos = pos
		return false, nil, nil
	}
	wasFilled := sh.filled
	sh.filled = false // until all answers are in
	sh.resize(n)
	if all {
		for start := 0; start < n; start += chunkRows {
			again, bad, err = e.ask(ctx, units, sh, []sdk.Run{{Start: start, Count: min(chunkRows, n-start)}})
			if again || err != nil {
				return again, bad, err
			}
		}
		for i := range sh.raw {
			sh.raw[i].max, sh.raw[i].top = 1, 0 // settle looks for the maximum
		}
		sh.settle(true)
	} else if wasFilled {
		for _, row := range rows {
			sh.leave(int(row))
		}
		slices.Sort(rows)
		runs := runsOf(rows)
		if again, bad, err = e.ask(ctx, units, sh, runs); again || err != nil {
			return again, bad, err
		}
		rose := false
		for _, row := range rows {
			if sh.row[row] == 0 && sh.enter(int(row)) {
				rose = true
			}
		}
		sh.settle(rose)
	}
	sh.filled, sh.pos, sh.cluster = true, pos, e.table.Cluster()
	return false, nil, nil
}

// runsOf joins sorted rows that follow each other.
func runsOf(rows []uint32) []sdk.Run {
	var runs []sdk.Run
	for _, r := range rows {
		if k := len(runs); k > 0 && runs[k-1].Start+runs[k-1].Count == int(r) && runs[k-1].Count < chunkRows {
			runs[k-1].Count++
			continue
		}
		runs = append(runs, sdk.Run{Start: int(r), Count: 1})
	}
	return runs
}

// ask puts runs of rows to every unit and writes the answers of node-local
// members into the shape. Rows that one unit rejects are not asked of the
// next.
func (e *engine) ask(ctx context.Context, units []*unit, sh *shape, runs []sdk.Run) (again bool, bad *unit, err error) {
	for len(runs) > 0 {
		part, rest := takeRows(runs, chunkRows)
		runs = rest
		for i, u := range units {
			if bad, err = e.askUnit(ctx, u, i, sh, part, &again); err != nil || again {
				return again, bad, err
			}
		}
	}
	return false, nil, nil
}

func takeRows(runs []sdk.Run, limit int) (part, rest []sdk.Run) {
	total := 0
	for i, r := range runs {
		if total += r.Count; total > limit && i > 0 {
			return runs[:i], runs[i:]
		}
	}
	return runs, nil
}

func (e *engine) askUnit(ctx context.Context, u *unit, i int, sh *shape, runs []sdk.Run, again *bool) (*unit, error) {
	q := sdk.CycleRequest{Scope: sdk.NodeLocal, Masked: i > 0, Runs: runs}
	if q.Masked {
		out, err := u.bind()
		if err != nil {
			return u, err
		}
		eachRow(runs, func(pos, row int) { setBit(out.feasible, pos, sh.row[row] == 0) })
	}
	a, out, err := u.cycle(ctx, &q)
	if err != nil {
		return u, err
	}
	if e.grew(sh, a.Reads) {
		*again = true
		return nil, nil
	}
	if err := sh.learn(i, a.Reasons); err != nil {
		return u, err
	}
	var wrong error
	eachRow(runs, func(pos, row int) {
		if i == 0 {
			sh.local[row] = 0
			sh.setReason(row, 0)
		}
		if sh.row[row] != 0 {
			return
		}
		if !out.feasible.Has(pos) {
			id := sh.reasonID(i, out.reasons[pos])
			if id == 0 {
				id = sh.unnamed(i)
			}
			sh.setReason(row, id)
			return
		}
		v := out.scores[0][pos]
		if v < 0 || v > u.most {
			wrong = u.scored(v, u.most)
			return
		}
		sh.local[row] += v
		for k := range sh.raw {
			if r := &sh.raw[k]; r.unit == i {
				if v = out.scores[r.column][pos]; v < 0 || v > maxRawScore {
					wrong = u.scored(v, maxRawScore)
					return
				}
				r.values[row] = v
			}
		}
	})
	if wrong != nil {
		return u, wrong
	}
	return nil, nil
}

// unnamed is the reason for rows that a unit rejects without a valid one.
func (sh *shape) unnamed(u int) uint32 {
	r := reason{unit: u, member: -1, texts: []string{"node(s) were rejected without a reason"}}
	for i := range sh.reasons {
		if sh.reasons[i].equal(&r) {
			return uint32(i + 1)
		}
	}
	sh.reasons = append(sh.reasons, r)
	sh.counts = append(sh.counts, 0)
	return uint32(len(sh.reasons))
}

func eachRow(runs []sdk.Run, fn func(pos, row int)) {
	pos := 0
	for _, r := range runs {
		for row := r.Start; row < r.Start+r.Count; row++ {
			fn(pos, row)
			pos++
		}
	}
}

func setBit(m columns.Mask, i int, on bool) {
	if on {
		m.Set(i)
	} else {
		m.Unset(i)
	}
}

// replace puts a unit in the place of the one of that name, or takes that one
// out when u is nil. It closes the old one.
func (e *engine) replace(name string, u *unit) error {
	e.forget()
	e.reads = 0
	for i, old := range e.units {
		if old.name != name {
			continue
		}
		if u != nil {
			e.units[i] = u
		} else {
			e.units = slices.Delete(e.units, i, i+1)
		}
		return old.close()
	}
	if u != nil {
		at, _ := slices.BinarySearchFunc(e.units, name, func(x *unit, name string) int { return strings.Compare(x.name, name) })
		e.units = slices.Insert(e.units, at, u)
	}
	return nil
}
