package watch

import (
	"errors"
	"maps"
	"sort"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/store"
)

// Stats is what the cache has done, for metrics.
type Stats struct {
	Revision    int64
	Objects     map[schema.GroupResource]int // held, resources without any left out
	Watchers    int64                        // registered now
	Undecodable int                          // stored values that cannot be decoded, now

	History      int // events kept for watches that resume
	HistoryBytes int // what they keep in memory, about
	ReadyBytes   int // encoded objects kept for the next reader
	WaitingBytes int // kept by the events that wait for their readers

	Events  int64 // taken from the store
	Primed  int64 // of these, objects that a writer had deposited
	Decoded int64 // objects decoded
	Slow    int64 // watchers cut off
	Loads   int64 // times that the whole store was read
}

type counters struct {
	watchers, events, slow, loads atomic.Int64
}

// Stats returns the present numbers.
func (c *Cache) Stats() Stats {
	s := Stats{
		Revision: c.Revision(),
		Objects:  map[schema.GroupResource]int{},
		Watchers: c.counters.watchers.Load(),
		Events:   c.counters.events.Load(),
		Primed:   c.decoder.hits.Load(),
		Decoded:  c.decoder.decoded.Load(),
		Slow:     c.counters.slow.Load(),
		Loads:    c.counters.loads.Load(),
	}
	s.ReadyBytes = c.pool.Size()
	s.WaitingBytes = int(c.backlog.bytes.Load())
	for gr, st := range c.resources.layout.Load().resources {
		st.mu.RLock()
		s.History += st.log.len
		s.HistoryBytes += st.log.bytes
		if n := st.objects.Len(); n > 0 {
			s.Objects[gr] = n
		}
		st.mu.RUnlock()
	}
	s.Undecodable = len(c.decoder.failures.list(every))
	return s
}

// Size tells how many objects the cache has of a resource, and how many bytes their
// stored values are. It is not ok while they are not in the cache: nobody has asked
// for them yet, or there is no such resource. It takes the same time for any number.
func (c *Cache) Size(gr schema.GroupResource) (objects, bytes int, ok bool) {
	s := c.resources.layout.Load().resources[gr]
	if s == nil || !s.serving.Load() {
		return 0, 0, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.objects.Len(), s.held, true
}

// Failure is a stored value that cannot be decoded. The cache goes on with the
// state of the object before it, if there was one.
type Failure struct {
	Resource schema.GroupResource
	Key      string
	Revision int64
	Err      error
}

// Undecodable lists the stored values that cannot be decoded, by key, a
// thousand at most.
func (c *Cache) Undecodable() []Failure {
	all := c.decoder.failures.list(every)
	return all[:min(len(all), maxFailures)]
}

func every(Failure) bool { return true }

// Unreadable lists the objects of a resource whose present values the store cannot
// read (store.ErrUnreadable), by key: what the cache has of these is not what there is.
// They are tried again until they can be read. It costs next to nothing when there is
// none.
func (c *Cache) Unreadable(gr schema.GroupResource) []Failure {
	return c.decoder.failures.unreadable(gr)
}

// maxFailures bounds what is kept of values that no decoder takes. Those that the store
// cannot read are all kept: the cache must not answer as if they were not there.
const maxFailures = 1000

// failures are the present ones.
type failures struct {
	some  atomic.Bool // lets the usual case pass without the lock
	mu    sync.Mutex
	all   map[failureKey]Failure // guarded by mu
	noted chan struct{}          // of one: something unreadable was noted
}

type failureKey struct {
	resource schema.GroupResource
	key      string
}

// note keeps a failure and reports whether its key is new here.
func (f *failures) note(x Failure) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := failureKey{x.Resource, x.Key}
	_, known := f.all[k]
	unreadable := errors.Is(x.Err, store.ErrUnreadable)
	if !known && len(f.all) >= maxFailures && !unreadable { // what is not noted would be taken for gone
		return false
	}
	if f.all == nil {
		f.all = map[failureKey]Failure{}
	}
	f.all[k] = x
	f.some.Store(true)
	if unreadable {
		select {
		case f.noted <- struct{}{}:
		default: // whoever mends knows
		}
	}
	return !known
}

// unreadable are those of a resource, of all with the zero value, whose values the
// store cannot read, by key.
func (f *failures) unreadable(gr schema.GroupResource) []Failure {
	if !f.some.Load() {
		return nil
	}
	return f.list(func(x Failure) bool { return errors.Is(x.Err, store.ErrUnreadable) && (gr.Empty() || x.Resource == gr) })
}

func (f *failures) forget(gr schema.GroupResource, key string) {
	if !f.some.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, failureKey{gr, key})
	f.some.Store(len(f.all) > 0)
}

// forgetAll forgets those of a resource.
func (f *failures) forgetAll(gr schema.GroupResource) {
	if !f.some.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.all, func(k failureKey, _ Failure) bool { return k.resource == gr })
	f.some.Store(len(f.all) > 0)
}

func (f *failures) list(which func(Failure) bool) (out []Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		if which(x) {
			out = append(out, x)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}
