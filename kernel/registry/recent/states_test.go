package recent

import (
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/watch"
)

// caughtUp is a cache's progress.
type caughtUp struct{ revision, rewinds int64 }

func (c *caughtUp) Revision() int64 { return c.revision }
func (c *caughtUp) Rewinds() int64  { return c.rewinds }

// held counts what is held, and checks the books.
func (r *states) held(t *testing.T) (n int) {
	t.Helper()
	for i := range r.shards {
		s, bytes := &r.shards[i], 0
		for _, e := range s.m {
			bytes += e.size
		}
		if bytes != s.bytes || bytes > maxBytes && len(s.m) > 1 {
			t.Errorf("a shard of %d entries holds %d bytes, says %d", len(s.m), bytes, s.bytes)
		}
		n += len(s.m)
	}
	return n
}

func TestStates(t *testing.T) {
	const many = 100_000
	fill := func(r *states, n, size int) {
		for i := range n {
			r.Put(fmt.Sprint("/k/", i), int64(i+1), &watch.Object{Revision: int64(i + 1)}, size)
		}
	}
	known := func(r *states, key string) bool { _, ok := r.Get(key); return ok }
	start := func() (*states, *caughtUp, *clocktesting.FakePassiveClock) {
		cache, clock := &caughtUp{}, clocktesting.NewFakePassiveClock(time.Now())
		return newStates(cache, clock), cache, clock
	}
	t.Run("seen", func(t *testing.T) {
		r, cache, _ := start()
		fill(r, 1000, 10)
		cache.revision = 900
		if known(r, "/k/899") || !known(r, "/k/900") {
			t.Error("want what the cache has not seen, and nothing else")
		}
		if r.Trim(); r.held(t) != 100 {
			t.Errorf("%d entries are held, want 100", r.held(t))
		}
		cache.revision = 1000
		if r.Trim(); r.held(t) != 0 {
			t.Errorf("%d entries are held in vain", r.held(t))
		}
	})
	t.Run("dropped as it goes", func(t *testing.T) {
		r, cache, _ := start()
		for i := range many {
			r.Put(fmt.Sprint("/k/", i), int64(i+1), &watch.Object{}, 10)
			cache.revision = int64(i)
		}
		if n := r.held(t); n > 2*len(r.shards) {
			t.Errorf("%d entries are held without trim", n)
		}
	})
	t.Run("a cache that stands still", func(t *testing.T) {
		r, _, _ := start()
		fill(r, many, 10)
		if n := r.held(t); n > maxEntries*len(r.shards) || n < maxEntries {
			t.Errorf("%d entries", n)
		}
		r, _, _ = start()
		fill(r, 1000, 200<<10)
		if n := r.held(t); n > 3*len(r.shards) || !known(r, "/k/999") {
			t.Errorf("%d large entries; the newest known: %t", n, known(r, "/k/999"))
		}
	})
	t.Run("age", func(t *testing.T) {
		r, _, clock := start()
		fill(r, 10, 10)
		clock.SetTime(clock.Now().Add(maxAge + time.Second))
		if r.Trim(); known(r, "/k/1") || r.held(t) != 0 {
			t.Error("an old entry is held")
		}
	})
	t.Run("restored", func(t *testing.T) {
		r, cache, _ := start()
		cache.revision = 5
		fill(r, 10, 10)
		cache.revision, cache.rewinds = 2, 1
		if known(r, "/k/8") {
			t.Error("a write starts from what has never been")
		}
		r.Put("/k/8", 3, &watch.Object{Revision: 3}, 10) // what a conflict told
		if o, ok := r.Get("/k/8"); !ok || o.Revision != 3 {
			t.Error("what the restored store says is not believed")
		}
		if r.Trim(); r.held(t) != 1 {
			t.Errorf("%d entries are held", r.held(t))
		}
	})
}
