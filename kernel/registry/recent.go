package registry

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/pintle-io/pintle/kernel/watch"
)

// recent remembers what this process committed until the cache has seen it,
// so that a write that follows another at once starts from its result instead
// of running into a conflict. It is a hint: the store has the last word.
type recent struct {
	seen   func() int64 // the cache's revision
	seed   maphash.Seed
	shards [32]recentShard
}

type recentShard struct {
	mu   sync.Mutex
	m    map[string]recentEntry // guarded by mu
	next int                    // size at which to sweep; guarded by mu
}

type recentEntry struct {
	obj      *watch.Object // nil: deleted
	revision int64
}

const recentSweep = 512

func newRecent(seen func() int64) *recent {
	r := &recent{seen: seen, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].m = make(map[string]recentEntry)
		r.shards[i].next = recentSweep
	}
	return r
}

func (r *recent) shard(key string) *recentShard {
	return &r.shards[maphash.String(r.seed, key)%uint64(len(r.shards))]
}

// put remembers the state of key at a revision; obj nil means deleted.
func (r *recent) put(key string, revision int64, obj *watch.Object) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[key].revision >= revision {
		return
	}
	s.m[key] = recentEntry{obj, revision}
	if len(s.m) >= s.next {
		seen := r.seen()
		for k, e := range s.m {
			if e.revision <= seen {
				delete(s.m, k)
			}
		}
		s.next = max(recentSweep, 2*len(s.m))
	}
}

// get answers what is remembered of key and not yet in the cache.
func (r *recent) get(key string) (recentEntry, bool) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[key]
	if ok && e.revision <= r.seen() {
		delete(s.m, key)
		return recentEntry{}, false
	}
	return e, ok
}

// under calls fn with everything remembered below a key prefix that the cache
// has not seen.
func (r *recent) under(prefix string, fn func(key string, e recentEntry)) {
	seen := r.seen()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, e := range s.m {
			if e.revision > seen && strings.HasPrefix(key, prefix) {
				fn(key, e)
			}
		}
		s.mu.Unlock()
	}
}
