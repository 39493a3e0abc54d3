package custom

import (
	"context"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/pintle-io/pintle/kernel/resource"
)

// objects makes and converts the objects of a kind. They are unstructured.
type objects struct{ kind *kind }

// New implements runtime.ObjectCreater.
func (t *objects) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	switch {
	case !t.kind.hasVersion(gvk):
		return nil, runtime.NewNotRegisteredErrForKind("custom", gvk)
	case gvk.Kind == t.kind.listKind:
		l := &unstructured.UnstructuredList{Object: map[string]any{}}
		l.SetGroupVersionKind(gvk)
		return l, nil
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (k *kind) hasVersion(gvk schema.GroupVersionKind) bool {
	_, ok := k.versions[gvk.Version]
	return ok && gvk.Group == k.gk.Group && (gvk.Kind == k.gk.Kind || gvk.Kind == k.listKind)
}

// Recognizes implements runtime.ObjectTyper.
func (t *objects) Recognizes(gvk schema.GroupVersionKind) bool { return t.kind.hasVersion(gvk) }

// ObjectKinds implements runtime.ObjectTyper.
func (t *objects) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if _, ok := obj.(runtime.Unstructured); !ok {
		return nil, false, runtime.NewNotRegisteredErrForType("custom", nil)
	}
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Kind == "" {
		return nil, false, runtime.NewMissingKindErr("unstructured object has no kind")
	}
	return []schema.GroupVersionKind{gvk}, false, nil
}

// Default implements runtime.ObjectDefaulter.
func (t *objects) Default(obj runtime.Object) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || !t.kind.hasVersion(u.GroupVersionKind()) {
		return
	}
	if s, err := t.kind.schema(u.GroupVersionKind().Version); err == nil {
		s.Default(u)
	}
}

// Prune implements resource.Pruner.
func (t *objects) Prune(obj runtime.Object, stored bool) ([]error, error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok || !t.kind.hasVersion(u.GroupVersionKind()) {
		return nil, nil
	}
	s, err := t.kind.schema(u.GroupVersionKind().Version)
	if err != nil {
		return nil, err
	}
	names, err := s.Prune(u, stored)
	var unknown []error
	for _, name := range names {
		unknown = append(unknown, fmt.Errorf("unknown field %q", name))
	}
	return unknown, err
}

// Convert implements runtime.ObjectConvertor.
func (t *objects) Convert(in, out, _ any) error {
	from, ok1 := in.(*unstructured.Unstructured)
	to, ok2 := out.(*unstructured.Unstructured)
	if !ok1 || !ok2 {
		return fmt.Errorf("objects of %s are not converted from %T to %T", t.kind.gk, in, out)
	}
	converted, err := t.ConvertToVersion(from, to.GroupVersionKind().GroupVersion())
	if err != nil {
		return err
	}
	to.Object = converted.(*unstructured.Unstructured).Object
	return nil
}

// ConvertToVersion implements runtime.ObjectConvertor. What it returns may share
// everything below its top with in. A webhook that is asked is given its time, whoever
// waits: who can wait no longer uses ConvertAll.
func (t *objects) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gv, ok := target.(schema.GroupVersion)
	if !ok {
		to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{in.GetObjectKind().GroupVersionKind()})
		if !ok {
			return nil, fmt.Errorf("%s has no version %v", t.kind.gk, target)
		}
		gv = to.GroupVersion()
	}
	out, err := t.ConvertAll(context.Background(), []runtime.Object{in}, gv)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// ConvertAll implements resource.Deferrer.
