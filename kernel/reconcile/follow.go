package reconcile

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// retryPause is the pause before a list or a watch that failed is tried again.
const retryPause = 200 * time.Millisecond

// follower delivers every change of a resource, beginning with what is there.
// A watch that ends is resumed behind the last revision delivered; when that
// is no longer possible the difference is found by a new list, so that every
// deletion is delivered too.
type follower struct {
	reg    registry.Registry
	target registry.Target
	clock  clock.WithDelayedExecution
	// event is told of each change, in order.
	event func(watch.Event)
	// caught, which may be nil, is told how far event has been told everything:
	// first when all that was there at the beginning has been delivered.
	caught func(rev int64)

	known roomy[string, *watch.Object]
	rev   int64

	refreshing chan struct{} // holds a token when a new list was asked for
}

func newFollower(reg registry.Registry, c clock.WithDelayedExecution, gvr schema.GroupVersionResource, event func(watch.Event), caught func(int64)) *follower {
	return &follower{reg: reg, target: registry.Target{Resource: gvr}, clock: c, event: event, caught: caught, refreshing: make(chan struct{}, 1)}
}

// refresh asks for a new list, for those who wait for a revision that no event
// of the resource may ever reach.
func (f *follower) refresh() {
	select {
	case f.refreshing <- struct{}{}:
	default:
	}
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-f.refreshing: // the list that comes now is new enough
		default:
		}
		if f.list(ctx) == nil && f.watch(ctx) {
			continue
		}
		f.pause(ctx)
	}
}

func (f *follower) pause(ctx context.Context) {
	t := f.clock.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}

// list delivers the difference between what is known and what is there.
func (f *follower) list(ctx context.Context) error {
	l, err := f.reg.List(ctx, f.target, metav1.ListOptions{})
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(l.Items))
	for _, o := range l.Items {
		seen[o.Key] = true
	}
	// Deletions first: a name may be in use again.
	for key, old := range f.known.m {
		if !seen[key] {
			f.deliver(watch.Event{Type: watch.Deleted, Revision: l.Revision, Object: old, Prev: old})
		}
	}
	for _, o := range l.Items {
		switch old := f.known.m[o.Key]; {
		case old == nil:
			f.deliver(watch.Event{Type: watch.Added, Revision: o.Revision, Object: o})
		case old.Revision != o.Revision:
			f.replaced(old, o)
		}
	}
	f.reached(l.Revision)
	return nil
}

// replaced delivers a change found by a list. Another uid is another object:
// the deletion of the one before was missed.
func (f *follower) replaced(old, now *watch.Object) {
	if uidOf(old) != uidOf(now) {
		f.deliver(watch.Event{Type: watch.Deleted, Revision: now.Revision, Object: old, Prev: old})
		f.deliver(watch.Event{Type: watch.Added, Revision: now.Revision, Object: now})
		return
	}
	f.deliver(watch.Event{Type: watch.Modified, Revision: now.Revision, Object: now, Prev: old})
}

func (f *follower) deliver(e watch.Event) {
	if e.Type == watch.Deleted {
		f.known.drop(e.Object.Key)
	} else {
		f.known.set(e.Object.Key, e.Object)
	}
	f.event(e)
}

func (f *follower) reached(rev int64) {
	f.rev = max(f.rev, rev)
	if f.caught != nil {
		f.caught(f.rev)
	}
}

// watch delivers events behind the last known revision until the watch cannot
// be resumed there, or, and then it answers true, a new list was asked for.
func (f *follower) watch(ctx context.Context) (refresh bool) {
	ctx, cancel := context.WithCancel(ctx)
	var asked atomic.Bool
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-f.refreshing:
			asked.Store(true)
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-over }()
	for ctx.Err() == nil {
		o := metav1.ListOptions{ResourceVersion: strconv.FormatInt(f.rev, 10), AllowWatchBookmarks: true}
		w, err := f.reg.Watch(ctx, f.target, o)
		if err != nil {
			break // too old, or not to be had: list again
		}
		whole := f.read(ctx, w)
		w.Stop()
		if !whole {
			break
		}
	}
	return asked.Load()
}

// read delivers events until the watch ends, and tells whether it ended
// between two revisions.
func (f *follower) read(ctx context.Context, w registry.Watcher) (whole bool) {
	if b, ok := w.(registry.BatchWatcher); ok {
		for {
			events, err := b.Next(ctx)
			if err != nil {
				return true
			}
			f.take(events)
			f.reached(events[len(events)-1].Revision)
		}
	}
	for e := range w.Events() {
		f.take([]watch.Event{e})
		f.reached(e.Revision - 1) // more of this revision may follow
	}
	return false
}

func (f *follower) take(events []watch.Event) {
	for _, e := range events {
		if e.Type == watch.Bookmark || e.Object == nil {
			continue
		}
		if e.Prev == nil {
			e.Prev = f.known.m[e.Object.Key]
		}
		f.deliver(e)
	}
}
