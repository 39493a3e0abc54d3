package registry

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
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
		Options:     options(r, op),
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

// options are those of the request, as clients send them.
func options(r *request, op admission.Operation) runtime.Object {
	var dry []string
	if r.DryRun {
		dry = []string{metav1.DryRunAll}
	}
	kind := func(name string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: name}
	}
	switch op {
	case admission.Create:
		return &metav1.CreateOptions{TypeMeta: kind("CreateOptions"), DryRun: dry, FieldManager: r.o.FieldManager, FieldValidation: r.o.FieldValidation}
	case admission.Update:
		return &metav1.UpdateOptions{TypeMeta: kind("UpdateOptions"), DryRun: dry, FieldManager: r.o.FieldManager, FieldValidation: r.o.FieldValidation}
	default: // a deletion's come with it
		return nil
	}
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
	a, err := shown(ctx, r, op, obj, old)
	if err != nil {
		return nil, err
	}
	if err := told(ctx, r, r.pass.Mutate(ctx, a)); err != nil {
		return nil, err
	}
	if !a.Mutated() {
		return obj, nil
	}
	if projects(r) {
		if err := r.sub.Set(ctx, obj, a.Object); err != nil {
			return nil, err
		}
	} else {
		obj = a.Object
	}
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
	r.charges = nil
	if r.pass.Empty() {
		return nil
	}
	a, err := shown(ctx, r, op, obj, old)
	if err != nil {
		return err
	}
	if err := told(ctx, r, r.pass.Validate(ctx, a)); err != nil {
		return err
	}
	r.charges = a.Charges()
	return nil
}

// charge adds what the rules charge for a request to a change of it.
func charge(r *request, ch *transaction.Change) error {
	for _, x := range r.charges {
		d := r.tx.Definitions.Definition(x.Resource)
		if d == nil {
			return status.Plain(fmt.Errorf("a rule charges an object of unknown resource %s", x.Resource))
		}
		ch.Charges = append(ch.Charges, transaction.Charge{ID: recent.IDOf(d, x.Namespace, x.Name), Apply: x.Apply})
	}
	return nil
}

// told warns the client of a request that is refused: there is no result that could
// carry what rules had to say of it.
func told(ctx context.Context, r *request, refusal error) error {
	if refusal != nil {
		for _, text := range r.Warnings() {
			warning.AddWarning(ctx, "", text)
		}
	}
	return refusal
}

func projects(r *request) bool { return r.sub != nil && r.sub.Style == resource.StyleProjection }

// shown are the attributes of a write of obj: of what the client sees of it,
// where the request goes through a projection.
func shown(ctx context.Context, r *request, op admission.Operation, obj, old runtime.Object) (*admission.Attributes, error) {
	if !projects(r) {
		return r.attributes(op, obj, old), nil
	}
	now, err := project(ctx, r.sub, obj)
	if err != nil {
		return nil, err
	}
	var was runtime.Object
	if old != nil {
		if was, _, err = projection(ctx, r.sub, old); err != nil { // it may lack what is being set
			return nil, err
		}
	}
	return r.attributes(op, now, was), nil
}

// admitDelete asks the rules about a deletion; they may change its options.
func (r *request) admitDelete(ctx context.Context, cur *watch.Object, o *metav1.DeleteOptions) error {
	if r.pass.Empty() {
		return nil
	}
	a := r.attributes(admission.Delete, nil, cur.Obj)
	a.Options = o
	if err := told(ctx, r, r.pass.Mutate(ctx, a)); err != nil {
		return err
	}
	return told(ctx, r, r.pass.Validate(ctx, a))
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
	if err := told(ctx, r, r.pass.Mutate(ctx, a)); err != nil {
		return nil, err
	}
	return a.Object, told(ctx, r, r.pass.Validate(ctx, a))
}
