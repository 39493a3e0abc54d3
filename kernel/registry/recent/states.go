// Package recent knows what is newer than the watch cache: the states that this
// process committed itself, and up to which revision the store has come.
//
// Both are hints that save round trips: the store has the last word. It writes
// nothing. Start reading at [Objects], which put them and the cache together.
package recent

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/watch"
)

// states remembers what this process committed until the cache has seen it,
// so that a write that follows another at once starts from its result instead
// of running into a conflict. What
// the cache has seen is dropped with the next write, or by Trim; what it does
// not come to see is bounded in number, bytes and age, and ends when the store
// goes back in time. It is safe for concurrent use.
type states struct {
	clock  clock.PassiveClock
	cache  progress
	seed   maphash.Seed
	shards [32]shard
}

// progress is how far the cache has come.
type progress interface {
	Revision() int64
	Rewinds() int64
}

type shard struct {
	mu    sync.Mutex
	m     map[string]entry // guarded by mu
	order []seen           // by age; guarded by mu
	bytes int              // stored bytes of what is in m; guarded by mu
}

type entry struct {
	obj      *watch.Object // nil: deleted
	revision int64
	size     int // of the stored value
	at       time.Time
	rewinds  int64 // the cache's, then
}

type seen struct {
	key      string
	revision int64
}

// Bounds of a shard. They matter while the cache does not get the store's
// events; without an entry, a write begins with a conflict and reads the store.
const (
	maxEntries = 512
	maxBytes   = 512 << 10
	maxAge     = time.Minute
)

// newStates makes states that hold what cache has not seen.
func newStates(cache progress, c clock.PassiveClock) *states {
	r := &states{clock: c, cache: cache, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].m = make(map[string]entry)
	}
	return r
}

func (r *states) shardOf(key string) *shard {
	return &r.shards[maphash.String(r.seed, key)%uint64(len(r.shards))]
}

// void tells that an entry is of no use any more.
func (r *states) void(e entry) bool {
	return e.revision <= r.cache.Revision() || e.rewinds != r.cache.Rewinds() || r.clock.Since(e.at) > maxAge
}

// Put remembers the state of key at a revision; obj nil means deleted. size is
// that of the stored value.
func (r *states) Put(key string, revision int64, obj *watch.Object, size int) {
	s := r.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[key]; ok && old.revision >= revision && !r.void(old) {
		return
	}
	s.forget(key)
	s.m[key] = entry{obj, revision, size, r.clock.Now(), r.cache.Rewinds()}
	s.order = append(s.order, seen{key, revision})
	s.bytes += size
	s.drop(r.void)
}

// drop forgets the oldest entries that are void or too much; the newest stays.
// Callers hold mu.
func (s *shard) drop(void func(entry) bool) {
	n := 0
	for ; n < len(s.order)-1; n++ {
		k := s.order[n]
		e, ok := s.m[k.key]
		if !ok || e.revision != k.revision {
			continue // replaced
		}
		if !void(e) && len(s.m) <= maxEntries && s.bytes <= maxBytes {
			break
		}
		s.forget(k.key)
	}
	s.order = append(s.order[:0], s.order[n:]...)
}

// forget drops an entry, if there is one. Callers hold mu.
func (s *shard) forget(key string) {
	s.bytes -= s.m[key].size
	delete(s.m, key)
}

// Get answers what is remembered of key and not yet in the cache; obj is nil when
// it was deleted.
func (r *states) Get(key string) (obj *watch.Object, ok bool) {
	s := r.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[key]
	if ok && r.void(e) {
		s.forget(key)
		return nil, false
	}
	return e.obj, ok
}

// Under calls fn with everything remembered below a key prefix that the cache
// has not seen; fn must not ask the states.
func (r *states) Under(prefix string, fn func(key string, obj *watch.Object)) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, e := range s.m {
			if strings.HasPrefix(key, prefix) && !r.void(e) {
				fn(key, e.obj)
			}
		}
		s.mu.Unlock()
	}
}

// Trim forgets all that is void.
func (r *states) Trim() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, e := range s.m {
			if r.void(e) {
				s.forget(key)
			}
		}
		if len(s.m) == 0 {
			s.m, s.order = make(map[string]entry), nil
		}
		s.mu.Unlock()
	}
}
