package registry

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
	newer := map[string]*watch.Object{}
	r.c.objects.Under(resource.Prefix(k.Definition, k.Scope(namespace)), func(key string, o *watch.Object) { newer[key] = o })
	s := r.c.cache.Snapshot(k.Cached)
	out := make([]runtime.Object, 0, s.Len("")+len(newer))
	s.Ascend(k.Scope(namespace), "", func(o *watch.Object) bool {
		if _, ok := newer[o.Key]; !ok {
			out = append(out, o.Obj)
		}
		return true
	})
	for _, o := range newer {
		if o != nil {
			out = append(out, o.Obj)
		}
	}
	return out, nil
}
