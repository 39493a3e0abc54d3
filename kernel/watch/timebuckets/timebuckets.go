// Package timebuckets spreads what many want regularly, such as bookmarks, over
// the interval.
package timebuckets

import "sync"

// Count is how many buckets, and so ticks, an interval has.
const Count = 60

// Buckets are the members, watchers for example, by when their turn comes. The
// zero value is empty; it is safe for concurrent use.
type Buckets[W comparable] struct {
	mu    sync.Mutex
	slots [Count]map[W]struct{} // guarded by mu
	next  int                   // slot of the next member; guarded by mu
	turn  int                   // slot of the next tick; guarded by mu
	slot  map[W]int             // guarded by mu
}

// Add takes a member in, but for one that has ended before.
func (b *Buckets[W]) Add(w W, ended <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-ended: // before it got here
		return
	default:
	}
	if b.slot == nil {
		b.slot = map[W]int{}
	}
	// The slot whose turn is furthest away: the first turn comes after the
	// whole interval, or after part of it when many come at once.
	i := (b.turn + Count - 1 - b.next%Count) % Count
	b.next++
	if b.slots[i] == nil {
		b.slots[i] = map[W]struct{}{}
	}
	b.slots[i][w] = struct{}{}
	b.slot[w] = i
}

// Remove takes a member out; one that is not in does nothing.
func (b *Buckets[W]) Remove(w W) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.slot[w]; ok {
		delete(b.slots[i], w)
		delete(b.slot, w)
	}
}

// Due goes one tick on and returns the members whose turn it is.
func (b *Buckets[W]) Due() (out []W) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.slots[b.turn] {
		out = append(out, w)
	}
	b.turn = (b.turn + 1) % Count
	return out
}
