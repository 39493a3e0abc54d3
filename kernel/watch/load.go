package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/btree"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/store"
)

// pageSize is how many objects are read and decoded at a time.
const pageSize = 2000

// load reads all resources at one revision and replaces what the cache holds.
// reuse says that objects of unchanged revision need not be decoded again.
func (c *Cache) load(ctx context.Context, reuse bool) error {
	start := c.config.Clock.Now()
	layout := c.resources.restart()
	rev, err := c.reader.store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	trees := make(map[*state]*btree.BTreeG[*Object], len(layout.resources))
	objects := 0
	for prefix, states := range layout.prefixes {
		if states = serving(states); len(states) == 0 {
			continue
		}
		loaded, err := c.reader.prefix(ctx, layout, prefix, states, rev, reuse)
		if err != nil {
			return fmt.Errorf("load %s: %w", prefix, err)
		}
		for i, s := range states {
			trees[s] = loaded[i]
			objects += loaded[i].Len()
		}
	}
	shared := c.reader.sharedAt(ctx, c.resources.layout.Load(), rev)
	c.resources.applying.Lock()
	defer c.resources.applying.Unlock()
	c.resources.epoch++
	if rev < c.Revision() {
		c.progress.Rewind(rev)
		c.retention.rewind()
	}
	c.decoder.primed.Reset(rev)
	for s, tree := range trees {
		s.reset(tree, rev, shared(s))
	}
	c.progress.Advance(rev)
	c.counters.loads.Add(1)
	c.progress.Loaded()
	c.config.Log.Info("watch cache loaded", "revision", rev, "objects", objects, "took", c.config.Clock.Since(start))
	return nil
}

// serving are the states whose objects are in the cache. The others are read
// when they are asked for, at a revision of their own.
func serving(states []*state) []*state {
	return slices.DeleteFunc(slices.Clone(states), func(s *state) bool { return !s.serving.Load() })
}

// reader reads resources from the store, as of a revision.
type reader struct {
	store   store.Store
	decoder *decoder
	clock   clock.Clock
}

// revisionTimeout bounds the wait for the events of a revision that exists.
const revisionTimeout = 5 * time.Second

// sharedAt tells, for each state, whether several of its objects changed at
// rev. Where that cannot be found out, it says yes.
func (r *reader) sharedAt(ctx context.Context, layout *layout, rev int64) func(*state) bool {
	if rev <= 1 {
		return func(*state) bool { return false } // an empty store
	}
	ctx, cancel := context.WithCancel(ctx)
	w := r.store.Watch(ctx, "", rev-1)
	defer func() {
		cancel()
		for range w.Batches() { // until the store's goroutine has ended
		}
	}()
	counts := map[*state]int{}
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
	case <-r.clock.After(revisionTimeout):
		return func(*state) bool { return true }
	case <-ctx.Done():
	}
	return func(s *state) bool { return counts[s] > 1 }
}

// prefix reads the objects below a prefix, once for each state.
func (r *reader) prefix(ctx context.Context, l *layout, prefix string, states []*state, rev int64, reuse bool) ([]*btree.BTreeG[*Object], error) {
	trees := make([]*btree.BTreeG[*Object], len(states))
	for i := range trees {
		trees[i] = newTree()
	}
	for after, more := "", true; more; {
		var kvs []store.KV
		var err error
		o := store.ListOptions{Revision: rev, Limit: pageSize, After: after}
		if kvs, more, _, err = r.store.List(ctx, prefix+"/", o); err != nil {
			return nil, err
		}
		for i, s := range states {
			for _, o := range r.page(l, s, kvs, reuse) {
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

// page decodes what of kvs belongs to s. One that cannot be decoded, or
// belongs elsewhere, is nil.
func (r *reader) page(l *layout, s *state, kvs []store.KV, reuse bool) []*Object {
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
		if out[i] = r.decoder.decode(s, kv, namespace, name); out[i] == nil && reuse {
			out[i] = held // as follow does
		}
	})
	return out
}
