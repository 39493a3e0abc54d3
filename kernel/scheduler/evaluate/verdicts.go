package evaluate

import (
	"slices"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// verdicts is what is remembered for the pods of one signature about all rows:
// which nodes fit, why the others do not, and the scores. Only rows that
// changed are asked about again.
type verdicts struct {
	used uint64 // tick of the last use

	pos     uint64 // of the table's log: rows that changed later are stale
	filled  bool
	cluster uint64 // of the table, when verdicts depend on it
	reads   schedule.Reads
	pre     []preState // by instance

	reasons []reason // id 1 is reasons[0]
	counts  []int    // rows by reason id
	row     []uint32 // reason id by row, 0 fits
	local   []localScores
	raw     []rawScores
	rank    ranking

	by *scoring
}

// preState is what the PreFilters of one instance said, and what it was based
// on.
type preState struct {
	gen    uint64 // of the instance's tables
	answer schedule.PreFilterAnswer
	counts []countState // by what answer asks for
	// objects are what the instance looked at, and since the number of the last change
	// before it did.
	objects []objects.Ref
	since   uint64
	ids     []uint32 // the instance's reason id → that of the verdicts
}

// localScores are the sums of one instance's scores that are not scaled.
type localScores struct {
	instance int
	values   []int64 // by row; of those that fit
}

// rawScores are the scores of one plugin before scaling.
type rawScores struct {
	instance int
	column   uint32
	member   int
	weight   int64
	scaling  schedule.Scaling
	custom   bool // normalized by the plugin
	values   []int64
	max      int64 // of the rows that fit
	top      int   // rows that have it
}

// newVerdicts prepares empty verdicts, in the memory of old ones if there are
// any.
func newVerdicts(instances []*Instance, old *verdicts) *verdicts {
	v := &verdicts{pre: make([]preState, len(instances)), counts: []int{0}}
	var local []localScores
	var raw []rawScores
	if old != nil {
		v.row, v.rank, local, raw = old.row[:0], old.rank, old.local, old.raw
		v.rank.clear()
	}
	for k, in := range instances {
		if in.most > 0 {
			var values []int64
			if n := len(v.local); n < len(local) {
				values = local[n].values[:0]
			}
			v.local = append(v.local, localScores{instance: k, values: values})
		}
		for i, m := range in.members {
			if m.Column > 0 && in.uses[i].Weight != 0 && m.Scope == schedule.NodeLocal {
				var values []int64
				if n := len(v.raw); n < len(raw) {
					values = raw[n].values[:0]
				}
				v.raw = append(v.raw, rawScores{values: values, instance: k, column: m.Column, member: i, weight: in.uses[i].Weight, scaling: m.Scaling, custom: m.Normalizes})
			}
		}
	}
	return v
}

// localOf is the index of an instance's sums in local, or -1.
func (v *verdicts) localOf(instance int) int {
	return slices.IndexFunc(v.local, func(l localScores) bool { return l.instance == instance })
}

// resize makes room for n rows, as the table has them now.
func (v *verdicts) resize(n int) {
	if n == len(v.row) {
		return
	}
	for row := n; row < len(v.row); row++ {
		v.setReason(row, 0)
		v.counts[0]--
		v.remove(row)
	}
	added := n - len(v.row)
	v.row = fit(v.row, n)
	for i := range v.local {
		v.local[i].values = fit(v.local[i].values, n)
	}
	for i := range v.raw {
		v.raw[i].values = fit(v.raw[i].values, n)
	}
	v.rank.resize(n)
	if added > 0 {
		v.counts[0] += added
	}
}

// fit makes a slice n long; what is new is zero.
func fit[T any](s []T, n int) []T {
	if n <= cap(s) {
		old := len(s)
		s = s[:n]
		if n > old {
			clear(s[old:])
		}
		return s
	}
	grown := make([]T, n, n+n/8)
	copy(grown, s)
	return grown
}

// remove takes a row out of the maxima. It stays in the race, mostly with the score
// that it has: until it is known whether it fits, nobody picks.
func (v *verdicts) remove(row int) {
	for i := range v.raw {
		r := &v.raw[i]
		if v.rank.scores[row] != absent && r.values[row] == r.max {
			r.top--
		}
		r.values[row] = 0
	}
}

// add puts a row that fits into the race with its raw scores set. It tells
// whether a maximum rose, so that other rows' scaled scores changed.
func (v *verdicts) add(row int) (rose bool) {
	for i := range v.raw {
		r := &v.raw[i]
		switch score := r.values[row]; {
		case score > r.max:
			r.max, r.top, rose = score, 1, true
		case score == r.max:
			r.top++
		}
	}
	v.rank.set(row, v.total(row))
	return rose
}

// updateMaxima brings maxima up to date after rows left, and all totals when one of
// them changed.
func (v *verdicts) updateMaxima(changed bool) {
	for i := range v.raw {
		r := &v.raw[i]
		if r.top > 0 || r.max == 0 {
			continue
		}
		old := r.max
		r.max, r.top = 0, 0
		for row, score := range r.values {
			if v.row[row] == 0 && score > r.max {
				r.max, r.top = score, 1
			} else if v.row[row] == 0 && score == r.max {
				r.top++
			}
		}
		changed = changed || r.max != old
	}
	if changed {
		v.updateTotals()
	}
}

// updateTotals computes every row's total anew, one scorer after the other.
func (v *verdicts) updateTotals() {
	scores := v.rank.scores
	if len(v.local) == 1 {
		copy(scores, v.local[0].values)
	} else {
		clear(scores)
		for i := range v.local {
			for row, score := range v.local[i].values {
				scores[row] += score
			}
		}
	}
	for i := range v.raw {
		if !v.raw[i].custom {
			v.raw[i].addShares(scores)
		}
	}
	for row, id := range v.row {
		if id != 0 {
			scores[row] = absent
		}
	}
	v.rank.rebuild()
}

// addShares adds what the scores add to the total of each row. Neighbours often
// have the same score, which is scaled once.
func (r *rawScores) addShares(totals []int64) {
	last, share := int64(0), r.weight*r.scaling.Apply(0, r.max)
	for row, score := range r.values {
		if score != last {
			last, share = score, r.weight*r.scaling.Apply(score, r.max)
		}
		totals[row] += share
	}
}

// total is the weighted sum of a row's scores; those that a plugin normalizes
// by itself are not in it.
func (v *verdicts) total(row int) int64 {
	t := int64(0)
	for i := range v.local {
		t += v.local[i].values[row]
	}
	for i := range v.raw {
		if r := &v.raw[i]; !r.custom {
			t += r.share(row)
		}
	}
	return t
}

// share is what the scores add to the total of a row.
func (r *rawScores) share(row int) int64 {
	return r.weight * r.scaling.Apply(r.values[row], r.max)
}

// feasible writes the rows that fit into a mask of the table's size.
func (v *verdicts) feasible(m vector.Mask) {
	m.Zero()
	for row, id := range v.row {
		if id == 0 {
			m.Set(row)
		}
	}
}

// needsAllRows tells whether a choice depends on more than each row by itself:
// scores that a plugin normalizes, or members of cluster scope.
func (v *verdicts) needsAllRows(instances []*Instance) bool {
	for i := range v.raw {
		if v.raw[i].custom {
			return true
		}
	}
	for _, in := range instances {
		if in.cluster {
			return true
		}
	}
	return false
}

// rankOnly lets only some rows into the race and tells how many of them fit.
func (v *verdicts) rankOnly(rows []uint32) (feasible int) {
	for row := range v.row {
		v.rank.scores[row] = absent
	}
	for i := range v.raw {
		r := &v.raw[i]
		r.max = 0
		for _, row := range rows {
			if v.row[row] == 0 {
				r.max = max(r.max, r.values[row])
			}
		}
	}
	for _, row := range rows {
		if v.row[row] == 0 {
			v.rank.scores[row] = v.total(int(row))
			feasible++
		}
	}
	v.rank.rebuild()
	v.counts[0] = feasible
	return feasible
}

// clear forgets the answers, but not the pod that the guests hold.
func (v *verdicts) clear() {
	v.row = v.row[:0]
	for i := range v.local {
		v.local[i].values = nil
	}
	v.rank = ranking{}
	clear(v.counts)
	for i := range v.raw {
		v.raw[i].values, v.raw[i].max, v.raw[i].top = nil, 0, 0
	}
	v.filled = false
}
