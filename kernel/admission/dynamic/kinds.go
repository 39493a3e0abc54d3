package dynamic

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Codec brings objects from one version to another.
type Codec interface {
	Convert(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
	Versioned(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
}

// Kinds are those of the catalog as upstream's libraries ask for them, custom ones
// among them: how objects are made, defaulted and converted, and which resources
// are the same in other versions.
type Kinds struct {
	Catalog *resource.Catalog
	Codec   Codec
}

// types are those of a kind: what is no resource (Scale, DeleteOptions) is in the
// scheme.
func (k *Kinds) types(gk schema.GroupKind) resource.Types {
	t := k.Catalog.Snapshot()
	if d := t.LookupKind(gk); d != nil {
		return t.TypesOf(d)
	}
	return t.Scheme
}

func (k *Kinds) typesOf(obj runtime.Object) resource.Types {
	return k.types(obj.GetObjectKind().GroupVersionKind().GroupKind())
}

// New implements runtime.ObjectCreater; the object knows its kind.
func (k *Kinds) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	out, err := k.types(gvk.GroupKind()).New(gvk)
	if err != nil {
		return nil, err
	}
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out, nil
}

// ObjectKinds implements runtime.ObjectTyper.
func (k *Kinds) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	return k.typesOf(obj).ObjectKinds(obj)
}

// Recognizes implements runtime.ObjectTyper.
func (k *Kinds) Recognizes(gvk schema.GroupVersionKind) bool {
	return k.types(gvk.GroupKind()).Recognizes(gvk)
}

// Default implements runtime.ObjectDefaulter.
func (k *Kinds) Default(obj runtime.Object) { k.typesOf(obj).Default(obj) }

// Convert implements runtime.ObjectConvertor: out is filled with what in is in out's
// version, and shares nothing with in.
func (k *Kinds) Convert(in, out, _ any) error {
	from, to, err := objects(in, out)
	if err != nil {
		return err
	}
	gvk := to.GetObjectKind().GroupVersionKind()
	made, err := k.Codec.Convert(from.DeepCopyObject(), gvk.GroupVersion())
	if err != nil {
		return err
	}
	if u, ok := to.(runtime.Unstructured); ok {
		x, ok := made.(runtime.Unstructured)
		if !ok {
			return fmt.Errorf("%T is not unstructured, as a %s is", made, gvk)
		}
		u.SetUnstructuredContent(x.UnstructuredContent())
	} else {
		a, b := reflect.ValueOf(made), reflect.ValueOf(to)
		if a.Type() != b.Type() || a.Kind() != reflect.Pointer {
			return fmt.Errorf("%T is converted to %T, not to %T", from, made, to)
		}
		b.Elem().Set(a.Elem())
	}
	to.GetObjectKind().SetGroupVersionKind(gvk)
	return nil
}

func objects(in, out any) (from, to runtime.Object, err error) {
	from, ok := in.(runtime.Object)
	if !ok {
		return nil, nil, fmt.Errorf("%T is no object", in)
	}
	if to, ok = out.(runtime.Object); !ok {
		return nil, nil, fmt.Errorf("%T is no object", out)
	}
	return from, to, nil
}

// ConvertToVersion implements runtime.ObjectConvertor for what a policy made of an
// object: it gets its Go type back if it has one, in the version that the policy saw.
// The version that is asked for is the request's, which may be another; whoever takes
// the object in converts it.
func (k *Kinds) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	if _, ok := in.(runtime.Unstructured); !ok {
		return in, nil
	}
	return k.typesOf(in).ConvertToVersion(in, in.GetObjectKind().GroupVersionKind().GroupVersion())
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (k *Kinds) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return k.types(gvk.GroupKind()).ConvertFieldLabel(gvk, label, value)
}

// EquivalentResourcesFor implements runtime.EquivalentResourceMapper: the resources
// whose objects are those of one, in all served versions, that one among them.
func (k *Kinds) EquivalentResourcesFor(r schema.GroupVersionResource, subresource string) []schema.GroupVersionResource {
	t := k.Catalog.Snapshot()
	d := t.Lookup(r.GroupResource())
	if d == nil {
		return []schema.GroupVersionResource{r}
	}
	var out []schema.GroupVersionResource
	for _, x := range t.Sharing(d) {
		if subresource != "" && x.Subresource(subresource) == nil {
			continue
		}
		for _, v := range x.Versions {
			out = append(out, x.GroupResource().WithVersion(v))
		}
	}
	return out
}

// KindFor implements runtime.EquivalentResourceMapper.
func (k *Kinds) KindFor(r schema.GroupVersionResource, subresource string) schema.GroupVersionKind {
	d := k.Catalog.Lookup(r.GroupResource())
	if d == nil || !slices.Contains(d.Versions, r.Version) {
		return schema.GroupVersionKind{}
	}
	if subresource != "" {
		switch sub := d.Subresource(subresource); {
		case sub == nil:
			return schema.GroupVersionKind{}
		case !sub.Kind.Empty():
			return sub.Kind
		}
	}
	return r.GroupVersion().WithKind(d.Kind)
}

// The following implement upstream's ObjectInterfaces.

// GetObjectCreater returns k.
func (k *Kinds) GetObjectCreater() runtime.ObjectCreater { return k }

// GetObjectTyper returns k.
func (k *Kinds) GetObjectTyper() runtime.ObjectTyper { return k }

// GetObjectDefaulter returns k.
func (k *Kinds) GetObjectDefaulter() runtime.ObjectDefaulter { return k }

// GetObjectConvertor returns k.
func (k *Kinds) GetObjectConvertor() runtime.ObjectConvertor { return k }

// GetEquivalentResourceMapper returns k.
func (k *Kinds) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper { return k }

var _ upstream.ObjectInterfaces = (*Kinds)(nil)
