package transaction

import (
	"context"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/resource"
)

// beside reads what there will be when the other items of an atomic batch are
// written: a hook chooses what none of them has chosen.
type beside struct {
	resource.Reader
	objects map[schema.GroupResource]map[place]runtime.Object // nil: will be gone
	writers map[string]*Change                                // by the key of a companion, the last
}

// place is where an object of a resource is.
type place struct{ namespace, name string }

func newBeside(r resource.Reader) *beside {
	return &beside{Reader: r, objects: map[schema.GroupResource]map[place]runtime.Object{}, writers: map[string]*Change{}}
}

// add takes up what a change will write; nil changes nothing.
func (b *beside) add(ch *Change) {
	if ch == nil || ch.Noop {
		return
	}
	b.put(ch.ID, ch.Obj)
	for _, x := range ch.companions {
		if !x.op.Check {
			b.put(x.id, x.obj)
			b.writers[x.id.Key] = ch
		}
	}
}

// under are the changes on top of which a change was planned that writes companions
// which they write too.
func (b *beside) under(ch *Change) map[string]*Change {
	if ch == nil {
		return nil
	}
	upon := map[string]*Change{}
	for _, x := range ch.companions {
		if w := b.writers[x.id.Key]; w != nil {
			upon[x.id.Key] = w
		}
	}
	return upon
}

func (b *beside) put(id recent.ID, obj runtime.Object) {
	gr := id.Definition.GroupResource()
	if b.objects[gr] == nil {
		b.objects[gr] = map[place]runtime.Object{}
	}
	b.objects[gr][place{id.Namespace, id.Name}] = obj
}

// Get implements resource.Reader.
func (b *beside) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	obj, ok := b.objects[gr][place{namespace, name}]
	switch {
	case !ok:
		return b.Reader.Get(ctx, gr, namespace, name)
	case obj == nil:
		return nil, apierrors.NewNotFound(gr, name)
	}
	return obj, nil
}

// List implements resource.Reader.
func (b *beside) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	have, err := b.Reader.List(ctx, gr, namespace)
	if err != nil || len(b.objects[gr]) == 0 {
		return have, err
	}
	all := maps.Clone(b.objects[gr])
	for _, obj := range have {
		m, err := meta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		at := place{m.GetNamespace(), m.GetName()}
		if _, ok := all[at]; !ok {
			all[at] = obj
		}
	}
	out := make([]runtime.Object, 0, len(all))
	for at, obj := range all {
		if obj != nil && (namespace == "" || at.namespace == namespace) {
			out = append(out, obj)
		}
	}
	return out, nil
}

var _ resource.Reader = (*beside)(nil)
