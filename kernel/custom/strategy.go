package custom

import (
	"context"
	"errors"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	customschema "github.com/pintle-io/pintle/kernel/custom/schema"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Hooks see objects of the storage version; what they check, they check in the
// version of the request, as its client sees the object.

// requested is the schema of the version of a request.
func (k *kind) requested(ctx context.Context) (*customschema.Schema, error) {
	version := resource.Version(ctx)
	if _, ok := k.versions[version]; !ok {
		version = k.storage
	}
	return k.schema(version)
}

// in is an object in the version of a schema. It is only read.
func (k *kind) in(ctx context.Context, s *customschema.Schema, obj runtime.Object) (*unstructured.Unstructured, error) {
	return k.as(ctx, obj, s.Kind.Version)
}

func (k *kind) as(ctx context.Context, obj runtime.Object, version string) (*unstructured.Unstructured, error) {
	out, err := (&objects{k}).ConvertAll(ctx, []runtime.Object{obj}, schema.GroupVersion{Group: k.gk.Group, Version: version})
	if err != nil {
		return nil, err
	}
	return out[0].(*unstructured.Unstructured), nil
}

func (k *kind) strategy() resource.Strategy {
	return resource.Strategy{
		PrepareForCreate: k.prepareForCreate,
		PrepareForUpdate: k.prepareForUpdate,
		Validate: func(ctx context.Context, obj runtime.Object) field.ErrorList {
			return k.check(ctx, obj, obj, func(s *customschema.Schema, u, _ *unstructured.Unstructured) field.ErrorList {
				return s.Validate(ctx, u)
			})
		},
		ValidateUpdate: func(ctx context.Context, obj, old runtime.Object) field.ErrorList {
			return k.check(ctx, obj, old, func(s *customschema.Schema, u, o *unstructured.Unstructured) field.ErrorList {
				return s.ValidateUpdate(ctx, u, o)
			})
		},
		Warnings: func(_ context.Context, obj, old runtime.Object) []string {
			o, _ := old.(*unstructured.Unstructured)
			return customschema.Warnings(obj.(*unstructured.Unstructured), o)
		},
		Decoded: func(obj runtime.Object) {
			if u, ok := obj.(*unstructured.Unstructured); ok && u.GetGeneration() == 0 {
				u.SetGeneration(1) // it is from before there were generations
			}
		},
	}
}

// check runs a check on objects in the version of the request.
func (k *kind) check(ctx context.Context, obj, old runtime.Object, f func(*customschema.Schema, *unstructured.Unstructured, *unstructured.Unstructured) field.ErrorList) field.ErrorList {
	s, err := k.requested(ctx)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	u, err := k.in(ctx, s, obj)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	o, err := k.in(ctx, s, old)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	return f(s, u, o)
}

func (k *kind) prepareForCreate(ctx context.Context, obj runtime.Object) {
	u := obj.(*unstructured.Unstructured)
	if s, err := k.requested(ctx); err == nil && s.HasStatus() {
		delete(u.Object, "status")
	}
	u.SetGeneration(1)
}

func (k *kind) prepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	u, o := obj.(*unstructured.Unstructured), k.stored(ctx, old)
	if s, err := k.requested(ctx); err == nil && s.HasStatus() {
		keep(u, o, "status")
	}
	if !sameBut(u.Object, o.Object, "metadata") {
		u.SetGeneration(o.GetGeneration() + 1)
	}
}

// stored is an object in the storage version. Where the conversion fails, it is the
// object as it is: checks, which ask for it again, say why.
func (k *kind) stored(ctx context.Context, obj runtime.Object) *unstructured.Unstructured {
	if out, err := k.as(ctx, obj, k.storage); err == nil {
		return out
	}
	return obj.(*unstructured.Unstructured)
}

// keep takes a field of old, which is not changed.
func keep(u, old *unstructured.Unstructured, name string) {
	if was, ok := old.Object[name]; ok {
		u.Object[name] = was
	} else {
		delete(u.Object, name)
	}
}

// sameBut compares objects without one of their fields.
func sameBut(a, b map[string]any, name string) bool {
	for k, v := range a {
		if w, ok := b[k]; k != name && (!ok || !apiequality.Semantic.DeepEqual(v, w)) {
			return false
		}
	}
	for k := range b {
		if _, ok := a[k]; k != name && !ok {
			return false
		}
	}
	return true
}

