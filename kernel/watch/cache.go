// Package watch is the watch cache: it follows the store with one watch,
// keeps the current objects of every resource, and fans events out.
//
// Objects are of the hub version, decoded once. Their encodings, by version and
// media type, are shared by every list, watch and response, and kept as long as
// somebody asks for them and there is room (ready.go). Of the past, what
// watches need to resume is kept within a budget (retention.go). The package
// does no I/O of its own beyond the store's watch and never blocks on a slow
// reader: it cuts it off.
//
// One goroutine, that of Run, applies the store's events. A resource's state
// (objects, log, watchers) has a lock of its own; a Snapshot is a
// copy-on-write clone that is read without one. Resources come and go with the
// catalog: which there are is in layout.go, how one is read that came later in
// demand.go. Reading begins at Cache, what happens to an event at follow.go and
// state.go.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
)

// Errors of the cache and of its watchers. They are wrapped: test with
// errors.Is.
var (
	// ErrTooOld: events after the revision asked for, or after those already
	// delivered, are no longer kept. The reader must list again (410 Gone).
	ErrTooOld = errors.New("revision is too old")
	// ErrSlow: the watcher did not keep up with its events and was cut off. It
	// may watch again from the last revision that it saw.
	ErrSlow = errors.New("watcher is too slow")
	// ErrStopped: the cache does not run any more, or the watcher was stopped.
	ErrStopped = errors.New("stopped")
	// ErrNotReady: the cache is still loading; wait for Ready.
	ErrNotReady = errors.New("watch cache is not ready")
	// ErrRemoved: the resource is no longer in the catalog.
	ErrRemoved = errors.New("resource is no longer served")
	// ErrUnknown: the catalog has no such stored resource, or the resource no
	// such field.
	ErrUnknown = errors.New("unknown resource")
)

// Config is what a Cache is made of. Store, Catalog and Decode are required.
type Config struct {
	Store store.Store
	// Catalog lists the resources. Definitions may share a key prefix: each gets
	// every object below it, decoded to its own hub. One that is StoredAs
	// another has no objects here: ask for Definition.Stored.
	Catalog *resource.Catalog
	// Decode makes the hub object of a stored value, with rev as its
	// resourceVersion. It is called from several goroutines.
	Decode func(d *resource.Definition, value []byte, rev int64) (runtime.Object, error)

	// History is how many events of a resource are kept at most for watches
	// that resume. 0 is 8192.
	History int
	// HistoryBytes bounds what the events of all resources together keep in
	// memory, about. The resource with the most gives first. 0 is 32 MiB.
	HistoryBytes int
	// HistoryAge is how long events are kept if they are many or large; a
	// hundred small ones stay. A watcher with bookmarks is never further
	// behind. 0 is the interval of bookmarks and a quarter.
	HistoryAge time.Duration
	// Ready bounds the encoded bytes of all objects that are kept for the next
	// reader. 0 is 64 MiB.
	Ready int
	// Queue is how many events may wait for a reader before it is cut off. 0
	// is 16384.
	Queue int
	// QueueBytes bounds what the events that wait for the readers of all
	// watchers keep in memory, about. Those that keep the most are cut off. 0
	// is 128 MiB.
	QueueBytes int64
	// Bookmarks is the interval of bookmarks to watchers that want them. 0 is
	// a minute.
	Bookmarks time.Duration

	Clock clock.WithTicker // nil is the real clock
	Log   *slog.Logger     // nil discards
}

// Cache holds the objects of every stored resource. It is safe for concurrent
// use. Before Ready it is empty and at revision 0.
type Cache struct {
	config Config
	layout atomic.Pointer[layout]

	// applying is held while a batch of the store is applied, and while what
	// would not go together with that is changed: the layout, and the objects
	// of a resource that was read on demand. It comes before a state's lock.
	applying sync.Mutex
	epoch    int64 // of reloads: what was read in another one is void; guarded by applying

	revision atomic.Int64 // every state has applied the events up to here
	ready    chan struct{}
	done     chan struct{}   // closed when Run returns
	life     context.Context // ends with Run
	end      context.CancelFunc
	rewinds  atomic.Int64 // how often the store went back in time

	waiters   waiters
	hints     hints
	failures  failures
	bookmarks bookmarks
	counters  counters
	retention retention
	pool      readyPool
	alike     alike
	backlog   backlog
}

// New makes a Cache. Nothing happens before Run.
func New(c Config) *Cache {
	c.History = cmp.Or(c.History, 8192)
	c.Queue = cmp.Or(c.Queue, 16384)
	c.QueueBytes = cmp.Or(c.QueueBytes, 128<<20)
	c.Bookmarks = cmp.Or(c.Bookmarks, time.Minute)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 32<<20)
	c.HistoryAge = cmp.Or(c.HistoryAge, c.Bookmarks+c.Bookmarks/4)
	c.Ready = cmp.Or(c.Ready, 64<<20)
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	cache := &Cache{
		config:    c,
		ready:     make(chan struct{}),
		done:      make(chan struct{}),
		retention: retention{bytes: c.HistoryBytes, age: c.HistoryAge},
		pool:      readyPool{limit: c.Ready},
		backlog:   backlog{limit: c.QueueBytes},
	}
	cache.life, cache.end = context.WithCancel(context.Background())
	cache.layout.Store(newLayout(c.Catalog.Snapshot(), func(d *resource.Definition) *state {
		s := newState(d, c.History, &cache.rewinds)
		s.following = true
		s.serving.Store(true)
		return s
	}))
	return cache
}

// Ready is closed when the cache has loaded the store for the first time.
func (c *Cache) Ready() <-chan struct{} { return c.ready }

// Revision is the store's revision that the cache has come to. It grows also
// by changes of keys that belong to no resource.
func (c *Cache) Revision() int64 { return c.revision.Load() }

// Rewinds is how often the store went back in time, as after the restoration
// of a backup: what was learned before such a moment is void.
func (c *Cache) Rewinds() int64 { return c.rewinds.Load() }

// WaitFor returns when the cache has applied revision rev.
//
// # Errors
//   - ErrStopped when the cache ends before
//   - ctx's error
func (c *Cache) WaitFor(ctx context.Context, rev int64) error {
	if c.revision.Load() >= rev {
		return nil
	}
	reached := c.waiters.add(rev, &c.revision)
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		c.waiters.remove(reached)
		return fmt.Errorf("wait for revision %d, at %d: %w", rev, c.revision.Load(), ctx.Err())
	case <-c.done:
		return fmt.Errorf("wait for revision %d: watch cache %w", rev, ErrStopped)
	}
}

// Get returns the current state of an object, nil if there is none. It is
// cheaper than a Snapshot for a single look. A resource that was not loaded
// (see Load) has none.
func (c *Cache) Get(gr schema.GroupResource, namespace, name string) *Object {
	s := c.state(gr)
	if s == nil {
		return nil
	}
	return s.get(namespace, name)
}

// Snapshot returns the objects of a resource at one revision, which is not
// older than Revision. An unknown resource has none, and one that was not
// loaded (see Load).
func (c *Cache) Snapshot(gr schema.GroupResource) Snapshot {
	s := c.state(gr)
	if s == nil {
		return Snapshot{revision: c.revision.Load()}
	}
	return s.snapshot(&c.revision)
}
