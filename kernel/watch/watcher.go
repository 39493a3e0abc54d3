package watch

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WatchOptions say what a watcher is told.
type WatchOptions struct {
	// After is the revision that the watcher knows already. 0 is the cache's
	// present one. A revision that is still to come is waited for.
	After  int64
	Filter Filter
	// Partial says that After may be the resourceVersion of an event whose
	// revision has more: a client cut off in the middle of a transaction cannot
	// know. If the filter selects several events of that revision, they are
	// told again. Only a reader of Next that has all of After's events, and
	// must not be told one twice, does without.
	Partial bool
	// Initial begins with the present objects as Added, then a bookmark with
	// InitialEnd, then what happens next. After is ignored.
	Initial bool
	// Bookmarks asks for a bookmark after a replay of past events and then
	// every Config.Bookmarks.
	Bookmarks bool
}

// Watch tells of every change of a resource after a revision (0: from now on)
// that passes the filter. It is WatchWith for the common case.
func (c *Cache) Watch(gr schema.GroupResource, after int64, f Filter) (*Watcher, error) {
	return c.WatchWith(gr, WatchOptions{After: after, Filter: f})
}

// WatchWith begins a watch. The caller must Stop it, or read it to its end.
//
// # Errors
//   - ErrTooOld: events after o.After are no longer kept
//   - ErrUnknown: no such resource, or it has no selectable fields
//   - ErrNotReady: also of a resource that was not loaded, see Load
//   - ErrStopped
func (c *Cache) WatchWith(gr schema.GroupResource, o WatchOptions) (*Watcher, error) {
	s := c.resources.state(gr)
	if s == nil {
		return nil, fmt.Errorf("watch %s: %w", gr, ErrUnknown)
	}
	if o.Filter.Field != "" && s.definition.Load().Strategy.Fields == nil {
		return nil, fmt.Errorf("watch %s by %s: %w: it has no selectable fields", gr, o.Filter.Field, ErrUnknown)
	}
	select {
	case <-c.progress.Ready():
	default:
		return nil, fmt.Errorf("watch %s: %w", gr, ErrNotReady)
	}
	if !s.serving.Load() {
		return nil, fmt.Errorf("watch %s, which is not loaded: %w", gr, ErrNotReady)
	}
	w := &Watcher{
		cache: c, state: s, filter: o.Filter, marked: o.Bookmarks,
		limit: c.config.Queue, wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if err := s.register(w, o); err != nil {
		return nil, fmt.Errorf("watch %s: %w", gr, err)
	}
	if o.Bookmarks {
		c.bookmarks.Add(w, w.ended)
	}
	c.counters.watchers.Add(1)
	return w, nil
}

// register decides, in one moment, what the watcher reads of the past and that
// it is told of everything after.
func (s *state) register(w *Watcher, o WatchOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.progress.Done():
		return ErrStopped
	default:
	}
	if s.removed {
		return ErrRemoved
	}
	now := s.at()
	switch {
	case o.Initial:
		past := s.snapshotLocked()
		w.past = &snapshotReader{snapshot: past, filter: &w.filter}
		w.after = now
	case o.After == 0:
		w.after = now
	default:
		events, err := s.since(&o)
		if err != nil {
			return err
		}
		w.after = max(now, o.After)
		w.again = o.Partial && o.After > now
		// A bookmark at a revision that is still to come would promise it.
		mark := o.Bookmarks && !w.again
		if mark || len(events) > 0 {
			w.past = &logReader{state: s, filter: &w.filter, events: events, end: w.after, mark: mark}
		}
	}
	s.index.add(w)
	return nil
}

// since returns the logged events that a watcher has not seen for certain.
func (s *state) since(o *WatchOptions) ([]Event, error) {
	events, ok := s.log.after(o.After)
	if !ok || o.Partial && o.After == s.log.floor && s.log.shared {
		return nil, fmt.Errorf("%w: %d, kept are those after %d", ErrTooOld, o.After, s.log.floor)
	}
	if !o.Partial || o.After == s.log.floor {
		return events, nil
	}
	again, _ := s.log.after(o.After - 1)
	seen := 0
	for _, e := range again[:len(again)-len(events)] {
		v := newView(s, e)
		if _, ok := v.selectedBy(&o.Filter); ok {
			seen++
		}
	}
	if seen > 1 {
		return again, nil
	}
	return events, nil
}

