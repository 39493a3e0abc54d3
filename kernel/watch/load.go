package watch

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/pintle-io/pintle/kernel/store"
)

// pageSize is how many objects are read and decoded at a time.
const pageSize = 2000

// load reads all resources at one revision and replaces what the cache holds.
// reuse says that objects of unchanged revision need not be decoded again.
func (c *Cache) load(ctx context.Context, reuse bool) error {
	start := c.config.Clock.Now()
	layout := c.startLoad()
	rev, err := c.config.Store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	trees := make(map[*state]*btree.BTreeG[*Object], len(layout.resources))
	objects := 0
	for prefix, states := range layout.prefixes {
		if states = serving(states); len(states) == 0 {
			continue
		}
		loaded, err := c.loadPrefix(ctx, layout, prefix, states, rev, reuse)
		if err != nil {
			return fmt.Errorf("load %s: %w", prefix, err)
		}
		for i, s := range states {
			trees[s] = loaded[i]
			objects += loaded[i].Len()
		}
	}
	shared := c.sharedAt(ctx, rev)
	c.applying.Lock()
	defer c.applying.Unlock()
	c.epoch++
	if rev < c.revision.Load() {
		c.rewinds.Add(1)      // before any snapshot of the new time
		c.revision.Store(rev) // no state may seem newer than it is
		c.retention.rewind()
	}
	c.hints.reset(rev)
	for s, tree := range trees {
		s.reset(tree, rev, shared(s))
	}
	c.advance(rev)
	c.counters.loads.Add(1)
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	c.config.Log.Info("watch cache loaded", "revision", rev, "objects", objects, "took", c.config.Clock.Since(start))
	return nil
}

// startLoad has what is being read on demand start over, and returns what is
// to be read.
func (c *Cache) startLoad() *layout {
	c.applying.Lock()
	defer c.applying.Unlock()
	c.epoch++
	return c.layout.Load()
}

// serving are the states whose objects are in the cache. The others are read
// when they are asked for, at a revision of their own.
func serving(states []*state) []*state {
	return slices.DeleteFunc(slices.Clone(states), func(s *state) bool { return !s.serving.Load() })
}

// revisionTimeout bounds the wait for the events of a revision that exists.
const revisionTimeout = 5 * time.Second

// sharedAt tells, for each state, whether several of its objects changed at
// rev. Where that cannot be found out, it says yes.
func (c *Cache) sharedAt(ctx context.Context, rev int64) func(*state) bool {
	if rev <= 1 {
		return func(*state) bool { return false } // an empty store
	}
	ctx, cancel := context.WithCancel(ctx)
	w := c.config.Store.Watch(ctx, "", rev-1)
	defer func() {
		cancel()
		for range w.Batches() { // until the store's goroutine has ended
		}
	}()
	counts, layout := map[*state]int{}, c.layout.Load()
	select {
	case b, ok := <-w.Batches():
		if !ok || len(b.Events) == 0 {
			return func(*state) bool { return true }
		}
		for _, e := range b.Events {
			states, _, _ := layout.route(e.KV.Key)
			for _, s := range states {
				if e.KV.ModRevision == rev {
					counts[s]++
				}
			}
		}
	case <-c.config.Clock.After(revisionTimeout):
		return func(*state) bool { return true }
	case <-ctx.Done():
	}
	return func(s *state) bool { return counts[s] > 1 }
}

// loadPrefix reads the objects below a prefix, once for each state.
func (c *Cache) loadPrefix(ctx context.Context, l *layout, prefix string, states []*state, rev int64, reuse bool) ([]*btree.BTreeG[*Object], error) {
	trees := make([]*btree.BTreeG[*Object], len(states))
	for i := range trees {
		trees[i] = newTree()
	}
	for after, more := "", true; more; {
		var kvs []store.KV
		var err error
		o := store.ListOptions{Revision: rev, Limit: pageSize, After: after}
		if kvs, more, _, err = c.config.Store.List(ctx, prefix+"/", o); err != nil {
			return nil, err
		}
		for i, s := range states {
			for _, o := range c.decodePage(l, s, kvs, reuse) {
				if o != nil {
					trees[i].ReplaceOrInsert(o)
				}
			}
		}
		if len(kvs) > 0 {
			after = kvs[len(kvs)-1].Key
		}
	}
	return trees, nil
}

