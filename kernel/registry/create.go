package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
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
	k, err := c.core.kindOf(ctx, t)
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
	return c.do(ctx, r)
}

// newCreate does once what does not depend on the name: conversion, defaults,
// managed fields and mutating admission. The plan does the rest, again for
// every name drawn.
func (c caller) newCreate(ctx context.Context, k *kinds.Kind, t Target, in runtime.Object, o WriteOptions) (*request, error) {
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	r.Blind = true
	obj, err := k.ToHub(ctx, t.Resource.Version, in)
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
		r.ID = recent.IDOf(k.Definition, r.t.Namespace, r.t.Name)
	}
	r.Warn(dedupOwners(m, ""))
	obj = k.Fields.Create(r.write(ctx), obj)
	if obj, err = r.mutate(ctx, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	again := needsName(obj) || k.Strategy.Companions != nil
	r.Plan = func(ctx context.Context, _ *watch.Object) (*transaction.Change, error) {
		next := obj
		if again {
			next = obj.DeepCopyObject()
		}
		return r.planCreate(ctx, next)
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
func (r *request) planCreate(ctx context.Context, obj runtime.Object) (*transaction.Change, error) {
	k := r.k
	ctx = versioned(ctx, r.k, r.t)
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	wipeSystem(m)
	m.SetCreationTimestamp(r.now())
	m.SetUID(uuid.NewUUID())
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
			r.Warn(w)
		}
	}
	if s.Canonicalize != nil {
		s.Canonicalize(obj)
	}
	if err := r.validate(ctx, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	if m.GetResourceVersion() != "" && r.Verb == verbCreate {
		return nil, status.Plain(errSetOnCreate)
	}
	m.SetResourceVersion("")
	ch := r.change(nil)
	ch.ID = recent.IDOf(k.Definition, r.t.Namespace, m.GetName())
	ch.Obj, ch.Generated = obj, generated
	if r.DryRun {
		if err := r.tx.CheckAbsent(ctx, &r.Write, ch); err != nil {
			return nil, err
		}
	}
	if err := r.join(ctx, ch); err != nil {
		return nil, err
	}
	return ch, r.tx.Encode(ch)
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

// namespaceState answers the namespace rule.
func (c *Core) namespaceState(ctx context.Context, name string) (exists, terminating bool, err error) {
	o, err := c.Latest(ctx, Target{Resource: namespaces.WithVersion(""), Name: name})
	if apierrors.IsNotFound(err) {
		return false, false, nil
	}
	return err == nil, recent.Deleting(o), err
}
