package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/watch"
)

// The verbs, as error texts and limits name them.
const (
	verbCreate = "create"
	verbUpdate = "update"
	verbPatch  = "patch"
	verbApply  = "apply"
	verbDelete = "delete"
)

var errSetOnCreate = errors.New("resourceVersion should not be set on objects to be created")

// Create stores a new object, runs an action subresource, or answers a virtual
// resource.
func (c caller) Create(ctx context.Context, t Target, obj runtime.Object, o WriteOptions) (*Result, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if k.Virtual {
		return c.answerVirtual(ctx, k, t, obj, o)
	}
	if t.Subresource != "" {
		return c.act(ctx, k, t, obj, o)
	}
	r, err := c.newCreate(ctx, k, t, obj, o)
	if err != nil {
		return nil, err
	}
	return c.execute(ctx, r)
}

// newCreate does once what does not depend on the name: conversion, defaults,
// managed fields and mutating admission. The plan does the rest, again for
// every name drawn.
func (c caller) newCreate(ctx context.Context, k *kinds.Kind, t Target, in runtime.Object, o WriteOptions) (*request, error) {
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	r.blind = true
	obj, err := k.ToHub(t.Resource.Version, in)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	wipeSystem(m)
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	if r.t.Name = m.GetName(); r.t.Name != "" {
		r.key = k.Key(r.t.Namespace, r.t.Name)
	}
	r.warn(dedupOwners(m, ""))
	obj = k.Fields.Create(r.write(), obj)
	if obj, err = c.mutate(ctx, r, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	again := needsName(obj) || k.Strategy.Companions != nil
	r.plan = func(ctx context.Context, r *request, _ *watch.Object) (*change, error) {
		next := obj
		if again {
			next = obj.DeepCopyObject()
		}
		return c.planCreate(ctx, r, next)
	}
	return r, nil
}

func needsName(obj runtime.Object) bool {
	m, err := accessor(obj)
	return err == nil && m.GetName() == "" && m.GetGenerateName() != ""
}

// planCreate makes a new object of obj, which is private to this plan and has
// passed mutating admission. Its system fields are filled in here, so that it
// serves create-on-update and apply as well.
func (c *Core) planCreate(ctx context.Context, r *request, obj runtime.Object) (*change, error) {
	k := r.k
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	wipeSystem(m)
	m.SetCreationTimestamp(c.now())
	m.SetUID(newUID())
	generated := needsName(obj)
	if generated {
		m.SetName(generateName(m.GetGenerateName()))
	}
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	s := &k.Strategy
	if s.Requested != nil {
		s.Requested(obj, r.user)
	}
	if s.PrepareForCreate != nil {
		s.PrepareForCreate(ctx, obj)
	}
	if errs := validateCreate(k, ctx, obj, m); len(errs) > 0 {
		return nil, apierrors.NewInvalid(k.GVK.GroupKind(), m.GetName(), errs)
	}
	if s.Warnings != nil {
		for _, w := range s.Warnings(ctx, obj, nil) {
			r.warn(w)
		}
	}
	if s.Canonicalize != nil {
		s.Canonicalize(obj)
	}
	if err := c.validate(ctx, r, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	if m.GetResourceVersion() != "" && r.verb == verbCreate {
		return nil, status.Plain(errSetOnCreate)
	}
	m.SetResourceVersion("")
	ch := newChange(k, r.t.Namespace, m.GetName(), nil)
	ch.obj, ch.generated = obj, generated
	if r.o.DryRun {
		if err := c.mustBeAbsent(ctx, r, ch); err != nil {
			return nil, err
		}
	}
	if err := c.withCompanions(ctx, r, ch); err != nil {
		return nil, err
	}
	return ch, c.encode(r, ch)
}

func validateCreate(k *kinds.Kind, ctx context.Context, obj runtime.Object, m metav1.Object) field.ErrorList {
	var errs field.ErrorList
	if k.Strategy.Validate != nil {
		errs = k.Strategy.Validate(ctx, obj)
	}
	if len(errs) == 0 {
		// Only now, so that a kind's own words come first.
		errs = validation.ValidateObjectMetaAccessor(m, k.Namespaced, validName, field.NewPath("metadata"))
	}
	return errs
}

// mustBeAbsent answers what the commit of a dry run would.
func (c *Core) mustBeAbsent(ctx context.Context, r *request, ch *change) error {
	cur, err := c.refresh(ctx, r.k, ch.key, ch.namespace, ch.name)
	if err != nil {
		return status.Store(r.k.GR, r.verb, ch.name, err)
	}
	if cur != nil {
		return status.Exists(r.k.GR, ch.name, ch.generated, deleting(cur))
	}
	return nil
}

// mutate asks the mutating rules. What they hand back is defaulted again, and
// their managedFields are taken only if they can be read.
func (c *Core) mutate(ctx context.Context, r *request, op admission.Operation, obj, old runtime.Object) (runtime.Object, error) {
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
	r.warn(fieldmanager.Restore(m, before))
	r.warn(dedupOwners(m, afterAdmission))
	return obj, nil
}

// validate asks the validating rules.
func (c *Core) validate(ctx context.Context, r *request, op admission.Operation, obj, old runtime.Object) error {
	if r.pass.Empty() {
		return nil
	}
	return r.pass.Validate(ctx, r.attributes(op, obj, old))
}

// withCompanions asks the kind what is written together with the object.
func (c *Core) withCompanions(ctx context.Context, r *request, ch *change) error {
	if r.k.Strategy.Companions == nil {
		return nil
	}
	var old runtime.Object
	if ch.old != nil {
		old = ch.old.Obj
	}
	list, err := r.k.Strategy.Companions(ctx, c.Reader(), ch.obj, old)
	return c.addCompanions(ch, list, err)
}

// namespaceState answers the namespace rule.
func (c *Core) namespaceState(ctx context.Context, name string) (exists, terminating bool, err error) {
	o, err := c.Latest(ctx, Target{Resource: namespaces.WithVersion(""), Name: name})
	if apierrors.IsNotFound(err) {
		return false, false, nil
	}
	return err == nil, deleting(o), err
}
