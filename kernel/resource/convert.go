package resource

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Convert returns obj in a version of its group, or of another group that has
// the same kind (events). An object that is in that version already, and one
// whose kind has no versions (Status), is returned as it is. The result may
// share memory with obj: neither may be modified afterwards unless obj was the
// caller's own.
//
// # Errors
//   - NotFound, of apierrors: the object is of a kind that went from the catalog
func (c *Codec) Convert(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error) {
	return c.ConvertContext(context.Background(), obj, gv)
}

// ConvertContext is [Codec.Convert] for somebody who waits as long as ctx lives: a
// conversion that asks somebody outside of the process ends with it.
//
// # Errors
//   - those of Convert, and ctx's
func (c *Codec) ConvertContext(ctx context.Context, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error) {
	out, err := c.convert(ctx, c.types(obj), obj, gv)
	if _, ok := obj.(runtime.Unstructured); ok && err != nil {
		if gvk := obj.GetObjectKind().GroupVersionKind(); c.catalog.LookupKind(gvk.GroupKind()) == nil {
			return nil, notServed(gvk)
		}
	}
	return out, err
}

// notServed answers who asks for a kind that is not there any more, in
// upstream's words.
func notServed(gvk schema.GroupVersionKind) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
		Details: &metav1.StatusDetails{Group: gvk.Group, Kind: gvk.Kind},
	}}
}

func (c *Codec) convert(ctx context.Context, own Types, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error) {
	kinds, unversioned, err := c.kinds(obj)
	if err != nil {
		return nil, err
	}
	if unversioned {
		return obj, nil
	}
	for _, k := range kinds {
		if k.GroupVersion() == gv {
			return obj, nil
		}
	}
	from := kinds[0]
	types := unsafeConvertor(own)
	// Versions convert through the internal one, which no client sees. A kind
	// without it can only have conversions of its own.
	if internal := (schema.GroupVersionKind{Group: from.Group, Version: runtime.APIVersionInternal, Kind: from.Kind}); c.scheme.Recognizes(internal) && from != internal {
		if obj, err = types.ConvertToVersion(obj, internal.GroupVersion()); err != nil {
			return nil, fmt.Errorf("convert %s: %w", from, err)
		}
	}
	out, err := convertTo(ctx, own, types, obj, gv)
	if err != nil {
		return nil, fmt.Errorf("convert %s to %s: %w", from, gv, err)
	}
	return out, nil
}

// convertTo asks who has to be asked outside of the process as long as ctx lives.
func convertTo(ctx context.Context, own Types, types runtime.ObjectConvertor, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error) {
	d, ok := own.(Deferrer)
	if !ok || !d.Defers() {
		return types.ConvertToVersion(obj, gv)
	}
	out, err := d.ConvertAll(ctx, []runtime.Object{obj}, gv)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// Versioned is Convert with apiVersion and kind set, as clients are shown the
// object.
func (c *Codec) Versioned(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error) {
	out, err := c.Convert(obj, gv)
	if err != nil {
		return nil, err
	}
	kind, err := c.kindOf(out, gv)
	if err != nil {
		return nil, err
	}
	if out.GetObjectKind().GroupVersionKind() != kind {
		if out == obj {
			out = shallow(obj)
		}
		out.GetObjectKind().SetGroupVersionKind(kind)
	}
	return out, nil
}

func (c *Codec) kinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if _, ok := obj.(runtime.Unstructured); ok {
		return []schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()}, false, nil
	}
	kinds, unversioned, err := c.scheme.ObjectKinds(obj)
	if err != nil {
		return nil, false, err
	}
	return kinds, unversioned, nil
}

// kindOf names the kind to write for an object that Convert brought to gv.
func (c *Codec) kindOf(obj runtime.Object, gv schema.GroupVersion) (schema.GroupVersionKind, error) {
	kinds, _, err := c.kinds(obj)
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	if have := obj.GetObjectKind().GroupVersionKind(); have.GroupVersion() == gv && have.Kind != "" {
		return have, nil
	}
	for _, k := range kinds {
		if k.GroupVersion() == gv {
			return k, nil
		}
	}
	return kinds[0], nil
}
