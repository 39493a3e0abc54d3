package registry

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/watch"
)

// recent remembers what this process committed until the cache has seen it,
// so that a write that follows another at once starts from its result instead
// of running into a conflict. It is a hint: the store has the last word. What
// the cache has seen is dropped with the next write, or by trim; what it does
// not come to see is bounded in number, bytes and age, and ends when the store
// goes back in time.
type recent struct {
	clock  clock.PassiveClock
	cache  progress
	seed   maphash.Seed
	shards [32]recentShard
}

// progress is how far the cache has come.
type progress interface {
	Revision() int64
	Rewinds() int64
}

type recentShard struct {
	mu    sync.Mutex
	m     map[string]recentEntry // guarded by mu
	order []recentKey            // by age; guarded by mu
	bytes int                    // stored bytes of what is in m; guarded by mu
}

type recentEntry struct {
	obj      *watch.Object // nil: deleted
	revision int64
	size     int // of the stored value
	at       time.Time
	rewinds  int64 // the cache's, then
}

type recentKey struct {
	key      string
	revision int64
}

// Bounds of a shard. They matter while the cache does not get the store's
// events; without an entry, a write begins with a conflict and reads the store.
const (
	recentEntries = 512
	recentBytes   = 512 << 10
	recentAge     = time.Minute
)

func newRecent(cache progress, c clock.PassiveClock) *recent {
	r := &recent{clock: c, cache: cache, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].m = make(map[string]recentEntry)
	}
	return r
}

func (r *recent) shard(key string) *recentShard {
	return &r.shards[maphash.String(r.seed, key)%uint64(len(r.shards))]
}

// void tells that an entry is of no use any more.
func (r *recent) void(e recentEntry) bool {
	return e.revision <= r.cache.Revision() || e.rewinds != r.cache.Rewinds() || r.clock.Since(e.at) > recentAge
}

// put remembers the state of key at a revision; obj nil means deleted. size is
// that of the stored value.
func (r *recent) put(key string, revision int64, obj *watch.Object, size int) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[key]; ok && old.revision >= revision && !r.void(old) {
		return
	}
	s.forget(key)
	s.m[key] = recentEntry{obj, revision, size, r.clock.Now(), r.cache.Rewinds()}
	s.order = append(s.order, recentKey{key, revision})
	s.bytes += size
	s.drop(r.void)
}

// drop forgets the oldest entries that are void or too much; the newest stays.
// Callers hold mu.
func (s *recentShard) drop(void func(recentEntry) bool) {
	n := 0
	for ; n < len(s.order)-1; n++ {
		k := s.order[n]
		e, ok := s.m[k.key]
		if !ok || e.revision != k.revision {
			continue // replaced
		}
		if !void(e) && len(s.m) <= recentEntries && s.bytes <= recentBytes {
			break
		}
		s.forget(k.key)
	}
	s.order = append(s.order[:0], s.order[n:]...)
}

// forget drops an entry, if there is one. Callers hold mu.
func (s *recentShard) forget(key string) {
	s.bytes -= s.m[key].size
	delete(s.m, key)
}

// get answers what is remembered of key and not yet in the cache.
func (r *recent) get(key string) (recentEntry, bool) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[key]
	if ok && r.void(e) {
		s.forget(key)
		return recentEntry{}, false
	}
	return e, ok
}

// under calls fn with everything remembered below a key prefix that the cache
// has not seen.
func (r *recent) under(prefix string, fn func(key string, e recentEntry)) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, e := range s.m {
			if strings.HasPrefix(key, prefix) && !r.void(e) {
				fn(key, e)
			}
		}
		s.mu.Unlock()
	}
}

// trim forgets all that is void.
func (r *recent) trim() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, e := range s.m {
			if r.void(e) {
				s.forget(key)
			}
		}
		if len(s.m) == 0 {
			s.m, s.order = make(map[string]recentEntry), nil
		}
		s.mu.Unlock()
	}
}
