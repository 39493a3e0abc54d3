package watch

import "time"

// The history that every resource keeps in peace, as far as it is small
// enough: who reconnects to a quiet resource need not list again, however long
// ago its last events were. Upstream keeps a hundred, too.
const (
	quietEvents = 100
	quietBytes  = 256 << 10
)

// retention decides which events of all resources together are kept. It is of
// Run's goroutine, as all logs are written by it.
type retention struct {
	bytes int           // budget of all logs together
	age   time.Duration // of events that are kept beyond the quiet ones
	marks []mark        // by time, the last age long and one before
	swept time.Time     // when the pool of encodings was swept last
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

// age forgets the events that are too old, but for the quiet ones, and the
// encodings that nobody asks for. It is called at every tick of the bookmarks.
func (c *Cache) age() {
	now := c.config.Clock.Now()
	old := c.retention.mark(now, c.revision.Load())
	for _, s := range c.layout.Load().states {
		s.retire(old)
	}
	c.pool.tick()
	if now.Sub(c.retention.swept) >= c.retention.age/3 {
		c.retention.swept = now
		c.pool.sweep()
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
func (c *Cache) afford() {
	total, states := 0, c.layout.Load().states
	for _, s := range states {
		total += s.log.bytes
	}
	if total <= c.retention.bytes {
		return
	}
	for enough := c.retention.bytes - c.retention.bytes/16; total > enough; {
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
