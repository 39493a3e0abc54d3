package evaluate

import (
	"context"
	"slices"

	"github.com/pintle-io/pintle/kernel/scheduler/index"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Indexes finds counts of pods. An index.Set is one.
type Indexes interface {
	Get(index.Spec) (*index.Index, error)
}

// countState is an index that verdicts depend on, as it was when they were
// given.
type countState struct {
	index   *index.Index
	pos     uint64
	summary index.Summary
}

// maxCounts bounds what the plugins of one instance ask for about one pod.
const maxCounts = 64

// equalCounts tells whether two answers ask for the same counts.
func equalCounts(a, b []schedule.PodCounts) bool {
	return slices.EqualFunc(a, b, func(x, y schedule.PodCounts) bool {
		return x.TopologyKey == y.TopologyKey && x.Selector == y.Selector && x.SkipTerminating == y.SkipTerminating && slices.Equal(x.Namespaces, y.Namespaces)
	})
}

// findCounts brings the indexes up to date that the verdicts depend on. When
// one of them is another, or its summary changed and was looked at, the verdicts
// are void.
func (a *attempt) findCounts() (bad *Instance, err error) {
	v := a.verdicts
	for i, in := range a.instances {
		p := &v.pre[i]
		for k := range p.answer.Counts {
			c := &p.answer.Counts[k]
			x, err := a.indexes.Get(index.Spec{TopologyKey: c.TopologyKey, Namespaces: c.Namespaces, Selector: c.Selector, SkipTerminating: c.SkipTerminating})
			if err != nil {
				return in, wrongf("%v", err)
			}
			s := &p.counts[k]
			if s.index != x || v.reads&schedule.ReadDomains != 0 && s.summary != x.Summary() {
				v.filled = false
			}
			if s.index != x {
				*s = countState{index: x}
			}
		}
	}
	return nil, nil
}

// hasCounts tells whether the verdicts depend on counts.
func (v *verdicts) hasCounts() bool {
	for i := range v.pre {
		if len(v.pre[i].counts) > 0 {
			return true
		}
	}
	return false
}

// changedCounts calls fn for the rows for which a count changed that the
// verdicts depend on.
func (v *verdicts) changedCounts(fn func(row int)) {
	for i := range v.pre {
		for _, s := range v.pre[i].counts {
			if s.index != nil {
				s.index.Changed(s.pos, fn)
			}
		}
	}
}

// keepCounts notes that the verdicts are those of the counts as they are.
func (v *verdicts) keepCounts() {
	for i := range v.pre {
		for k := range v.pre[i].counts {
			s := &v.pre[i].counts[k]
			s.pos, s.summary = s.index.Position(), s.index.Summary()
		}
	}
}

// giveCounts copies into the guests' columns what the pod's plugins asked for.
// again asks for another attempt: an instance gets more columns for that.
func (a *attempt) giveCounts(ctx context.Context) (again bool) {
	for i, in := range a.instances {
		if in.giveCounts(a.verdicts.pre[i].counts) {
			again = true
		}
	}
	return again
}

// slot is a column of an instance that holds an index's values.
type slot struct {
	index *index.Index
	pos   uint64 // of what was copied
	used  uint64
}

// giveCounts copies the values of indexes into slots. It answers true when there
// were too few: there are enough after the next sync.
func (in *Instance) giveCounts(list []countState) (resized bool) {
	in.counts = in.counts[:0]
	if len(list) == 0 {
		return false
	}
	if len(list) > len(in.slots) {
		for len(in.slots) < len(list) {
			in.slots = make([]slot, max(4, 2*len(in.slots)))
		}
		in.mirror.SetExtra(in.extraColumns())
		return true
	}
	in.tick++
	layout, region := in.mirror.Layout(), in.guest.Region()
	for _, c := range list {
		k := in.slotFor(c.index)
		s := &in.slots[k]
		if s.index != c.index {
			*s = slot{index: c.index}
		}
		s.used = in.tick
		if col := layout.Int64s(region, columns.DomainPods, uint32(k+1)); col != nil {
			c.index.Copy(col, s.pos)
		}
		s.pos = c.index.Position()
		sum := c.index.Summary()
		in.counts = append(in.counts, schedule.CountsAt{Slot: uint32(k + 1), Domains: uint32(sum.Domains), Min: sum.Min, Max: sum.Max})
	}
	return false
}

// slotFor is the slot that has an index, or the one that was used least
// recently.
func (in *Instance) slotFor(x *index.Index) int {
	oldest := 0
	for k := range in.slots {
		if in.slots[k].index == x {
			return k
		}
		if in.slots[k].used < in.slots[oldest].used {
			oldest = k
		}
	}
	return oldest
}

// extraColumns are the columns for answers and for counts.
func (in *Instance) extraColumns() []columns.Column {
	cols := in.resultColumns()
	for k := range in.slots {
		cols = append(cols, columns.Column{ID: columns.DomainPods, Type: columns.Int64, Key: uint32(k + 1)})
	}
	return cols
}
