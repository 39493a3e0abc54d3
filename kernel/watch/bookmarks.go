package watch

import (
	"sync"
	"time"
)

// slots spreads the bookmarks of many watchers over the interval.
const slots = 60

// bookmarks are the watchers that want to be told the revision now and then.
type bookmarks struct {
	mu    sync.Mutex
	slots [slots]map[*Watcher]struct{} // guarded by mu
	next  int                          // slot of the next watcher; guarded by mu
	turn  int                          // slot of the next tick; guarded by mu
	slot  map[*Watcher]int             // guarded by mu
}

func (b *bookmarks) add(w *Watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ended: // before it got here
		return
	default:
	}
	if b.slot == nil {
		b.slot = map[*Watcher]int{}
	}
	// The slot whose turn is furthest away: the first bookmark comes after the
	// whole interval, or after part of it when many come at once.
	i := (b.turn + slots - 1 - b.next%slots) % slots
	b.next++
	if b.slots[i] == nil {
		b.slots[i] = map[*Watcher]struct{}{}
	}
	b.slots[i][w] = struct{}{}
	b.slot[w] = i
}

func (b *bookmarks) remove(w *Watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.slot[w]; ok {
		delete(b.slots[i], w)
		delete(b.slot, w)
	}
}

// due returns the watchers whose turn it is.
func (b *bookmarks) due() (out []*Watcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.slots[b.turn] {
		out = append(out, w)
	}
	b.turn = (b.turn + 1) % slots
	return out
}

func (c *Cache) bookmarkTick() time.Duration { return max(c.config.Bookmarks/slots, time.Millisecond) }

// sendBookmarks tells the watchers whose turn it is the present revision. It
// runs between batches, when every event up to that revision is in their
// queues.
func (c *Cache) sendBookmarks(out *fanout) {
	rev := c.revision.Load()
	for _, w := range c.bookmarks.due() {
		if w.after <= rev {
			w.push(Event{Type: Bookmark, Revision: rev}, out)
		}
	}
	out.flush(func(w *Watcher) {
		w.state.mu.Lock()
		w.state.index.remove(w)
		w.state.mu.Unlock()
	})
}