// prepareForStatusUpdate keeps everything but the status, and who manages it.
func (k *kind) prepareForStatusUpdate(ctx context.Context, obj, old runtime.Object) {
	u, o := obj.(*unstructured.Unstructured), k.stored(ctx, old)
	managed, status, has := u.GetManagedFields(), u.Object["status"], false
	_, has = u.Object["status"]
	u.Object = o.DeepCopy().Object
	u.SetManagedFields(managed)
	if has {
		u.Object["status"] = status
	} else {
		delete(u.Object, "status")
	}
}

func (k *kind) validateStatus(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return k.check(ctx, obj, old, func(s *customschema.Schema, u, o *unstructured.Unstructured) field.ErrorList {
		return s.ValidateStatus(ctx, u, o)
	})
}

// internal is the answer to a client whose object cannot be converted.
func internal(err error) error {
	var answer apierrors.APIStatus
	if errors.As(err, &answer) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return apierrors.NewInternalError(err)
}

func (k *kind) getScale(ctx context.Context, obj runtime.Object) (runtime.Object, error) {
	s, err := k.requested(ctx)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	u, err := k.in(ctx, s, obj)
	if err != nil {
		return nil, internal(err)
	}
	out, err := s.Scale(u)
	if out == nil {
		return nil, err
	}
	return out, err
}

func (k *kind) setScale(ctx context.Context, obj, sub runtime.Object) error {
	s, err := k.requested(ctx)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	scale, err := scaleOf(sub)
	if err != nil {
		return err
	}
	u := obj.(*unstructured.Unstructured)
	if s.Kind.Version == k.storage || !k.converts && k.versions[s.Kind.Version] == k.versions[k.storage] {
		return s.SetScale(u, scale)
	}
	changed, err := k.in(ctx, s, obj)
	if err != nil {
		return internal(err)
	}
	if err := s.SetScale(changed, scale); err != nil {
		return err
	}
	hub, err := k.as(ctx, changed, k.storage)
	if err != nil {
		return internal(err)
	}
	u.Object = hub.Object
	return nil
}

// scaleOf reads a Scale, which is a map when it was applied.
func scaleOf(sub runtime.Object) (*autoscalingv1.Scale, error) {
	switch x := sub.(type) {
	case *autoscalingv1.Scale:
		return x, nil
	case *unstructured.Unstructured:
		scale := &autoscalingv1.Scale{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(x.Object, scale); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return scale, nil
	}
	return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a Scale, not a %T", sub))
}

// columns print in the version that was asked for.
func (k *kind) columns(version string) resource.Columns {
	return func(obj runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
		s, err := k.schema(version)
		if err != nil {
			return nil, err
		}
		switch x := obj.(type) {
		case *unstructured.Unstructured:
			if obj, err = k.in(context.Background(), s, x); err != nil {
				return nil, err
			}
		case *unstructured.UnstructuredList:
			l := &unstructured.UnstructuredList{Object: x.Object, Items: make([]unstructured.Unstructured, len(x.Items))}
			for i := range x.Items {
				u, err := k.in(context.Background(), s, &x.Items[i])
				if err != nil {
					return nil, err
				}
				l.Items[i] = *u
			}
			obj = l
		}
		return s.Columns(obj, o)
	}
}

// selectableFields are those of all versions, which say the same of an object where they
// have a field in common. Of what a webhook converts they are those of the version in
// which it is stored: selectors ask objects.FieldsIn.
func (k *kind) selectableFields(obj runtime.Object) fields.Set {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	out := fields.Set{}
	for v := range k.versions {
		if k.converts && v != u.GroupVersionKind().Version {
			continue // whoever looks at events must not wait for a webhook
		}
		s, err := k.schema(v)
		if err != nil {
			continue
		}
		if u, err := k.in(context.Background(), s, u); err == nil {
			for name, value := range s.Fields(u) {
				out[name] = value
			}
		}
	}
	return out
}

var errTerminating = errors.New("create not allowed while custom resource definition is terminating")

// refuseNew lets no object come any more.
func refuseNew(d *resource.Definition) func(context.Context, resource.Reader, runtime.Object, runtime.Object) ([]resource.Companion, error) {
	return func(_ context.Context, _ resource.Reader, obj, old runtime.Object) ([]resource.Companion, error) {
		if old == nil && obj != nil {
			name := ""
			if u, ok := obj.(*unstructured.Unstructured); ok {
				name = u.GetName()
			}
			return nil, apierrors.NewForbidden(d.GroupResource(), name, errTerminating)
		}
		return nil, nil
	}
}
