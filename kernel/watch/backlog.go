package watch

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
)

// backlog bounds what the events that wait for their readers, of all watchers
// together, keep in memory: a limit for each would be none for thousands. A
// state that several events keep counts once, since they share it.
type backlog struct {
	limit int64
	bytes atomic.Int64
}

// slotBytes is an event in a queue, and the room to grow beside it.
const slotBytes = 64

// take counts events that begin to wait, and returns what they would keep in
// memory if nobody else waited for them. As in the history, the state before is
// what an event keeps: the state after is current, or before the next one.
func (b *backlog) take(events []Event) (own int64) {
	own = int64(len(events)) * slotBytes
	delta := own
	for i := range events {
		if o := events[i].Prev; o != nil {
			n := int64(o.footprint())
			own += n
			if o.waiting.Add(1) == 1 {
				delta += n
			}
		}
	}
	b.bytes.Add(delta)
	return own
}

// give takes back as many events, of which the states before are given.
func (b *backlog) give(events int, states []*Object) {
	delta := int64(events) * slotBytes
	for _, o := range states {
		if o.waiting.Add(-1) == 0 {
			delta += int64(o.footprint())
		}
	}
	b.bytes.Add(-delta)
}

// lent is what a watcher's reader has been given and may still hold.
type lent struct {
	events int
	own    int64
	states []*Object
}

// lend moves the queue to what the reader holds. Callers hold mu.
func (w *Watcher) lend() {
	w.lent.events += len(w.queue)
	w.lent.own += w.waiting
	w.waiting = 0
	for i := range w.queue {
		if o := w.queue[i].Prev; o != nil {
			w.lent.states = append(w.lent.states, o)
		}
	}
}

// giveBack counts what the reader held as gone. Callers hold mu.
func (w *Watcher) giveBack() {
	w.cache.backlog.give(w.lent.events, w.lent.states)
	clear(w.lent.states)
	w.lent.events, w.lent.own = 0, 0
	if w.lent.states = w.lent.states[:0]; cap(w.lent.states) > keep {
		w.lent.states = nil
	}
}

// relieve cuts watchers off when more waits than is allowed for all: those
// first that keep the most; it returns how many. It runs between batches.
func (b *backlog) relieve(states []*state) (cut int64) {
	if b.bytes.Load() <= b.limit {
		return 0
	}
	type behind struct {
		w   *Watcher
		own int64
	}
	var all []behind
	for _, s := range states {
		s.mu.RLock()
		s.index.each(func(w *Watcher) {
			w.mu.Lock()
			if own := w.waiting + w.lent.own; own > 0 {
				all = append(all, behind{w, own})
			}
			w.mu.Unlock()
		})
		s.mu.RUnlock()
	}
	slices.SortFunc(all, func(x, y behind) int { return cmp.Compare(y.own, x.own) })
	enough := b.limit - b.limit/4
	for _, x := range all {
		if b.bytes.Load() <= enough {
			return cut
		}
		x.w.end(fmt.Errorf("%w: it keeps %d KiB waiting, and all watchers together too much", ErrSlow, x.own>>10))
		cut++
		x.w.state.mu.Lock()
		x.w.state.index.remove(x.w)
		x.w.state.mu.Unlock()
	}
	return cut
}
