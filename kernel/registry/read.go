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
	if t.Name == "" {
		return nil, status.BadRequest("name must be provided")
	}
	if k.Virtual {
		return c.core.getComputed(ctx, k, t)
	}
	if msgs := validName(t.Name, false); len(msgs) > 0 {
		return nil, status.BadRequestf("Name parameter invalid: %q: %s", t.Name, msgs[0])
	}
	rev, err := recent.AskedRevision(o.ResourceVersion)
	switch {
	case err != nil && k.Strategy.Uncached:
		return nil, status.BadRequestf("invalid resource version: %v", err)
	case err != nil:
		return nil, status.Plain(err)
	}
	if err := c.core.views.Await(ctx, k, "get", o.ResourceVersion, rev); err != nil {
		return nil, err
	}
	if err := c.core.readable(k, resource.Key(k.Definition, k.Scope(t.Namespace), t.Name)); err != nil {
		return nil, err
	}
	obj := c.core.cache.Get(k.Cached, k.Scope(t.Namespace), t.Name)
	if obj == nil {
		if err := c.core.served(k); err != nil {
			return nil, err
		}
		return nil, apierrors.NewNotFound(k.GR, t.Name)
	}
	return obj, nil
}

// readable refuses what the cache cannot answer truly: an object, or one of those below a
// prefix that ends with a slash, whose present value the store cannot read.
func (c *Core) readable(k *kinds.Kind, at string) error {
	for _, x := range c.cache.Unreadable(k.Cached) {
		if x.Key == at || strings.HasSuffix(at, "/") && strings.HasPrefix(x.Key, at) {
			return status.Store(k.GR, "get", "", x.Err)
		}
	}
	return nil
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

// CatchUp returns when Latest and what is beside it are as new as every write that
// finished before the call, of other servers too.
func (c *Core) CatchUp(ctx context.Context) error {
	return status.Store(schema.GroupResource{}, "read", "", c.objects.CatchUp(ctx))
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
	if err := selection.CheckOptions(o, false); err != nil {
		return nil, err
	}
	sel, o, outside, err := selected(k, t, o)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return c.core.listComputed(ctx, k, t, sel)
	}
	l, err := c.core.views.List(ctx, k, t.Namespace, sel, o)
	if gone := c.core.served(k); gone != nil {
		return nil, gone
	}
	if err == nil {
		err = c.core.readable(k, resource.Prefix(k.Definition, k.Scope(t.Namespace)))
	}
	if err != nil {
		return nil, err
	}
	if outside == nil {
		return l, err
	}
	some := *l
	some.Remaining = nil
	some.Items, err = outside.Items(ctx, l.Items)
	return &some, err
}

// computed is what there is of a virtual resource at the moment, by name. It is of
// no revision.
type computed []*watch.Object

func (computed) Revision() int64 { return 0 }

func (s computed) Ascend(namespace, after string, fn func(*watch.Object) bool) {
	for _, o := range s {
		if (namespace == "" || o.Namespace == namespace) && o.Key > after && !fn(o) {
			return
		}
	}
}

func (c *Core) compute(ctx context.Context, k *kinds.Kind, t Target, verb string) (computed, error) {
	tell := c.computed[k.GR]
	if tell == nil {
		return nil, apierrors.NewMethodNotSupported(k.GR, verb)
	}
	objs, err := tell(ctx, t)
	if err != nil {
		return nil, status.Store(k.GR, verb, "", err)
	}
	out := make(computed, 0, len(objs))
	for _, obj := range objs {
		m, err := accessor(obj)
		if err != nil {
			return nil, err
		}
		obj.GetObjectKind().SetGroupVersionKind(k.GVK)
		out = append(out, &watch.Object{Key: m.GetNamespace() + "/" + m.GetName(), Namespace: m.GetNamespace(), Name: m.GetName(), Obj: obj})
	}
	slices.SortFunc(out, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

func (c *Core) getComputed(ctx context.Context, k *kinds.Kind, t Target) (*watch.Object, error) {
	all, err := c.compute(ctx, k, t, "get")
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if o.Name == t.Name && o.Namespace == k.Scope(t.Namespace) {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: k.Group, Resource: k.Singular}, t.Name) // as upstream names it
}

func (c *Core) listComputed(ctx context.Context, k *kinds.Kind, t Target, sel *selection.Selection) (*List, error) {
	all, err := c.compute(ctx, k, t, "list")
	if err != nil {
		return nil, err
	}
	out := &List{Items: []*watch.Object{}}
	if sel.None() {
		return out, nil
	}
	sel.Ascend(all, "", func(o *watch.Object) bool {
		out.Items = append(out.Items, o)
		return true
	})
	return out, nil
}

// selected is what a list or a watch looks at, with the options that are left for it, and
// what is to be chosen of it afterwards; nil: all.
func selected(k *kinds.Kind, t Target, o metav1.ListOptions) (*selection.Selection, metav1.ListOptions, *selection.Outside, error) {
	parse := func(o metav1.ListOptions) (*selection.Selection, error) {
		return selection.Parse(k.Selected(), k.KindIn(t.Resource.Version), k.Scope(t.Namespace), t.Name, o)
	}
	sel, err := parse(o)
	rest, outside := selection.Split(k.Selected(), k.In(t.Resource.Version), o)
	if err == nil && outside != nil {
		sel, err = parse(rest)
	}
	return sel, rest, outside, err
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