// decodePage decodes what of kvs belongs to s. One that cannot be decoded, or
// belongs elsewhere, is nil.
func (c *Cache) decodePage(l *layout, s *state, kvs []store.KV, reuse bool) []*Object {
	out := make([]*Object, len(kvs))
	parallel(len(kvs), func(i int) {
		kv := &kvs[i]
		states, namespace, name := l.route(kv.Key)
		if len(states) == 0 || states[0].prefix != s.prefix {
			return
		}
		held := s.get(namespace, name)
		if reuse && held != nil && held.Revision == kv.ModRevision {
			out[i] = held
			return
		}
		if out[i] = c.decode(s, kv, namespace, name); out[i] == nil && reuse {
			out[i] = held // as follow does
		}
	})
	return out
}

// decodeEvents appends the changes that a batch means to the resources. An
// object that cannot be decoded is left as it was: taking it away would make
// others act on its absence.
func (c *Cache) decodeEvents(events []store.Event, changes []change) []change {
	type job struct {
		change          int
		kv              *store.KV
		namespace, name string
	}
	var jobs []job
	layout := c.layout.Load()
	for i := range events {
		kv := &events[i].KV
		states, namespace, name := layout.route(kv.Key)
		for _, s := range states {
			if !s.following {
				continue
			}
			if !events[i].Delete {
				jobs = append(jobs, job{len(changes), kv, namespace, name})
			} else {
				c.failures.forget(s.resource, kv.Key)
			}
			changes = append(changes, change{state: s, key: kv.Key, revision: kv.ModRevision})
		}
	}
	now := c.config.Clock.Now()
	parallel(len(jobs), func(i int) {
		j := &jobs[i]
		ch := &changes[j.change]
		if len(layout.prefixes[ch.state.prefix]) == 1 && !now.Before(ch.state.doubted) {
			ch.object = c.hints.get(j.kv.Key, j.kv.ModRevision)
		}
		if ch.object != nil {
			ch.object.stored = len(j.kv.Value)
			c.counters.primed.Add(1)
			c.failures.forget(ch.state.resource, ch.key)
			return
		}
		if ch.object = c.decode(ch.state, j.kv, j.namespace, j.name); ch.object == nil {
			ch.key = "" // not a deletion: no change at all
		}
	})
	kept := changes[:0]
	for _, ch := range changes {
		if ch.key != "" {
			kept = append(kept, ch)
		}
	}
	return kept
}

// decode makes an Object of a stored value; nil if that fails, which is noted.
func (c *Cache) decode(s *state, kv *store.KV, namespace, name string) *Object {
	obj, err := c.config.Decode(s.definition.Load(), kv.Value, kv.ModRevision)
	c.counters.decoded.Add(1)
	if err != nil {
		if c.failures.note(Failure{s.resource, kv.Key, kv.ModRevision, err}) {
			c.config.Log.Error("stored object cannot be decoded", "resource", s.resource, "key", kv.Key, "rv", kv.ModRevision, "error", err)
		}
		return nil
	}
	c.failures.forget(s.resource, kv.Key)
	c.alike.share(obj)
	return &Object{Key: kv.Key, Namespace: namespace, Name: name, Revision: kv.ModRevision, Obj: obj, stored: len(kv.Value), pool: &c.pool}
}

// worthwhile is how many calls it takes to make goroutines pay.
const worthwhile = 64

// parallel calls fn(0) to fn(n-1), from several goroutines if there are many.
func parallel(n int, fn func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/(worthwhile/2))
	if n < worthwhile || workers < 2 {
		for i := range n {
			fn(i)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				fn(i)
			}
		})
	}
	wg.Wait()
}
