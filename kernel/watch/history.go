package watch

import "sort"

// history is the last events of a resource, a ring that grows and shrinks with
// what it holds, up to a limit of events. What it may hold beyond that is
// decided for all resources together: see retention.
type history struct {
	limit int
	ring  []Event
	first int   // position of the oldest
	len   int   // how many there are
	bytes int   // what is in memory only because of them, about
	floor int64 // every event after this revision is here
	// shared: several events may have had the revision floor. Whoever saw one
	// of them may have missed another.
	shared bool
}

// smallRing is the ring that is not worth shrinking.
const smallRing = 64

// add appends an event and forgets the oldest when there is no room.
func (h *history) add(e Event) {
	if h.len == h.limit {
		h.drop()
	}
	if h.len == len(h.ring) {
		h.resize(min(max(16, 2*len(h.ring)), h.limit))
	}
	h.ring[(h.first+h.len)%len(h.ring)] = e
	h.len++
	h.bytes += e.retained()
	h.shared = h.shared || e.Revision == h.floor
}

// drop forgets the oldest event. There must be one.
func (h *history) drop() {
	oldest := h.ring[h.first]
	h.ring[h.first] = Event{}
	h.first = (h.first + 1) % len(h.ring)
	h.len--
	h.bytes -= oldest.retained()
	h.shared = oldest.Revision == h.floor || h.len > 0 && oldest.Revision == h.at(0).Revision
	h.floor = oldest.Revision
}

// shrink gives back a ring that is mostly empty.
func (h *history) shrink() {
	switch {
	case h.len == 0:
		h.ring, h.first = nil, 0
	case len(h.ring) > smallRing && h.len <= len(h.ring)/4:
		h.resize(max(smallRing, 2*h.len))
	}
}

func (h *history) resize(n int) {
	ring := make([]Event, n)
	for i := range h.len {
		ring[i] = *h.at(i)
	}
	h.ring, h.first = ring, 0
}

func (h *history) at(i int) *Event { return &h.ring[(h.first+i)%len(h.ring)] }

// reset forgets everything: what comes next is after rev.
func (h *history) reset(rev int64, shared bool) {
	h.ring, h.first, h.len, h.bytes, h.floor, h.shared = nil, 0, 0, 0, rev, shared
}

// after returns a copy of the events after a revision; ok is false when some
// of them are forgotten.
func (h *history) after(rev int64) (events []Event, ok bool) {
	if rev < h.floor {
		return nil, false
	}
	from := sort.Search(h.len, func(i int) bool { return h.at(i).Revision > rev })
	if from == h.len {
		return nil, true
	}
	events = make([]Event, 0, h.len-from)
	for i := from; i < h.len; i++ {
		events = append(events, *h.at(i))
	}
	return events, true
}

// retained is about how many bytes a logged event keeps in memory. The state
// before is there because of it alone, once the object has changed. The state
// after is the object itself, or belongs to the event that replaced it.
func (e *Event) retained() int {
	n := eventBytes
	if e.Prev != nil {
		n += e.Prev.footprint()
	}
	return n
}

// eventBytes is an entry of the ring, and the head of the object that a
// deletion brings along.
const eventBytes = 128
