package registry

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// addCompanions adds to a change what a kind's hook answered.
func (c *Core) addCompanions(ch *change, list []resource.Companion, err error) error {
	if err != nil {
		if status.Is(err) {
			return err
		}
		return apierrors.NewInternalError(err)
	}
	for i := range list {
		x, err := c.companion(&list[i])
		if err != nil {
			return err
		}
		ch.extra = append(ch.extra, x)
	}
	return nil
}

// companion makes a kind's wish into a store operation. Companions pass no
// admission: they are the kind's own book-keeping.
func (c *Core) companion(x *resource.Companion) (extra, error) {
	k := c.kinds.Get(x.Resource)
	if k == nil {
		return extra{}, status.Plain(fmt.Errorf("companion of unknown resource %s", x.Resource))
	}
	key := k.Key(x.Namespace, x.Name)
	out := extra{kind: k, namespace: k.Scope(x.Namespace), name: x.Name}
	if x.Object == nil {
		out.op = store.Op{Key: key, Expect: store.Any}
		return out, nil
	}
	out.obj = x.Object.DeepCopyObject()
	out.obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	m, err := accessor(out.obj)
	if err != nil {
		return extra{}, err
	}
	m.SetName(x.Name)
	m.SetNamespace(out.namespace)
	rv := m.GetResourceVersion()
	if !x.Update {
		m.SetResourceVersion("")
		m.SetUID(newUID())
		m.SetCreationTimestamp(c.now())
	}
	var value []byte
	out.obj, value, err = c.codec.EncodeCanonical(k.Definition, out.obj, false)
	if err != nil {
		return extra{}, status.Plain(fmt.Errorf("encoding %s %q: %w", k.GR, x.Name, err))
	}
	if x.Update {
		out.op, err = opFor(key, value, rv)
		return out, err
	}
	out.op = store.Op{Key: key, Value: value, Expect: store.Absent}
	return out, nil
}

// opFor is an update of a companion at the resourceVersion that it carries.
func opFor(key string, value []byte, resourceVersion string) (store.Op, error) {
	rev, err := parseRevision(resourceVersion)
	if err != nil || rev == 0 {
		return store.Op{}, status.Plain(fmt.Errorf("companion %s: invalid resource version %q", key, resourceVersion))
	}
	return store.Op{Key: key, Value: value, Expect: rev}, nil
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
	o := r.c.lookup(k, k.Key(namespace, name), namespace, name)
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
	r.c.recent.Under(resource.Prefix(k.Definition, k.Scope(namespace)), func(key string, o *watch.Object) { newer[key] = o })
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
