package watch

import (
	"sort"
	"time"

	"github.com/pintle-io/pintle/kernel/watch/encodings"
)

// history is the last events of a resource, a ring that grows and shrinks with
// what it holds, up to a limit of events. What it may hold beyond that is
// decided for all resources together: see retention.
// RATIONALE.md: "Why is history bounded by bytes, and who pays?"
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

// logReader replays events of the log, then a bookmark if one is wanted.
type logReader struct {
	state  *state
	filter *Filter
	events []Event
	end    int64 // the revision that the replay comes to
	mark   bool
}

func (r *logReader) read(buf []Event) ([]Event, bool) {
	n := min(chunk, len(r.events))
	for n > 0 && n < len(r.events) && r.events[n].Revision == r.events[n-1].Revision {
		n++
	}
	for _, e := range r.events[:n] {
		v := newView(r.state, e)
		if ev, ok := v.selectedBy(r.filter); ok {
			buf = append(buf, ev)
		}
	}
	r.events = r.events[n:]
	if len(r.events) > 0 {
		return buf, true
	}
	if r.mark {
		buf = append(buf, Event{Type: Bookmark, Revision: r.end})
	}
	return buf, false
}

var _ past = (*logReader)(nil)

// The history that every resource keeps in peace, as far as it is small
// enough: who reconnects to a quiet resource need not list again, however long
// ago its last events were. Upstream keeps a hundred, too.
const (
	quietEvents = 100
	quietBytes  = 256 << 10
)

// retention decides which events of all resources together are kept, and which
// encodings of objects. It is of Run's goroutine, as all logs are written by it.
type retention struct {
	bytes int           // budget of all logs together
	age   time.Duration // of events that are kept beyond the quiet ones
	marks []mark        // by time, the last age long and one before
	pool  *encodings.Pool
	swept time.Time // when the pool was swept last
}

// rewind forgets the revisions of a time that has not been.
func (r *retention) rewind() { r.marks = nil }

// mark says how far the cache had come at a time. It spares each event a time
// of its own.
type mark struct {
	at       time.Time
	revision int64
}

// markEvery is the precision of ages, in parts of the age.
const markEvery = 64

// mark notes the time and returns the revision whose events, and those before,
// are too old.
func (r *retention) mark(now time.Time, revision int64) (old int64) {
	if n := len(r.marks); n == 0 || now.Sub(r.marks[n-1].at) >= r.age/markEvery {
		r.marks = append(r.marks, mark{now, revision})
	}
	n := 0
	for n < len(r.marks) && now.Sub(r.marks[n].at) >= r.age {
		n++
	}
	if n == 0 {
		return 0
	}
	old = r.marks[n-1].revision
	r.marks = append(r.marks[:0], r.marks[n-1:]...)
	return old
}

// tick forgets the events that are too old, but for the quiet ones, and the
// encodings that nobody asks for. It is called at every tick of the bookmarks.
func (r *retention) tick(now time.Time, revision int64, states []*state) {
	old := r.mark(now, revision)
	for _, s := range states {
		s.retire(old)
	}
	r.pool.Tick()
	if now.Sub(r.swept) >= r.age/3 {
		r.swept = now
		r.pool.Sweep()
	}
}

// retire forgets the events up to a revision, but for the quiet ones.
func (s *state) retire(old int64) {
	if s.log.len == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.log.len > 0 && s.log.at(0).Revision <= old && (s.log.len > quietEvents || s.log.bytes > quietBytes) {
		s.log.drop()
	}
	s.log.shrink()
}

// afford forgets events until all logs together are within the budget. The
// longest log pays: a storm in one resource shortens no other's history.
func (r *retention) afford(states []*state) {
	total := 0
	for _, s := range states {
		total += s.log.bytes
	}
	if total <= r.bytes {
		return
	}
	for enough := r.bytes - r.bytes/16; total > enough; {
		largest := states[0]
		for _, s := range states {
			if s.log.bytes > largest.log.bytes {
				largest = s
			}
		}
		total -= largest.release(total - enough)
	}
}

// release forgets the oldest events until about n bytes are free, and returns
// how many are.
func (s *state) release(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.log.bytes
	for s.log.len > 0 && before-s.log.bytes < n {
		s.log.drop()
	}
	s.log.shrink()
	return before - s.log.bytes
}
