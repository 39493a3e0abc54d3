package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Get reads one object: as new as any write that finished before the call,
// unless o names a resourceVersion.
func (c caller) Get(ctx context.Context, t Target, o metav1.GetOptions) (*watch.Object, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return nil, apierrors.NewMethodNotSupported(k.GR, "get")
	}
	if t.Name == "" {
		return nil, status.BadRequest("name must be provided")
	}
	rev, err := parseRevision(o.ResourceVersion)
	if err != nil {
		return nil, status.BadRequestf("invalid resource version: %v", err)
	}
	if err := c.await(ctx, k, "get", o.ResourceVersion, rev); err != nil {
		return nil, err
	}
	obj := c.cache.Get(k.Cached, k.Scope(t.Namespace), t.Name)
	if obj == nil {
		return nil, apierrors.NewNotFound(k.GR, t.Name)
	}
	return obj, nil
}

// Latest is the newest state of an object that this process knows, its own
// writes included, and waits for nothing. What seems to be missing is looked
// for in the store. It serves rules that stand in the way of other requests.
//
// # Errors
//   - NotFound
func (c *Core) Latest(ctx context.Context, t Target) (*watch.Object, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual || t.Name == "" {
		return nil, apierrors.NewNotFound(k.GR, t.Name)
	}
	key := k.Key(k.Scope(t.Namespace), t.Name)
	o := c.lookup(k, key, t.Namespace, t.Name)
	if o == nil {
		if o, err = c.refresh(ctx, k, key, t.Namespace, t.Name); err != nil {
			return nil, status.Store(k.GR, "get", t.Name, err)
		}
	}
	if o == nil {
		return nil, apierrors.NewNotFound(k.GR, t.Name)
	}
	return o, nil
}

// await returns when the cache is as new as a read's resourceVersion asks: ""
// is now, "0" anything, a number at least that.
func (c *Core) await(ctx context.Context, k *kinds.Kind, verb, rv string, rev int64) error {
	switch rv {
	case "":
		now, err := c.revisions.Get(ctx)
		if err != nil {
			return status.Store(k.GR, verb, "", err)
		}
		return status.Store(k.GR, verb, "", c.cache.WaitFor(ctx, now))
	case "0":
		return status.Store(k.GR, verb, "", c.ready(ctx))
	}
	wait, cancel := context.WithTimeout(ctx, waitForRevision)
	defer cancel()
	err := c.cache.WaitFor(wait, rev)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return status.TooLargeRevision(rev, c.cache.Revision())
	}
	return status.Store(k.GR, verb, "", err)
}

// advanceKey belongs to no resource.
const advanceKey = "/pintle/advance"

// beginning awaits what a list answers, or a watch begins with. Without a
// resourceVersion, that is a revision at which a watch can go on: where it
// cannot, because the last revision was of several objects and this server has
// not seen their changes happen, the store is moved on by one. A reader would
// be told again and again that the list it has just made is too old.
func (c *Core) beginning(ctx context.Context, k *kinds.Kind, verb, rv string, rev int64) error {
	if err := c.await(ctx, k, verb, rv, rev); err != nil || rv != "" || c.cache.Resumable(k.Cached) {
		return err
	}
	next, err := c.store.Commit(ctx, []store.Op{{Key: advanceKey, Value: []byte("1"), Expect: store.Any}})
	if err != nil {
		return nil //nolint:nilerr // a store that takes no writes still has a list to answer
	}
	return status.Store(k.GR, verb, "", c.cache.WaitFor(ctx, next))
}

// ready waits until the cache has loaded.
func (c *Core) ready(ctx context.Context) error {
	select {
	case <-c.cache.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
