package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch/timebuckets"
)

// errRewound: the store went back behind what the cache has seen, as after the
// restoration of a backup.
var errRewound = errors.New("store went back in time")

// Run loads the store and follows it until ctx ends; then it ends all watchers
// and returns nil. It is called once. A store that is unavailable is tried
// again for ever; meanwhile the cache answers from what it has.
func (c *Cache) Run(ctx context.Context) error {
	defer c.close()
	go c.resources.mend()
	f := &follower{cache: c, retry: backoff.New(firstPause, maxPause)}
	for load, reuse := true, false; ctx.Err() == nil; {
		var err error
		if load {
			if err = c.load(ctx, reuse); err == nil {
				load = false
				f.retry.Succeeded(c.config.Log)
			}
		}
		if !load {
			err = f.follow(ctx)
			load = errors.Is(err, store.ErrCompacted) || errors.Is(err, errRewound)
			reuse = !errors.Is(err, errRewound)
		}
		if ctx.Err() != nil {
			break
		}
		f.wait(ctx, f.retry.Failed(c.config.Log, "watch cache interrupted", err, "revision", c.Revision(), "reload", load))
	}
	return nil
}

func (c *Cache) close() {
	c.resources.end()
	c.progress.End()
	c.resources.close()
}

// follower applies the store's batches. Its slices are reused.
type follower struct {
	cache   *Cache
	changes []change
	part    []change
	fanout  fanout
	retry   *backoff.Retry
}

// follow applies what one watch of the store delivers, until it ends.
func (f *follower) follow(ctx context.Context) error {
	c := f.cache
	ctx, cancel := context.WithCancel(ctx)
	w := c.config.Store.Watch(ctx, "", c.Revision())
	defer func() {
		cancel()
		for range w.Batches() { // until the store's goroutine has ended
		}
	}()
	ticker := c.config.Clock.NewTicker(max(c.config.Bookmarks/timebuckets.Count, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-c.resources.layout.Load().table.Superseded():
			c.resources.rearrange()
		case b, ok := <-w.Batches():
			if !ok {
				return fmt.Errorf("watch the store: %w", w.Err())
			}
			if b.Revision < c.Revision() {
				return fmt.Errorf("%w: from %d to %d", errRewound, c.Revision(), b.Revision)
			}
			f.apply(&b)
			f.retry.Succeeded(c.config.Log)
		case <-ticker.C():
			c.resources.applying.Lock()
			f.bookmark()
			c.retention.tick(c.config.Clock.Now(), c.Revision(), c.resources.layout.Load().states)
			c.resources.applying.Unlock()
		}
	}
}

// apply handles one batch: decode, apply to each resource, publish.
func (f *follower) apply(b *store.Batch) {
	c := f.cache
	c.resources.applying.Lock()
	defer c.resources.applying.Unlock()
	from := c.Revision()
	if len(b.Events) > 0 {
		layout := c.resources.layout.Load()
		f.changes = c.decoder.events(layout, b.Events, f.changes[:0])
		c.decoder.primed.Pass(from, b.Revision)
		for rest := f.changes; len(rest) > 0; {
			f.part, rest = split(rest, f.part[:0])
			f.part[0].state.apply(f.part, &f.fanout)
			clear(f.part)
		}
		clear(f.changes)
		c.retention.afford(layout.states)
		c.counters.slow.Add(c.backlog.relieve(layout.states))
		c.counters.events.Add(int64(len(b.Events)))
	}
	c.progress.Advance(b.Revision)
}

// bookmark tells the watchers whose turn it is the present revision. It runs
// between batches, when every event up to that revision is in their queues.
func (f *follower) bookmark() {
	rev := f.cache.Revision()
	for _, w := range f.cache.bookmarks.Due() {
		if w.after <= rev {
			w.push(Event{Type: Bookmark, Revision: rev}, &f.fanout)
		}
	}
	f.fanout.flush(func(w *Watcher) {
		w.state.mu.Lock()
		w.state.index.remove(w)
		w.state.mu.Unlock()
	})
}

// split moves the changes of the first one's state to part, in order, and
// returns the others, in order, in the same array.
func split(changes, part []change) (_, rest []change) {
	first := changes[0].state
	rest = changes[:0]
	for _, ch := range changes {
		if ch.state == first {
			part = append(part, ch)
		} else {
			rest = append(rest, ch)
		}
	}
	return part, rest
}

// Between two tries to load or follow the store. The longest is short: once the
// store is back, reads wait for the cache.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = time.Second
)

func (f *follower) wait(ctx context.Context, pause time.Duration) {
	select {
	case <-f.cache.config.Clock.After(pause):
	case <-ctx.Done():
	}
}
