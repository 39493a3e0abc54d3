package scheduler

import (
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// shape remembers the verdicts on all rows for pods that are alike: which
// nodes fit, why the others do not, and the scores. Only rows that changed
// are asked about again.
type shape struct {
	used uint64 // tick of the last use

	pos     uint64 // of the table's log: rows that changed later are stale
	filled  bool
	cluster uint64 // of the table, when verdicts depend on it
	reads   sdk.Reads
	pre     []preState // by unit

	reasons []reason // id 1 is reasons[0]
	counts  []int    // rows by reason id
	row     []uint32 // reason id by row, 0 fits
	local   []int64  // sum of unscaled scores by row
	raw     []rawScores
	rank    ranking
}

// preState is what the PreFilters of one unit said, and what it was based on.
type preState struct {
	gen    uint64 // of the unit's tables
	answer sdk.PreFilterAnswer
	ids    []uint32 // unit's reason id → shape's
}

// reason is why a node does not fit.
type reason struct {
	unit, member int
	unresolvable bool
	texts        []string
}

// rawScores are the scores of one plugin before scaling.
type rawScores struct {
	unit    int
	column  uint32
	member  int
	weight  int64
	scaling sdk.Scaling
	custom  bool // normalized by the plugin
	values  []int64
	max     int64 // of the rows that fit
	top     int   // rows that have it
}

// newShape prepares an empty shape, in the memory of an old one if there is
// any.
func newShape(units []*unit, old *shape) *shape {
	sh := &shape{pre: make([]preState, len(units)), counts: []int{0}}
	var raw []rawScores
	if old != nil {
		sh.row, sh.local, sh.rank, raw = old.row[:0], old.local[:0], old.rank, old.raw
		sh.rank.clear()
	}
	for u, x := range units {
		for i, m := range x.members {
			if m.Column > 0 && x.uses[i].Weight != 0 && m.Scope == sdk.NodeLocal {
				var values []int64
				if k := len(sh.raw); k < len(raw) {
					values = raw[k].values[:0]
				}
				sh.raw = append(sh.raw, rawScores{values: values, unit: u, column: m.Column, member: i, weight: x.uses[i].Weight, scaling: m.Scaling, custom: m.Normalizes})
			}
		}
	}
	return sh
}

// resize makes room for n rows, as the table has them now.
func (sh *shape) resize(n int) {
	for row := n; row < len(sh.row); row++ {
		sh.setReason(row, 0)
		sh.counts[0]--
		sh.leave(row)
	}
	added := n - len(sh.row)
	sh.row = fit(sh.row, n)
	sh.local = fit(sh.local, n)
	for i := range sh.raw {
		sh.raw[i].values = fit(sh.raw[i].values, n)
	}
	sh.rank.resize(n)
	if added > 0 {
		sh.counts[0] += added
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

// leave takes a row out of the maxima.
func (sh *shape) leave(row int) {
	for i := range sh.raw {
		r := &sh.raw[i]
		if sh.rank.scores[row] != absent && r.values[row] == r.max {
			r.top--
		}
		r.values[row] = 0
	}
	sh.rank.set(row, absent)
}

func (sh *shape) setReason(row int, id uint32) {
	sh.counts[sh.row[row]]--
	sh.row[row] = id
	sh.counts[id]++
}

// reasonID maps a unit's reason id to the shape's.
func (sh *shape) reasonID(u int, id uint32) uint32 {
	ids := sh.pre[u].ids
	if id == 0 || int(id) > len(ids) {
		return 0
	}
	return ids[id-1]
}

// maxReasons bounds the reasons that are kept for one shape; each new one is
// compared with all.
const maxReasons = 4096

// learn adds reasons that a unit gave for the first time since its PreFilter.
func (sh *shape) learn(u int, list []sdk.ReasonInfo) error {
	if len(sh.reasons)+len(list) > maxReasons {
		return wrongf("nodes are refused for more than %d reasons", maxReasons)
	}
	for _, x := range list {
		r := reason{unit: u, member: x.Member, unresolvable: x.Unresolvable, texts: x.Reasons}
		id := 0
		for i := range sh.reasons {
			if sh.reasons[i].equal(&r) {
				id = i + 1
			}
		}
		if id == 0 {
			sh.reasons = append(sh.reasons, r)
			sh.counts = append(sh.counts, 0)
			id = len(sh.reasons)
		}
		sh.pre[u].ids = append(sh.pre[u].ids, uint32(id))
	}
	return nil
}

func (r *reason) equal(o *reason) bool {
	if r.unit != o.unit || r.member != o.member || r.unresolvable != o.unresolvable || len(r.texts) != len(o.texts) {
		return false
	}
	for i := range r.texts {
		if r.texts[i] != o.texts[i] {
			return false
		}
	}
	return true
}

// enter puts a row that fits into the race with its raw scores set. It tells
// whether a maximum rose, so that other rows' scaled scores changed.
func (sh *shape) enter(row int) (rose bool) {
	for i := range sh.raw {
		r := &sh.raw[i]
		switch v := r.values[row]; {
		case v > r.max:
			r.max, r.top, rose = v, 1, true
		case v == r.max:
			r.top++
		}
	}
	sh.rank.set(row, sh.total(row))
	return rose
}

// settle brings maxima up to date after rows left, and all totals when one of
// them changed.
func (sh *shape) settle(changed bool) {
	for i := range sh.raw {
		r := &sh.raw[i]
		if r.top > 0 || r.max == 0 {
			continue
		}
		old := r.max
		r.max, r.top = 0, 0
		for row, v := range r.values {
			if sh.row[row] == 0 && v > r.max {
				r.max, r.top = v, 1
			} else if sh.row[row] == 0 && v == r.max {
				r.top++
			}
		}
		changed = changed || r.max != old
	}
	if changed {
		sh.retotal()
	}
}

// retotal computes every row's total anew.
func (sh *shape) retotal() {
	for row, id := range sh.row {
		if id == 0 {
			sh.rank.scores[row] = sh.total(row)
		} else {
			sh.rank.scores[row] = absent
		}
	}
	sh.rank.rebuild()
}

// total is the weighted sum of a row's scores; those that a plugin normalizes
// by itself are not in it.
func (sh *shape) total(row int) int64 {
	t := sh.local[row]
	for i := range sh.raw {
		r := &sh.raw[i]
		if !r.custom {
			t += r.weight * r.scaling.Apply(r.values[row], r.max)
		}
	}
	return t
}

// feasible writes the rows that fit into a mask of the table's size.
func (sh *shape) feasible(m columns.Mask) {
	m.Zero()
	for row, id := range sh.row {
		if id == 0 {
			m.Set(row)
		}
	}
}
