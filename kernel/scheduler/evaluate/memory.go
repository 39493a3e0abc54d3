package evaluate

import (
	"slices"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// memory keeps the verdicts of pods' signatures. A signature is what plugins
// declare of a pod: pods of one signature are alike to them.
// RATIONALE.md: "Why are verdicts remembered by the pod's signature?"
type memory struct {
	table       *columns.Table
	bySignature map[string]*verdicts
	tick        uint64
	signature   []byte    // that find was asked for last
	known       bool      // it was remembered then, and still is
	spare       *verdicts // no longer used; its memory serves the next one

	scoring *scoring // of all instances but those in without
	without []int

	rows []uint32       // of changed
	seen vector.Mask    // of changed
	runs []schedule.Run // of rows
}

func newMemory(t *columns.Table) memory {
	return memory{table: t, bySignature: map[string]*verdicts{}}
}

// maxVerdictRows bounds the memory of remembered verdicts: each row of each
// signature takes about 40 bytes. maxSignatures bounds their number.
const (
	maxVerdictRows = 2 << 20
	maxSignatures  = 512
)

// find returns what is remembered for pods like this one, or empty verdicts
// that keep remembers. without are the instances that are left out. An error is
// a pod that cannot be written as bad wants it.
func (m *memory) find(instances []*Instance, without []int, pod *Pod) (v *verdicts, bad *Instance, err error) {
	m.tick++
	m.signature = append(m.signature[:0], byte(len(without)))
	for _, i := range without { // what others said without them is another story
		m.signature = append(m.signature, byte(i), byte(i>>8))
	}
	for _, in := range instances {
		b, err := pod.record(in.plan)
		if err != nil {
			return nil, in, err
		}
		m.signature = append(m.signature, b...) // a record tells where it ends
	}
	v = m.bySignature[string(m.signature)]
	if m.known = v != nil && len(v.pre) == len(instances); !m.known {
		v = newVerdicts(instances, m.spare)
		v.by = m.scoringOf(instances, without, v)
		m.spare = nil
	}
	v.used = m.tick
	return v, nil, nil
}

// scoringOf lists who scores, once for as long as the instances stay.
func (m *memory) scoringOf(instances []*Instance, without []int, v *verdicts) *scoring {
	if m.scoring == nil || !slices.Equal(m.without, without) {
		m.scoring, m.without = newScoring(instances, v), append(m.without[:0], without...)
	}
	return m.scoring
}

// keep remembers what find returned last.
func (m *memory) keep(instances []*Instance, v *verdicts) {
	if !m.known {
		m.evict(instances)
		m.bySignature[string(m.signature)], m.known = v, true
	}
}

// evict makes room for one more signature.
func (m *memory) evict(instances []*Instance) {
	limit := max(4, min(maxSignatures, maxVerdictRows/max(m.table.Rows(), 1)))
	for len(m.bySignature) >= limit {
		var oldest string
		tick := ^uint64(0)
		for k, v := range m.bySignature {
			if v.used < tick {
				oldest, tick = k, v.used
			}
		}
		m.spare = m.bySignature[oldest]
		for _, in := range instances {
			if in.loaded == m.spare {
				in.loaded = nil
			}
		}
		delete(m.bySignature, oldest)
	}
}

func (m *memory) forget() {
	m.known, m.scoring = false, nil
	for _, v := range m.bySignature {
		m.spare = v
		break
	}
	clear(m.bySignature)
}

// changed lists the rows that must be asked about again; all when that is
// simpler, or nothing is known yet.
func (m *memory) changed(v *verdicts) (rows []uint32, all bool) {
	n := m.table.Rows()
	if !v.filled {
		return nil, true
	}
	log, ok := m.table.Since(v.pos)
	if !ok || len(log) > n {
		return nil, true
	}
	if len(m.seen)*64 < n {
		m.seen = vector.NewMask(n + n/2)
	}
	m.rows = m.rows[:0]
	for _, row := range log {
		m.note(int(row), n)
	}
	if v.hasCounts() {
		v.changedCounts(func(row int) { m.note(row, n) })
	}
	for _, row := range m.rows {
		m.seen.Unset(int(row))
	}
	return m.rows, len(m.rows) > n/4+8
}

// note adds one of n rows to those that changed, once.
func (m *memory) note(row, n int) {
	if row < n && !m.seen.Has(row) {
		m.seen.Set(row)
		m.rows = append(m.rows, uint32(row))
	}
}
