package watch

import "sort"

// history is the last events of a resource, a ring that grows up to its limit.
type history struct {
	limit int
	ring  []Event
	first int   // position of the oldest
	len   int   // how many there are
	floor int64 // every event after this revision is here
	// shared: several events may have had the revision floor. Whoever saw one
	// of them may have missed another.
	shared bool
}

// add appends an event and forgets the oldest when there is no room.
func (h *history) add(e Event) {
	if h.len == len(h.ring) && h.len < h.limit {
		h.grow()
	}
	if h.len == len(h.ring) {
		oldest := h.ring[h.first].Revision
		h.ring[h.first] = e
		h.first = (h.first + 1) % len(h.ring)
		h.shared = oldest == h.floor || oldest == h.ring[h.first].Revision
		h.floor = oldest
		return
	}
	h.ring[(h.first+h.len)%len(h.ring)] = e
	h.len++
}

func (h *history) grow() {
	ring := make([]Event, min(max(16, 2*len(h.ring)), h.limit))
	n := copy(ring, h.ring[h.first:])
	copy(ring[n:], h.ring[:h.first])
	h.ring, h.first = ring, 0
}

// reset forgets everything: what comes next is after rev.
func (h *history) reset(rev int64, shared bool) {
	h.ring, h.first, h.len, h.floor, h.shared = nil, 0, 0, rev, shared
}

// after returns a copy of the events after a revision; ok is false when some
// of them are forgotten.
func (h *history) after(rev int64) (events []Event, ok bool) {
	if rev < h.floor {
		return nil, false
	}
	at := func(i int) *Event { return &h.ring[(h.first+i)%len(h.ring)] }
	from := sort.Search(h.len, func(i int) bool { return at(i).Revision > rev })
	if from == h.len {
		return nil, true
	}
	events = make([]Event, 0, h.len-from)
	for i := from; i < h.len; i++ {
		events = append(events, *at(i))
	}
	return events, true
}
