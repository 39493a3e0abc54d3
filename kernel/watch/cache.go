// Package watch is the watch cache: it follows the store with one watch,
// keeps the current objects of every resource, and fans events out.
//
// Objects are of the hub version, decoded once. Their encodings, by version and
// media type, are shared by every list, watch and response, and kept as long as
// somebody asks for them and there is room (encodings). Of the past, what
// watches need to resume is kept within a budget (history.go). The package
// does no I/O of its own beyond the store's watch and never blocks on a slow
// reader: it cuts it off.
//
// One goroutine, that of Run, applies the store's events. A resource's state
// (objects, log, watchers) has a lock of its own; a Snapshot is a
// copy-on-write clone that is read without one. Resources come and go with the
// catalog: which there are is in layout.go, how one is read that came later in
// demand.go. Reading begins at Cache, what happens to an event at follow.go and
// state.go.
// RATIONALE.md: "Why does the cache decode, and share bytes?"
package watch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch/encodings"
	"github.com/pintle-io/pintle/kernel/watch/progress"
	"github.com/pintle-io/pintle/kernel/watch/timebuckets"
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
	ErrStopped = progress.ErrStopped
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
	config    Config
	progress  *progress.Progress // every state has applied the events up to its revision
	resources *resources
	decoder   *decoder
	reader    *reader

	pool      *encodings.Pool
	retention retention
	backlog   backlog
	bookmarks timebuckets.Buckets[*Watcher]
	counters  counters
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
	pool := encodings.NewPool(c.Ready)
	p := progress.New()
	d := &decoder{convert: c.Decode, pool: pool, clock: c.Clock, log: c.Log, failures: failures{noted: make(chan struct{}, 1)}}
	r := &reader{store: c.Store, decoder: d, clock: c.Clock}
	return &Cache{
		config: c, progress: p, resources: newResources(&c, r, p), decoder: d, reader: r, pool: pool,
		retention: retention{bytes: c.HistoryBytes, age: c.HistoryAge, pool: pool},
		backlog:   backlog{limit: c.QueueBytes},
	}
}

// Ready is closed when the cache has loaded the store for the first time.
func (c *Cache) Ready() <-chan struct{} { return c.progress.Ready() }

// Revision is the store's revision that the cache has come to. It grows also
// by changes of keys that belong to no resource.
func (c *Cache) Revision() int64 { return c.progress.Revision() }

// Rewinds is how often the store went back in time, as after the restoration
// of a backup: what was learned before such a moment is void.
func (c *Cache) Rewinds() int64 { return c.progress.Rewinds() }

// WaitFor returns when the cache has applied revision rev.
//
// # Errors
//   - ErrStopped when the cache ends before
//   - ctx's error
func (c *Cache) WaitFor(ctx context.Context, rev int64) error { return c.progress.Wait(ctx, rev) }

// Get returns the current state of an object, nil if there is none. It is
// cheaper than a Snapshot for a single look. A resource that was not loaded
// (see Load) has none.
func (c *Cache) Get(gr schema.GroupResource, namespace, name string) *Object {
	s := c.resources.state(gr)
	if s == nil {
		return nil
	}
	return s.get(namespace, name)
}

// Snapshot returns the objects of a resource at one revision, which is not
// older than Revision. An unknown resource has none, and one that was not
// loaded (see Load).
func (c *Cache) Snapshot(gr schema.GroupResource) Snapshot {
	s := c.resources.state(gr)
	if s == nil {
		return Snapshot{revision: c.Revision()}
	}
	return s.snapshot()
}

// Load has a resource ready to be read and watched: all of it, at no older
// revision than the cache's present one. It returns at once when it is. Those
// that the catalog began with are always, as far as the cache is Ready.
//
// # Errors
//   - ErrUnknown, ErrRemoved: there is no such resource
//   - ErrStopped when the cache ends before
//   - the store's, and ctx's error
func (c *Cache) Load(ctx context.Context, gr schema.GroupResource) error {
	return c.resources.load(ctx, gr)
}

// Prime tells the cache of an object that the caller has committed at rev, so
// that the cache need not decode it again. obj must be of the hub version,
// carry rev as its resourceVersion, and is shared from now on: nobody may
// modify it. Prime returns the Object that the cache holds or will hold, whose
// encodings are shared with lists and watches; nil if the key belongs to no
// resource. It is a hint: without it everything works the same.
func (c *Cache) Prime(key string, rev int64, obj runtime.Object) *Object {
	return c.decoder.prime(c.resources.layout.Load(), key, rev, obj)
}
