package kinds

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Kind is a definition with what the verbs ask about it every time. It is
// immutable.
type Kind struct {
	*resource.Definition
	GR     schema.GroupResource
	Cached schema.GroupResource    // where the cache keeps the objects: GR, or the resource that GR is a second name of
	GVK    schema.GroupVersionKind // of the hub
	Typer  resource.Types          // the definition's own, or the table's scheme
	Fields *fieldmanager.Manager

	goType reflect.Type // of the hub, a pointer; nil if it is not a Go struct
	codec  Converter
}

func (x *Kinds) newKind(t *resource.Table, d *resource.Definition) (*Kind, error) {
	k := &Kind{Definition: d, GR: d.GroupResource(), Cached: d.Stored(), GVK: d.Hub(), Typer: t.TypesOf(d), codec: x.codec}
	obj, err := k.Typer.New(k.GVK)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.GR, err)
	}
	if _, ok := obj.(runtime.Unstructured); !ok {
		k.goType = reflect.TypeOf(obj)
	}
	k.Fields = fieldmanager.New(x.fields, fieldmanager.Kind{Definition: d, Types: k.Typer, Schema: t.TypeConverterOf(d), Go: k.goType})
	return k, nil
}

// In is the version of a request, the hub's if it names none.
func (k *Kind) In(version string) schema.GroupVersion {
	if version == "" {
		return k.GVK.GroupVersion()
	}
	return schema.GroupVersion{Group: k.Group, Version: version}
}

// KindIn is the kind in the version of a request.
func (k *Kind) KindIn(version string) schema.GroupVersionKind {
	return k.In(version).WithKind(k.Kind)
}

// Selected is the kind as lists and watches look at it.
func (k *Kind) Selected() selection.Kind {
	return selection.Kind{Definition: k.Definition, Types: k.Typer}
}

// Key is where an object is stored.
func (k *Kind) Key(namespace, name string) string {
	return resource.Key(k.Definition, namespace, name)
}

// Scope is the namespace that the cache knows an object of this kind under.
func (k *Kind) Scope(namespace string) string {
	if k.Namespaced {
		return namespace
	}
	return ""
}

// SubresourceName is how errors name a subresource.
func (k *Kind) SubresourceName(s *resource.Subresource) schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource + "/" + s.Name}
}

// ToHub gives a private copy of obj, defaulted and of the hub version. version is
// the request's, for the text of errors.
//
// # Errors
//   - Status: obj is of another kind, or cannot be converted
func (k *Kind) ToHub(ctx context.Context, version string, obj runtime.Object) (runtime.Object, error) {
	if obj == nil {
		return nil, status.BadRequest("an object is required")
	}
	in := obj.DeepCopyObject()
	if k.goType == nil || reflect.TypeOf(in) != k.goType {
		gvks, _, err := k.Typer.ObjectKinds(in)
		if err != nil || !k.is(gvks[0].GroupKind()) {
			return nil, k.wrong(version, in)
		}
		k.Typer.Default(in)
		in, err = k.codec.ConvertContext(ctx, in, k.GVK.GroupVersion())
		if status.Is(err) {
			return nil, err // the kind went this moment
		}
		if err != nil {
			return nil, status.BadRequestf("converting to %s: %v", k.GVK.GroupVersion(), err)
		}
	} else {
		k.Typer.Default(in)
	}
	in.GetObjectKind().SetGroupVersionKind(k.GVK)
	return k.received(in), nil
}

func (k *Kind) received(obj runtime.Object) runtime.Object {
	if k.Strategy.Received != nil {
		k.Strategy.Received(obj)
	}
	return obj
}

// is reports that an object of a kind may be stored as this one.
func (k *Kind) is(gk schema.GroupKind) bool {
	return gk.Kind == k.GVK.Kind && (gk.Group == k.GVK.Group || gk.Group == k.Group)
}

func (k *Kind) wrong(version string, obj runtime.Object) error {
	got := obj.GetObjectKind().GroupVersionKind().Kind
	if got == "" {
		got = fmt.Sprintf("%T", obj)
	}
	return status.BadRequestf("%s in version %q cannot be handled as a %s", got, k.In(version).Version, k.Kind)
}

// Versioned gives obj, of the hub, in the version of a request, its kind set. The
// result may share memory with obj: it is only read.
func (k *Kind) Versioned(ctx context.Context, version string, obj runtime.Object) (runtime.Object, error) {
	gvk := k.KindIn(version)
	if gvk == k.GVK && !k.other(obj) {
		return fieldmanager.WithKind(obj, gvk), nil
	}
	out, err := k.codec.ConvertContext(ctx, obj, gvk.GroupVersion())
	if err != nil {
		return nil, status.Plain(fmt.Errorf("converting to %s: %w", gvk.GroupVersion(), err))
	}
	return fieldmanager.WithKind(out, gvk), nil
}

// other tells that an object is of another version than the hub's: one that is held
// as it was stored.
func (k *Kind) other(obj runtime.Object) bool {
	return k.goType == nil && resource.Defers(k.Typer) && obj.GetObjectKind().GroupVersionKind() != k.GVK
}

// Hub gives a private copy of obj, which the cache may share, in the hub version.
//
// # Errors
//   - Status: obj is held as it was stored, and its conversion fails
func (k *Kind) Hub(ctx context.Context, obj runtime.Object) (runtime.Object, error) {
	out := obj.DeepCopyObject()
	if k.other(obj) {
		var err error
		if out, err = k.codec.ConvertContext(ctx, out, k.GVK.GroupVersion()); err != nil {
			return nil, status.Plain(fmt.Errorf("converting to %s: %w", k.GVK.GroupVersion(), err))
		}
	}
	out.GetObjectKind().SetGroupVersionKind(k.GVK)
	return out, nil
}

// FromVersioned brings a private obj, of the version of a request, to the hub.
func (k *Kind) FromVersioned(ctx context.Context, version string, obj runtime.Object) (runtime.Object, error) {
	if k.KindIn(version) != k.GVK || k.other(obj) {
		var err error
		if obj, err = k.codec.ConvertContext(ctx, obj, k.GVK.GroupVersion()); err != nil {
			if status.Is(err) {
				return nil, err
			}
			return nil, status.BadRequestf("converting to %s: %v", k.GVK.GroupVersion(), err)
		}
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	return k.received(obj), nil
}
