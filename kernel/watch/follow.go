package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/store"
)

// errRewound: the store went back behind what the cache has seen, as after the
// restoration of a backup.
var errRewound = errors.New("store went back in time")

// Run loads the store and follows it until ctx ends; then it ends all watchers
// and returns nil. It is called once. A store that is unavailable is tried
// again for ever; meanwhile the cache answers from what it has.
func (c *Cache) Run(ctx context.Context) error {
	defer c.close()
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
		c.wait(ctx, f.retry.Failed(c.config.Log, "watch cache interrupted", err, "revision", c.Revision(), "reload", load))
	}
	return nil
}

func (c *Cache) close() {
	c.end()
	close(c.done)
	c.applying.Lock() // nobody rearranges meanwhile
	defer c.applying.Unlock()
	for _, s := range c.layout.Load().resources {
		s.close()
	}
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
	w := c.config.Store.Watch(ctx, "", c.revision.Load())
	defer func() {
		cancel()
		for range w.Batches() { // until the store's goroutine has ended
		}
	}()
	ticker := c.config.Clock.NewTicker(c.bookmarkTick())
	defer ticker.Stop()
	for {
		select {
		case <-c.layout.Load().table.Superseded():
			c.rearrange()
		case b, ok := <-w.Batches():
			if !ok {
				return fmt.Errorf("watch the store: %w", w.Err())
			}
			if b.Revision < c.revision.Load() {
				return fmt.Errorf("%w: from %d to %d", errRewound, c.revision.Load(), b.Revision)
			}
			f.apply(&b)
			f.retry.Succeeded(c.config.Log)
		case <-ticker.C():
			c.applying.Lock()
			c.sendBookmarks(&f.fanout)
			c.age()
			c.applying.Unlock()
		}
	}
}

// apply takes in one batch: decode, apply to each resource, publish.
func (f *follower) apply(b *store.Batch) {
	c := f.cache
	c.applying.Lock()
	defer c.applying.Unlock()
	from := c.revision.Load()
	if len(b.Events) > 0 {
		f.changes = c.decodeEvents(b.Events, f.changes[:0])
		c.hints.pass(from, b.Revision)
		for rest := f.changes; len(rest) > 0; {
			f.part, rest = split(rest, f.part[:0])
			f.part[0].state.apply(f.part, &f.fanout)
			clear(f.part)
		}
		clear(f.changes)
		c.afford()
		c.relieve()
		c.counters.events.Add(int64(len(b.Events)))
	}
	c.advance(b.Revision)
}

// advance publishes a revision that every state has come to.
func (c *Cache) advance(rev int64) {
	c.revision.Store(rev)
	c.waiters.advance(rev)
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

func (c *Cache) wait(ctx context.Context, pause time.Duration) {
	select {
	case <-c.config.Clock.After(pause):
	case <-ctx.Done():
	}
}