func (t *objects) ConvertAll(ctx context.Context, in []runtime.Object, gv schema.GroupVersion) ([]runtime.Object, error) {
	out := make([]runtime.Object, len(in))
	var others []*unstructured.Unstructured
	var at []int
	for i, obj := range in {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return nil, fmt.Errorf("%T is no object of %s", obj, t.kind.gk)
		}
		from := u.GroupVersionKind()
		switch to := gv.WithKind(from.Kind); {
		case !t.kind.hasVersion(to):
			return nil, fmt.Errorf("%s has no version %v", t.kind.gk, gv)
		case from == to:
			out[i] = u
		case !t.kind.converts && t.kind.versions[from.Version] == t.kind.versions[to.Version] || empty(u):
			out[i] = relabeled(u, to)
		default:
			others, at = append(others, u), append(at, i)
		}
	}
	if len(others) == 0 {
		return out, nil
	}
	s, err := t.kind.schema(gv.Version)
	if err != nil {
		return nil, err
	}
	converted, err := t.converted(ctx, others, gv)
	if err != nil {
		return nil, err
	}
	for i, u := range converted {
		if _, err := s.Prune(u, true); err != nil {
			return nil, err
		}
		out[at[i]] = u
	}
	return out, nil
}

// converted are copies of objects in another version.
//
// # Errors
//   - resource.OutsiderError, an InternalError of apierrors: the webhook fails
//   - ctx's error
func (t *objects) converted(ctx context.Context, in []*unstructured.Unstructured, to schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	if !t.kind.converts {
		out := make([]*unstructured.Unstructured, len(in))
		for i, u := range in {
			out[i] = u.DeepCopy()
			out[i].SetAPIVersion(to.String())
		}
		return out, nil
	}
	w, err := t.kind.conversion()
	if err != nil {
		return nil, resource.OfOutsider(apierrors.NewInternalError(err))
	}
	out, err := w.Convert(ctx, in, to)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, resource.OfOutsider(apierrors.NewInternalError(err))
}

// FieldsIn implements resource.Deferrer.
func (t *objects) FieldsIn(ctx context.Context, in []runtime.Object, gv schema.GroupVersion) ([]fields.Set, error) {
	s, err := t.kind.schema(gv.Version)
	if err != nil {
		return nil, err
	}
	converted, err := t.ConvertAll(ctx, in, gv)
	if err != nil {
		return nil, err
	}
	out := make([]fields.Set, len(in))
	for i, obj := range converted {
		out[i] = s.Fields(obj.(*unstructured.Unstructured))
	}
	return out, nil
}

// Defers implements resource.Deferrer.
func (t *objects) Defers() bool { return t.kind.converts }

// empty tells that there is nothing to convert: what server-side apply begins with.
func empty(u *unstructured.Unstructured) bool {
	for name := range u.Object {
		if name != "kind" && name != "apiVersion" {
			return false
		}
	}
	return true
}

// relabeled is u as of another version; they share everything below.
func relabeled(u *unstructured.Unstructured, as schema.GroupVersionKind) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: maps.Clone(u.Object)}
	out.SetGroupVersionKind(as)
	return out
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (t *objects) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	if label == "metadata.name" || label == "metadata.namespace" && t.kind.namespaced {
		return label, value, nil
	}
	s, err := t.kind.schema(gvk.Version)
	if err != nil {
		return "", "", err
	}
	if !s.Selectable(label) {
		return "", "", fmt.Errorf("field label not supported: %s", label)
	}
	return label, value, nil
}

// typeConverter gives server-side apply the types of the kind, as long as they are
// in use.
type typeConverter struct{ kind *kind }

// ObjectToTyped implements managedfields.TypeConverter.
func (c typeConverter) ObjectToTyped(obj runtime.Object, o ...typed.ValidationOptions) (*typed.TypedValue, error) {
	tc, err := c.kind.typeConverter()
	if err != nil {
		return nil, err
	}
	return tc.ObjectToTyped(obj, o...)
}

// TypedToObject implements managedfields.TypeConverter.
func (c typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	tc, err := c.kind.typeConverter()
	if err != nil {
		return nil, err
	}
	return tc.TypedToObject(v)
}

var (
	_ resource.Types              = (*objects)(nil)
	_ resource.Pruner             = (*objects)(nil)
	_ resource.Deferrer           = (*objects)(nil)
	_ managedfields.TypeConverter = typeConverter{}
)