// Resumable tells whether a watch can begin at the present revision of a
// resource, Partial set: not when that revision may have several events which
// are no longer kept, as after a restart. The next change of anything in the
// store ends that.
func (c *Cache) Resumable(gr schema.GroupResource) bool {
	s := c.resources.state(gr)
	if s == nil {
		return true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.log.shared || s.at() > s.log.floor
}

// Watcher receives the events of a watch. One goroutine reads it, either by
// Next or by Events. Stop may be called from any.
type Watcher struct {
	cache  *Cache
	state  *state
	filter Filter
	after  int64 // events up to here are of no interest
	// again: after is still to come and the reader may know part of it only.
	// Run's goroutine's once the watcher is registered.
	again  bool
	marked bool // in cache.bookmarks
	limit  int

	bucket *bucket // guarded by state.mu
	place  int     // guarded by state.mu

	pending []Event // of the batch being applied; Run's goroutine's

	past  past    // what is left of the past; the reader's
	spare []Event // the slice that Next returned last; the reader's

	mu      sync.Mutex
	queue   []Event // guarded by mu
	waiting int64   // what the queue keeps in memory; guarded by mu
	lent    lent    // guarded by mu
	over    bool    // guarded by mu
	err     error   // guarded by mu
	// last ends the watch once everything before has been read: nothing comes any
	// more. Guarded by mu.
	last error

	wake  chan struct{} // holds a token when the queue may have grown
	ended chan struct{} // closed with over

	pumping sync.Once
	out     chan Event
}

// keep is the largest queue, in events, that an idle watcher holds on to.
const keep = 256

// Next waits until there is something to tell and returns all of it, in order:
// never a part of a revision's events. The slice is the reader's until its next
// call of Next.
//
// # Errors
//   - ErrSlow, ErrTooOld, ErrStopped, ErrRemoved: the watch has ended, for good
//   - ctx's error
func (w *Watcher) Next(ctx context.Context) ([]Event, error) {
	w.recycle()
	for {
		events, err := w.poll()
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-w.wake:
		case <-w.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// poll returns what there is: of the past first, then of the queue.
func (w *Watcher) poll() ([]Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		if w.err == nil {
			return nil, ErrStopped
		}
		return nil, w.err
	}
	for w.past != nil {
		w.mu.Unlock() // filters run outside the lock
		events, more := w.past.read(w.spare[:0])
		if w.spare = events; !more {
			w.past = nil
		}
		w.mu.Lock()
		if len(events) > 0 {
			return events, nil
		}
	}
	if len(w.queue) == 0 && w.last != nil {
		w.endLocked(w.last)
		return nil, w.last
	}
	w.lend()
	events := w.queue
	w.queue, w.spare = w.spare[:0], events
	return events, nil
}

// recycle makes the slice of the last call ready for use again.
func (w *Watcher) recycle() {
	w.mu.Lock()
	w.giveBack()
	w.mu.Unlock()
	clear(w.spare)
	if w.spare = w.spare[:0]; cap(w.spare) > keep {
		w.spare = nil
	}
}

// Events returns the events one by one, for readers that prefer a channel. It
// closes when the watch ends.
func (w *Watcher) Events() <-chan Event {
	w.pumping.Do(func() {
		w.out = make(chan Event, 16)
		go w.pump()
	})
	return w.out
}

func (w *Watcher) pump() {
	defer close(w.out)
	for {
		events, err := w.Next(context.Background())
		if err != nil {
			return
		}
		for _, e := range events {
			select {
			case w.out <- e:
			case <-w.ended:
				return
			}
		}
	}
}

// Err says why the watch ended: ErrSlow, ErrTooOld, ErrStopped when the cache
// has, ErrRemoved when the resource is gone from the catalog, nil after Stop and while the watch goes on.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Stop ends the watch. What has not been read is dropped. It may be called
// more than once.
func (w *Watcher) Stop() {
	w.end(nil)
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	w.state.index.remove(w)
}

// finish ends the watch when its reader has come to the end of what there is to
// tell. The watcher is out of the index already.
func (w *Watcher) finish(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.last != nil {
		return
	}
	w.last = err
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// end ends the watch without taking the watcher out of the index.
func (w *Watcher) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked(err)
}

func (w *Watcher) endLocked(err error) {
	if w.over {
		return
	}
	w.lend()
	w.giveBack()
	w.over, w.err, w.queue = true, err, nil
	close(w.ended)
	w.cache.counters.watchers.Add(-1)
	if w.marked {
		w.cache.bookmarks.Remove(w)
	}
}

// wants tells whether an event of a revision may be of interest.
func (w *Watcher) wants(rev int64) bool { return rev > w.after || w.again && rev == w.after }

// arrived decides what of the revision after, which has come now, is sent: all
// of its events if there are several, none if the reader has seen the only one.
// A revision comes whole, in one batch.
func (w *Watcher) arrived() {
	w.again = false
	n := 0
	for n < len(w.pending) && w.pending[n].Revision <= w.after && w.pending[n].Type != Bookmark {
		n++
	}
	if n == 1 {
		w.pending = slices.Delete(w.pending, 0, 1)
	}
}

// push adds an event of the batch being applied. Only Run's goroutine pushes.
func (w *Watcher) push(e Event, out *fanout) {
	if len(w.pending) == 0 {
		out.touched = append(out.touched, w)
	}
	w.pending = append(w.pending, e)
}

// flush queues what was pushed and wakes the reader, or cuts the watcher off,
// which it reports, when that is more than the queue takes. It never blocks.
func (w *Watcher) flush() (cut bool) {
	if w.again {
		w.arrived()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over, len(w.pending) == 0:
	case len(w.queue)+len(w.pending) > w.limit:
		w.endLocked(fmt.Errorf("%w: %d events behind", ErrSlow, len(w.queue)))
		w.cache.counters.slow.Add(1)
		cut = true
	default:
		w.queue = append(w.queue, w.pending...)
		w.waiting += w.cache.backlog.take(w.pending)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	clear(w.pending)
	if w.pending = w.pending[:0]; cap(w.pending) > keep {
		w.pending = nil
	}
	return cut
}
