package registry

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Get reads one object: as new as any write that finished before the call,
// unless o names a resourceVersion.
func (c caller) Get(ctx context.Context, t Target, o metav1.GetOptions) (*watch.Object, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return nil, apierrors.NewMethodNotSupported(k.GR, "get")
	}
	if t.Name == "" {
		return nil, status.BadRequest("name must be provided")
	}
	rev, err := recent.ParseRevision(o.ResourceVersion)
	if err != nil {
		return nil, status.BadRequestf("invalid resource version: %v", err)
	}
	if err := c.core.views.Await(ctx, k, "get", o.ResourceVersion, rev); err != nil {
		return nil, err
	}
	obj := c.core.cache.Get(k.Cached, k.Scope(t.Namespace), t.Name)
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
	id := recent.IDOf(k.Definition, t.Namespace, t.Name)
	o := c.objects.Lookup(id)
	if o == nil {
		if o, err = c.objects.Refresh(ctx, id); err != nil {
			return nil, status.Store(k.GR, "get", t.Name, err)
		}
	}
	if o == nil {
		return nil, apierrors.NewNotFound(k.GR, t.Name)
	}
	return o, nil
}

// LatestAll are the newest states that this process knows of the objects of a
// resource, its own writes included, in order of their keys; t.Namespace "" is all
// namespaces. Like Latest it waits for nothing, and asks nobody.
//
// # Errors
//   - NotFound: there is no such resource
func (c *Core) LatestAll(ctx context.Context, t Target) ([]*watch.Object, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil || k.Virtual {
		return nil, err
	}
	var out []*watch.Object
	c.known(k, t.Namespace, func(o *watch.Object) bool {
		out = append(out, o)
		return true
	})
	slices.SortFunc(out, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Holds reports whether this process knows of an object of a resource in a
// namespace, of any with "" or when they have none. It looks in memory only.
//
// # Errors
//   - NotFound: there is no such resource
func (c *Core) Holds(ctx context.Context, gr schema.GroupResource, namespace string) (bool, error) {
	k, err := c.kindOf(ctx, Target{Resource: gr.WithVersion("")})
	if err != nil || k.Virtual {
		return false, err
	}
	found := false
	c.known(k, namespace, func(*watch.Object) bool {
		found = true
		return false
	})
	return found, nil
}

// known calls fn with what this process knows of a kind's objects in a namespace
// until it returns false: the cache's, and its own commits that the cache has not
// seen yet, those last.
func (c *Core) known(k *kinds.Kind, namespace string, fn func(*watch.Object) bool) {
	var newer map[string]*watch.Object
	if !c.objects.Seen(k.Definition) {
		newer = map[string]*watch.Object{}
		c.objects.Under(resource.Prefix(k.Definition, k.Scope(namespace)), func(key string, o *watch.Object) { newer[key] = o })
	}
	more := true
	c.cache.Snapshot(k.Cached).Ascend(k.Scope(namespace), "", func(o *watch.Object) bool {
		if _, ok := newer[o.Key]; !ok {
			more = fn(o)
		}
		return more
	})
	for _, o := range newer {
		if !more {
			return
		}
		if o != nil {
			more = fn(o)
		}
	}
}

// List answers a consistent view: as new as any write that finished before the
// call, unless o names a resourceVersion or continues another list.
func (c caller) List(ctx context.Context, t Target, o metav1.ListOptions) (*List, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return nil, apierrors.NewMethodNotSupported(k.GR, "list")
	}
	if err := selection.CheckOptions(o, false); err != nil {
		return nil, err
	}
	sel, err := selection.Parse(k.Selected(), k.KindIn(t.Resource.Version), k.Scope(t.Namespace), t.Name, o)
	if err != nil {
		return nil, err
	}
	return c.core.views.List(ctx, k, t.Namespace, sel, o)
}

// reader is resource.Reader over what this process knows: the cache and its
// own commits that the cache has not seen yet. Lists are in no order.
type reader struct{ c *Core }

// Reader gives kinds' hooks and built-in components read access to the cache.
func (c *Core) Reader() resource.Reader { return reader{c} }

func (r reader) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	k, err := r.c.kindOf(ctx, Target{Resource: gr.WithVersion("")})
	if err != nil {
		return nil, err
	}
	o := r.c.objects.Lookup(recent.IDOf(k.Definition, namespace, name))
	if o == nil {
		return nil, apierrors.NewNotFound(k.GR, name)
	}
	return o.Obj, nil
}

func (r reader) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	k, err := r.c.kindOf(ctx, Target{Resource: gr.WithVersion("")})
	if err != nil {
		return nil, err
	}
	out := make([]runtime.Object, 0, r.c.cache.Snapshot(k.Cached).Len(""))
	r.c.known(k, namespace, func(o *watch.Object) bool {
		out = append(out, o.Obj)
		return true
	})
	return out, nil
}
