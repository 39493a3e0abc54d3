// Package primed keeps what writers have just committed until its events
// arrive, so that it need not be decoded again.
package primed

import "sync"

// Set is objects by revision and key. The zero value is empty; it is safe for
// concurrent use.
type Set[T any] struct {
	mu     sync.Mutex
	byRev  map[int64]map[string]T // guarded by mu
	len    int                    // guarded by mu
	passed int64                  // guarded by mu; events up to here have been looked up
}

// most bounds what is kept when the store's watch stalls. Beyond it, objects
// are decoded.
const most = 16384

// Put keeps the object of an event to come; it reports false when the event has
// passed.
func (h *Set[T]) Put(key string, rev int64, o T) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev <= h.passed {
		return false
	}
	if h.len >= most {
		return true
	}
	if h.byRev == nil {
		h.byRev = map[int64]map[string]T{}
	}
	m := h.byRev[rev]
	if m == nil {
		m = map[string]T{}
		h.byRev[rev] = m
	}
	m[key] = o
	h.len++
	return true
}

// Get looks the object of an event up; the zero T if there is none.
func (h *Set[T]) Get(key string, rev int64) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byRev[rev][key]
}

// Pass forgets the objects of revisions after from up to rev: their events have
// been taken in.
func (h *Set[T]) Pass(from, rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passed = rev
	for r := from + 1; r <= rev && h.len > 0; r++ {
		if m, ok := h.byRev[r]; ok {
			h.len -= len(m)
			delete(h.byRev, r)
		}
	}
}

// Reset forgets everything up to rev after a reload.
func (h *Set[T]) Reset(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byRev, h.len, h.passed = nil, 0, rev
}
