package informer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Source is what an Informer needs of the registry.
type Source interface {
	List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error)
	Watch(ctx context.Context, t registry.Target, o metav1.ListOptions) (registry.Watcher, error)
}

// Handler is told of everything, in order and by one goroutine. While it works
// nothing more is read; one that takes too long has its watch cut off, which is
// then resumed. It must return when ctx ends. Objects are shared with the watch
// cache; slices are the handler's until it returns.
type Handler interface {
	// Replace hands over all objects there are, at one revision. It comes first,
	// and again whenever a watch could not be resumed: what was handed over
	// before and is not in the list is gone.
	Replace(ctx context.Context, l *registry.List)
	// Apply hands over changes, in the order of revisions, no bookmarks. After a
	// watch was resumed, those of the last revision may come again when there
	// were several.
	Apply(ctx context.Context, events []watch.Event)
}

// Between two tries to list or to watch. The longest is short: what waits here
// is in the same process as the cache that it waits for.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Config is what an Informer is made of.
type Config struct {
	// Name says in the log and in metrics who follows: "scheduler".
	Name     string
	Registry Source
	// Target is the resource, and the namespace when it is not all of them.
	Target registry.Target
	// Labels and Fields select, when they are not empty.
	Labels, Fields string
	Handler        Handler
	Clock          clock.Clock  // nil is the real one
	Metrics        *Metrics     // nil counts nothing
	Log            *slog.Logger // nil discards
}

// Informer follows one resource. It is safe for concurrent use.
type Informer struct {
	c        Config
	retry    *backoff.Retry
	progress progress
	refresh  refresh
	finish   finish

	// Run's own: where a watch goes on, 0 when a list is needed; that the last one
	// told nothing before its revision was gone; and when it ended.
	from  int64
	vain  bool
	ended time.Time // the last watch, or the pause after it

	lists, watches, resume atomic.Int64
	failures               atomic.Int64
}

// New makes an Informer. Nothing is asked before Run.
func New(c Config) *Informer {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Informer{c: c, retry: backoff.New(firstPause, maxPause), progress: newProgress(), finish: finish{asked: make(chan struct{})}}
}

// Run follows until ctx ends, or until there is nothing more to tell after Finish. It
// is called once.
func (i *Informer) Run(ctx context.Context) {
	defer i.c.Metrics.join(i)()
	for ctx.Err() == nil && !i.finish.is() {
		if i.from == 0 {
			if err := i.list(ctx); err != nil {
				i.pause(ctx, fmt.Errorf("list %s: %w", i.c.Target.Resource.Resource, err))
				continue
			}
		}
		told, err := i.watch(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errRefresh):
			i.from = 0
		case gone(err):
			i.from = 0
			// It waits like a failure only when the list before it was of no use
			// either; else a moment, as everybody's revision may be gone at once.
			i.interrupted(ctx, err, i.vain)
			i.vain = !told
		default: // cut off because the handler was slow, ended, or failed
			i.resume.Add(1)
			i.interrupted(ctx, err, !told)
		}
	}
}

// interrupted is told of a watch that ended. Going on waits long if it must, or if
// the watch before this one ended a moment ago too: one that ends behind every
// event would cost a list, or a watch, for each.
func (i *Informer) interrupted(ctx context.Context, err error, wait bool) {
	now := i.c.Clock.Now()
	again := !i.ended.IsZero() && now.Sub(i.ended) < firstPause
	i.ended = now
	err = fmt.Errorf("watch %s: %w", i.c.Target.Resource.Resource, err)
	if wait || again {
		i.pause(ctx, err)
		i.ended = i.c.Clock.Now()
		return
	}
	i.c.Log.Debug("a watch ended and is begun again", "informer", i.c.Name, "error", err)
	if i.from == 0 {
		i.failures.Add(1)
		i.sleep(ctx, rand.N(firstPause))
		i.ended = i.c.Clock.Now()
	}
}

