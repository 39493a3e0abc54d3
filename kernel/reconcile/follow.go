package reconcile

import (
	"context"
	"errors"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// retryPause is the pause before a watch that ended is begun again.
const retryPause = 200 * time.Millisecond

// follow delivers every change of a resource to fn, beginning with what is
// there, until ctx ends. A watch that breaks is resumed; when that is no
// longer possible the difference is found by a new list, so that fn sees every
// deletion. synced, which may be nil, is called once everything that was there
// at first has been delivered.
func follow(ctx context.Context, reg registry.Registry, gvr schema.GroupVersionResource, fn func(watch.Event), synced func()) {
	f := &follower{reg: reg, target: registry.Target{Resource: gvr}, fn: fn, known: map[string]*watch.Object{}}
	for ctx.Err() == nil {
		err := f.list(ctx)
		if err == nil {
			if synced != nil {
				synced()
				synced = nil
			}
			f.watch(ctx)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

type follower struct {
	reg    registry.Registry
	target registry.Target
	fn     func(watch.Event)
	known  map[string]*watch.Object
	rev    int64
}

// list delivers the difference between what is known and what is there.
func (f *follower) list(ctx context.Context) error {
	l, err := f.reg.List(ctx, f.target, metav1.ListOptions{})
	if err != nil {
		return err
	}
	f.rev = l.Revision
	seen := make(map[string]bool, len(l.Items))
	for _, o := range l.Items {
		seen[o.Key] = true
		switch old := f.known[o.Key]; {
		case old == nil:
			f.deliver(watch.Event{Type: watch.Added, Revision: o.Revision, Object: o})
		case old.Revision != o.Revision:
			f.deliver(watch.Event{Type: watch.Modified, Revision: o.Revision, Object: o, Prev: old})
		}
	}
	for key, old := range f.known {
		if !seen[key] {
			f.deliver(watch.Event{Type: watch.Deleted, Revision: l.Revision, Object: old, Prev: old})
		}
	}
	return nil
}

func (f *follower) deliver(e watch.Event) {
	if e.Type == watch.Deleted {
		delete(f.known, e.Object.Key)
	} else {
		f.known[e.Object.Key] = e.Object
	}
	f.fn(e)
}

// watch delivers events from the last known revision on until the watch
// cannot be resumed.
func (f *follower) watch(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := f.reg.Watch(ctx, f.target, metav1.ListOptions{ResourceVersion: strconv.FormatInt(f.rev, 10), AllowWatchBookmarks: true})
		if err != nil {
			return
		}
		for e := range w.Events() {
			f.rev = max(f.rev, e.Revision)
			if e.Type != watch.Bookmark && e.Object != nil {
				if e.Prev == nil {
					e.Prev = f.known[e.Object.Key]
				}
				f.deliver(e)
			}
		}
		err = w.Err()
		w.Stop()
		if err != nil && !errors.Is(err, context.Canceled) {
			return // too slow, or too old: list again
		}
	}
}
