// Package view answers which state a read sees: the present one, as new as any
// write that finished before; one at least as new as a revision that the client
// names; or the past, page by page, from a snapshot that is kept or from the
// store's history.
//
// It selects nothing by itself (kernel/registry/selection) and knows no verb and no
// identity. The one thing that it ever writes is a key of its own, so that a watch
// can begin where a list ended. Start reading at [Views.Await] and [Views.List].
package view

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Cache is what Views need of the watch cache.
type Cache interface {
	Revision() int64
	Ready() <-chan struct{}
	WaitFor(ctx context.Context, revision int64) error
	Resumable(gr schema.GroupResource) bool
	Snapshot(gr schema.GroupResource) watch.Snapshot
}

// Store is what Views need of the store: its history, and to move it on.
type Store interface {
	List(ctx context.Context, prefix string, o store.ListOptions) (kvs []store.KV, more bool, revision int64, err error)
	Commit(ctx context.Context, ops []store.Op) (revision int64, err error)
}

// Views are the states of one cache and its store. They are safe for concurrent
// use.
type Views struct {
	cache   Cache
	store   Store
	objects *recent.Objects
	pages   *selection.Pages
}

// New makes Views.
func New(cache Cache, from Store, objects *recent.Objects, c clock.PassiveClock) *Views {
	return &Views{cache: cache, store: from, objects: objects, pages: selection.NewPages(c)}
}

// waitForRevision is how long a read waits for a revision that the client
// named and this server has not seen; upstream's.
const waitForRevision = 3 * time.Second

// Await returns when the cache is as new as a read's resourceVersion asks: ""
// is now, "0" anything, a number (rev) at least that.
func (v *Views) Await(ctx context.Context, k *kinds.Kind, verb, rv string, rev int64) error {
	switch rv {
	case "":
		return status.Store(k.GR, verb, "", v.objects.CatchUp(ctx))
	case "0":
		return v.Ready(ctx, k, verb)
	}
	wait, cancel := context.WithTimeout(ctx, waitForRevision)
	defer cancel()
	err := v.cache.WaitFor(wait, rev)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return status.TooLargeRevision(rev, v.cache.Revision())
	}
	return status.Store(k.GR, verb, "", err)
}

// advanceKey belongs to no resource.
const advanceKey = "/pintle/advance"

// Beginning awaits what a list answers, or a watch begins with. Without a
// resourceVersion, that is a revision at which a watch can go on: where it
// cannot, because the last revision was of several objects and this server has
// not seen their changes happen, the store is moved on by one. A reader would
// be told again and again that the list it has just made is too old.
func (v *Views) Beginning(ctx context.Context, k *kinds.Kind, verb, rv string, rev int64) error {
	if err := v.Await(ctx, k, verb, rv, rev); err != nil || rv != "" || v.cache.Resumable(k.Cached) {
		return err
	}
	next, err := v.store.Commit(ctx, []store.Op{{Key: advanceKey, Value: []byte("1"), Expect: store.Any}})
	if err != nil {
		return nil // a store that takes no writes still has a list to answer
	}
	return status.Store(k.GR, verb, "", v.cache.WaitFor(ctx, next))
}

// Ready waits until the cache has loaded.
func (v *Views) Ready(ctx context.Context, k *kinds.Kind, verb string) error {
	select {
	case <-v.cache.Ready():
		return nil
	case <-ctx.Done():
		return status.Store(k.GR, verb, "", ctx.Err())
	}
}

// Trim lets go of snapshots for pages that nobody asks for.
func (v *Views) Trim() { v.pages.Trim() }
