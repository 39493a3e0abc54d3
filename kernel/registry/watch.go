package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Watch tells of changes. Without a resourceVersion, or with "0", it begins
// with the present objects as additions, unless sendInitialEvents says no.
// With sendInitialEvents and bookmarks, a bookmark with InitialEnd follows the
// present objects, and no bookmark comes before it.
//
// The watch ends with ctx. What it returns implements [BatchWatcher] too.
func (c caller) Watch(ctx context.Context, t Target, o metav1.ListOptions) (Watcher, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return nil, apierrors.NewMethodNotSupported(k.GR, "watch")
	}
	if err := selection.CheckOptions(o, true); err != nil {
		return nil, err
	}
	sel, o, outside, err := selected(k, t, o)
	if err != nil {
		return nil, err
	}
	rev, err := recent.AskedRevision(o.ResourceVersion)
	if err != nil {
		return nil, status.Plain(err)
	}
	opts := watch.WatchOptions{Bookmarks: o.AllowWatchBookmarks, Filter: sel.Filter()}
	opts.Initial = rev == 0
	if o.SendInitialEvents != nil {
		opts.Initial = *o.SendInitialEvents
	}
	if opts.Initial || rev == 0 {
		if err := c.core.views.Beginning(ctx, k, "watch", o.ResourceVersion, rev); err != nil {
			return nil, err
		}
		if err := c.core.readable(k, resource.Prefix(k.Definition, k.Scope(t.Namespace))); err != nil {
			return nil, err
		}
	} else {
		// Clients know the resourceVersion of the last event that they read, not
		// whether its revision had more.
		opts.After, opts.Partial = rev, true
		if err := c.core.views.Ready(ctx, k, "watch"); err != nil {
			return nil, err
		}
	}
	w, err := c.core.cache.WatchWith(k.Cached, opts)
	if errors.Is(err, watch.ErrRemoved) || errors.Is(err, watch.ErrUnknown) {
		return nil, status.UnknownResource(t.Resource.GroupResource())
	}
	if err != nil {
		return nil, watchError(k, rev, err)
	}
	out := &watcher{w: w, k: k, after: rev, bookmarks: o.AllowWatchBookmarks, stopped: make(chan struct{}),
		initialEnd: o.SendInitialEvents != nil && *o.SendInitialEvents && o.AllowWatchBookmarks}
	if outside != nil {
		out.choose = func(events []watch.Event) ([]watch.Event, error) { return outside.Events(ctx, events) }
	}
	out.release = context.AfterFunc(ctx, out.end)
	return out, nil
}

func watchError(k *kinds.Kind, rev int64, err error) error {
	switch {
	case err == nil, status.Is(err):
		return err
	case errors.Is(err, watch.ErrRemoved):
		return nil // it ends, as upstream's does: there is nothing to tell
	case errors.Is(err, watch.ErrTooOld):
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", rev))
	case errors.Is(err, watch.ErrSlow):
		return apierrors.NewTimeoutError("the watcher is too slow and was cut off", 1)
	case errors.Is(err, watch.ErrNotReady), errors.Is(err, watch.ErrStopped):
		return apierrors.NewServiceUnavailable(err.Error())
	}
	return status.Store(k.GR, "watch", "", err)
}

// BatchWatcher is a Watcher that is cheaper to read in batches, without a
// goroutine of its own. Use either Next or Events.
type BatchWatcher interface {
	Watcher
	// Next waits for events and returns them in order. The slice is the
	// caller's until the next call.
	//
	// # Errors
	//   - what Err answers; nil events and a nil error never come together
	//   - ctx's error
	//   - io.EOF is not used: a stopped watch answers watch.ErrStopped
	Next(ctx context.Context) ([]watch.Event, error)
}

type watcher struct {
	w          *watch.Watcher
	k          *kinds.Kind
	after      int64
	bookmarks  bool
	initialEnd bool
	// choose leaves of events what the client has in view; nil: all. It may ask somebody
	// outside, and its error ends the watch.
	choose  func([]watch.Event) ([]watch.Event, error)
	failed  atomic.Pointer[error] // what choose failed with
	release func() bool
	stopped chan struct{} // closed by end

	ending, pumping sync.Once
	out             chan watch.Event
}

func (w *watcher) Next(ctx context.Context) ([]watch.Event, error) {
	for {
		events, err := w.w.Next(ctx)
		if err != nil {
			if end := w.Err(); end != nil {
				return nil, end
			}
			return nil, err
		}
		events = w.admit(events)
		if w.choose != nil {
			if events, err = w.choose(events); err != nil {
				w.failed.Store(&err)
				w.end()
				return nil, err
			}
		}
		if len(events) > 0 {
			return events, nil
		}
	}
}

// admit drops the bookmarks that the client did not ask for, in place.
func (w *watcher) admit(events []watch.Event) []watch.Event {
	kept := events[:0]
	for _, e := range events {
		if e.Type == watch.Bookmark {
			if !w.bookmarks {
				continue
			}
			e.InitialEnd = e.InitialEnd && w.initialEnd
		}
		kept = append(kept, e)
	}
	return kept
}

func (w *watcher) Events() <-chan watch.Event {
	w.pumping.Do(func() {
		w.out = make(chan watch.Event, 16)
		go w.pump()
	})
	return w.out
}

// pump ends with the watch: Stop and the ctx of Watch end it even when nobody
// reads.
func (w *watcher) pump() {
	defer close(w.out)
	for {
		events, err := w.Next(context.Background())
		if err != nil {
			return
		}
		for _, e := range events {
			select {
			case w.out <- e:
			case <-w.stopped:
				return
			}
		}
	}
}

func (w *watcher) Err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return watchError(w.k, w.after, w.w.Err())
}

func (w *watcher) Stop() {
	w.release()
	w.end()
}

func (w *watcher) end() {
	w.ending.Do(func() { close(w.stopped) })
	w.w.Stop()
}

var _ BatchWatcher = (*watcher)(nil)
