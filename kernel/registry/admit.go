package registry

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/watch"
)

// attributes are the request as admission rules see it.
func (r *request) attributes(op admission.Operation, obj, old runtime.Object) *admission.Attributes {
	gv := r.k.In(r.t.Resource.Version)
	a := &admission.Attributes{
		Operation:   op,
		Resource:    gv.WithResource(r.k.Resource),
		Kind:        gv.WithKind(r.k.Kind),
		Subresource: r.t.Subresource,
		Namespace:   r.t.Namespace,
		Name:        r.t.Name,
		Object:      obj,
		Old:         old,
		DryRun:      r.DryRun,
		User:        r.user,
		Warnings:    r.Warn,
	}
	if r.sub != nil && r.sub.Kind.Kind != "" {
		a.Kind = r.sub.Kind
	}
	if a.Name == "" && obj != nil { // drawn by now, if it is to be
		if m, err := accessor(obj); err == nil {
			a.Name = m.GetName()
		}
	}
	return a
}

// mutate asks the mutating rules. What they hand back is defaulted again, and
// their managedFields are taken only if they can be read.
func (r *request) mutate(ctx context.Context, op admission.Operation, obj, old runtime.Object) (runtime.Object, error) {
	if r.pass.Empty() {
		return obj, nil
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	before := m.GetManagedFields()
	a := r.attributes(op, obj, old)
	if err := r.pass.Mutate(ctx, a); err != nil {
		return nil, err
	}
	if !a.Mutated() {
		return obj, nil
	}
	obj = a.Object
	r.k.Typer.Default(obj)
	if m, err = accessor(obj); err != nil {
		return nil, err
	}
	r.Warn(fieldmanager.Restore(m, before))
	r.Warn(dedupOwners(m, afterAdmission))
	return obj, nil
}

// validate asks the validating rules.
func (r *request) validate(ctx context.Context, op admission.Operation, obj, old runtime.Object) error {
	if r.pass.Empty() {
		return nil
	}
	return r.pass.Validate(ctx, r.attributes(op, obj, old))
}

// admitDelete asks the rules about a deletion; they may change its options.
func (r *request) admitDelete(ctx context.Context, cur *watch.Object, o *metav1.DeleteOptions) error {
	if r.pass.Empty() {
		return nil
	}
	a := r.attributes(admission.Delete, nil, cur.Obj)
	a.Options = o
	if err := r.pass.Mutate(ctx, a); err != nil {
		return err
	}
	return r.pass.Validate(ctx, a)
}

// admitAction asks the rules about the body of an action. Rules get a copy if
// there may be one that changes it.
func (r *request) admitAction(ctx context.Context, body runtime.Object) (runtime.Object, error) {
	if r.pass.Empty() {
		return body, nil
	}
	a := r.attributes(admission.Create, body, nil)
	if r.pass.Mutates() {
		a.Object = body.DeepCopyObject()
	}
	if err := r.pass.Mutate(ctx, a); err != nil {
		return nil, err
	}
	return a.Object, r.pass.Validate(ctx, a)
}