// errRefresh ends a watch because a new list was asked for.
var errRefresh = errors.New("a new list was asked for")

func gone(err error) bool { return apierrors.IsGone(err) || apierrors.IsResourceExpired(err) }

// Refresh asks for a new list, for those who wait for a revision that no event
// of the resource may ever reach.
func (i *Informer) Refresh() { i.refresh.ask() }

func (i *Informer) pause(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	i.failures.Add(1)
	if apierrors.IsNotFound(err) {
		// The kind went, and whoever has this informer is about to learn of it.
		i.c.Log.Debug("a resource is not there", "informer", i.c.Name, "error", err)
		i.sleep(ctx, i.retry.Again())
		return
	}
	i.sleep(ctx, i.retry.Failed(i.c.Log, "following a resource is interrupted", err, "informer", i.c.Name))
}

func (i *Informer) sleep(ctx context.Context, d time.Duration) {
	t := i.c.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
	case <-i.finish.asked:
	case <-ctx.Done():
	}
}

func (i *Informer) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: i.c.Labels, FieldSelector: i.c.Fields}
}

func (i *Informer) list(ctx context.Context) error {
	i.refresh.granted() // the list that comes now is new enough
	i.lists.Add(1)
	l, err := i.c.Registry.List(ctx, i.c.Target, i.options())
	if err != nil {
		return err
	}
	i.c.Handler.Replace(ctx, l)
	if ctx.Err() != nil {
		return ctx.Err() // the handler may not have taken it
	}
	i.from = l.Revision
	i.progress.reach(l.Revision)
	return nil
}

// watch hands over what comes behind i.from until the watch ends, and says why
// it did and whether it told anything.
func (i *Informer) watch(ctx context.Context) (told bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	i.refresh.during(cancel)
	defer i.refresh.during(nil)
	o := i.options()
	o.ResourceVersion, o.AllowWatchBookmarks = strconv.FormatInt(i.from, 10), true
	i.watches.Add(1)
	w, err := i.c.Registry.Watch(ctx, i.c.Target, o)
	if err == nil {
		told, err = i.read(ctx, w)
		w.Stop()
	}
	if cause := context.Cause(ctx); errors.Is(cause, errRefresh) {
		err = cause
	}
	return told, err
}

func (i *Informer) read(ctx context.Context, w registry.Watcher) (told bool, err error) {
	b, ok := w.(registry.BatchWatcher)
	if !ok {
		return i.readOne(ctx, w)
	}
	for {
		events, err := b.Next(ctx)
		if err != nil {
			return told, err
		}
		rev := events[len(events)-1].Revision
		if !i.apply(ctx, events, rev, rev) {
			return told, ctx.Err()
		}
		told = true
	}
}

// readOne reads a watcher that has no batches: more events of the revision of
// the last one may follow.
func (i *Informer) readOne(ctx context.Context, w registry.Watcher) (told bool, err error) {
	for e := range w.Events() {
		if !i.apply(ctx, []watch.Event{e}, e.Revision, e.Revision-1) {
			return told, ctx.Err()
		}
		told = true
	}
	if err = w.Err(); err == nil {
		err = errEnded
	}
	return told, err
}

var errEnded = errors.New("it ended")

// apply hands over events; a watch goes on behind from, and everything up to
// whole has been told. It reports whether the handler has taken them.
func (i *Informer) apply(ctx context.Context, events []watch.Event, from, whole int64) bool {
	changes := events[:0]
	for _, e := range events {
		if e.Type != watch.Bookmark && e.Object != nil {
			changes = append(changes, e)
		}
	}
	if len(changes) > 0 {
		i.c.Handler.Apply(ctx, changes)
	}
	if ctx.Err() != nil {
		return false
	}
	i.from, i.vain = max(i.from, from), false
	i.progress.reach(whole)
	i.retry.Succeeded(i.c.Log, "informer", i.c.Name)
	return true
}
