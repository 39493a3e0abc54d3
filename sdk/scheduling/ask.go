package scheduling

import (
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// asks are the columns that a plugin looked at (RATIONALE.md, "Why does a plugin
// get only the columns that it looked at?"). The kernel gives a plugin no
// column that it did not ask for: one that is looked at for the first time is
// empty, what the plugin says then is thrown away, and it is asked again when
// the column is there.
type asks struct {
	asked   map[columns.Ref]bool
	pending []columns.Ref
	refused *columns.Ref // a column that was asked for and did not come
	broken  error        // in what came

	zeros64 []int64
	zeros32 []uint32
}

// maxAsks bounds the columns of one plugin; the kernel does, too.
const maxAsks = columns.MaxWanted

// ask notes that the plugin looks at a column that it does not have. A column
// with a key may be asked for and not be there: no node has that label, or so
// few that it is among the rare ones.
func (s *Snapshot) ask(id columns.ID, key string) {
	a := &s.asks
	r := columns.Ref{ID: id, Key: key}
	if a.asked[r] {
		if key == "" && len(a.pending) == 0 {
			r.Name = nameOf(id)
			a.refused = &r
		}
		return
	}
	if a.asked == nil {
		a.asked = map[columns.Ref]bool{}
	}
	if len(a.asked) >= maxAsks { // what is said without the column is no answer
		r.Name = nameOf(id)
		a.refused = &r
		return
	}
	a.asked[r] = true
	r.Name = nameOf(id)
	a.pending = append(a.pending, r)
}

// know notes a column that the plugin declared.
func (a *asks) know(id columns.ID) {
	if a.asked == nil {
		a.asked = map[columns.Ref]bool{}
	}
	a.asked[columns.Ref{ID: id}] = true
}

func nameOf(id columns.ID) string {
	if d, ok := columns.Lookup(id); ok {
		return d.Name
	}
	return "unknown"
}

// take returns what was asked for since the last call.
func (a *asks) take() []columns.Ref {
	list := a.pending
	a.pending = nil
	return list
}

// err tells of a column that the kernel did not give.
func (a *asks) err() error {
	if err := a.broken; err != nil {
		a.broken = nil
		return err
	}
	if a.refused == nil {
		return nil
	}
	r := *a.refused
	a.refused = nil
	return wire.Errorf(wire.KindProtocol, "the kernel gave no column %s", r)
}

// zeroInt64s stand for a column that the plugin does not have yet.
func (a *asks) zeroInt64s(n int) []int64 {
	if len(a.zeros64) < n {
		a.zeros64 = make([]int64, n)
	}
	return a.zeros64[:n:n]
}

func (a *asks) zeroUint32s(n int) []uint32 {
	if len(a.zeros32) < n {
		a.zeros32 = make([]uint32, n)
	}
	return a.zeros32[:n:n]
}
