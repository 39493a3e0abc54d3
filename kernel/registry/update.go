package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/deletion"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Update replaces an object, or the part of it that a subresource serves.
func (c caller) Update(ctx context.Context, t Target, obj runtime.Object, o WriteOptions) (*Result, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, err := c.newUpdate(k, t, obj, o)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, r)
}

func (c caller) newUpdate(k *kinds.Kind, t Target, in runtime.Object, o WriteOptions) (*request, error) {
	if in == nil {
		return nil, status.BadRequest("an object is required")
	}
	m, err := accessor(in)
	if err != nil {
		return nil, err
	}
	if t.Name == "" {
		t.Name = m.GetName()
	}
	r, err := c.newRequest(verbUpdate, k, t, o)
	if err != nil {
		return nil, err
	}
	if r.ID.Key == "" {
		return nil, status.BadRequest("name must be provided")
	}
	if r.sub != nil && r.sub.Style == resource.StyleProjection {
		return r, r.planProjection(in)
	}
	if r.sub != nil && r.sub.Style != resource.StyleStatus && r.sub.Style != resource.StylePart {
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbUpdate)
	}
	if err := matchName(r.t.Name, m); err != nil {
		return nil, err
	}
	r.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		obj, err := k.ToHub(ctx, t.Resource.Version, in)
		if err != nil {
			return nil, err
		}
		return r.planUpdate(ctx, cur, obj)
	}
	return r, nil
}

// action is the key of a subresource in Config.Actions.
func action(k *kinds.Kind, s *resource.Subresource) string { return k.GR.String() + "/" + s.Name }

// planUpdate plans a PUT of obj over cur.
func (r *request) planUpdate(ctx context.Context, cur *watch.Object, obj runtime.Object) (*transaction.Change, error) {
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	r.Warn(dedupOwners(m, ""))
	if cur == nil {
		if !r.k.Strategy.AllowCreateOnUpdate || r.sub != nil {
			return nil, apierrors.NewNotFound(r.k.GR, r.t.Name)
		}
		if uid := m.GetUID(); uid != "" {
			return nil, status.Precondition(r.k.GR, r.ID.Key, r.t.Name, "UID", string(uid), "")
		}
		return r.createOver(ctx, r.k.Fields.Create(r.write(ctx), obj))
	}
	old, err := accessor(cur.Obj)
	if err != nil {
		return nil, err
	}
	if uid := m.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, status.Precondition(r.k.GR, r.ID.Key, r.t.Name, "UID", string(uid), string(old.GetUID()))
	}
	// Before the expensive steps; revise asks again.
	if err := r.matchRevision(m, cur); err != nil {
		return nil, err
	}
	return r.revise(ctx, cur, r.k.Fields.Update(r.write(ctx), cur.Obj, obj))
}

var errMayCreate = errors.New("nobody said whether the object may be created")

// createOver creates the object that an update or an apply did not find.
func (r *request) createOver(ctx context.Context, obj runtime.Object) (*transaction.Change, error) {
	if r.o.MayCreate == nil {
		return nil, apierrors.NewForbidden(r.k.GR, r.t.Name, errMayCreate)
	}
	if err := r.o.MayCreate(ctx, r.t); err != nil {
		return nil, err
	}
	obj, err := r.mutate(ctx, admission.Create, obj, nil)
	if err != nil {
		return nil, err
	}
	return r.planCreate(ctx, obj)
}

// matchRevision is optimistic locking: the object's resourceVersion must be
// the present one, or absent where the kind allows it.
func (r *request) matchRevision(m metav1.Object, cur *watch.Object) error {
	rv, err := recent.ParseRevision(m.GetResourceVersion())
	switch {
	case err != nil:
		return status.Plain(err)
	case rv == cur.Revision:
		return nil
	case rv != 0:
		return status.Conflict(r.k.GR, r.t.Name)
	case r.k.Strategy.AllowUnconditionalUpdate:
		m.SetResourceVersion(recent.FormatRevision(cur.Revision))
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: r.k.Group, Kind: r.k.Resource}, r.t.Name, field.ErrorList{
		field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
	})
}

// revise plans obj, private to this plan and with its managed fields tracked,
// as cur's next state. It is the common end of update, patch, apply and
// projections.
func (r *request) revise(ctx context.Context, cur *watch.Object, obj runtime.Object) (*transaction.Change, error) {
	ctx = versioned(ctx, r.k, r.t)
	obj, err := r.mutate(ctx, admission.Update, obj, cur.Obj)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	old, err := accessor(cur.Obj)
	if err != nil {
		return nil, err
	}
	if err := r.matchRevision(m, cur); err != nil {
		return nil, err
	}
	if err := r.beforeUpdate(ctx, obj, m, cur.Obj, old); err != nil {
		return nil, err
	}
	fieldmanager.KeepTimes(obj, m, cur.Obj, old)
	if err := r.validate(ctx, admission.Update, obj, cur.Obj); err != nil {
		return nil, err
	}
	return r.replace(ctx, cur, obj)
}

// replace makes the change from cur to obj: a write, nothing, or the end of a
// deletion whose last finalizer is gone.
func (r *request) replace(ctx context.Context, cur *watch.Object, obj runtime.Object) (*transaction.Change, error) {
	ch := r.change(cur)
	if deletion.Finished(r.k.Definition, obj, cur.Obj) {
		ch.Last = obj
		return ch, r.join(ctx, ch)
	}
	ch.Obj = obj
	ch.Shared = r.sub == nil || r.sub.Style != resource.StyleAction // hooks keep parts of the old object
	if err := r.join(ctx, ch); err != nil {
		return nil, err
	}
	if err := r.tx.Encode(ch); err != nil {
		return nil, err
	}
	ch.Noop = r.tx.Unchanged(ch)
	return ch, nil
}

// beforeUpdate restores what an update cannot change, then asks the kind.
func (r *request) beforeUpdate(ctx context.Context, obj runtime.Object, m metav1.Object, oldObj runtime.Object, old metav1.Object) error {
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return err
	}
	m.SetGeneration(old.GetGeneration())
	m.SetSelfLink("") // is never stored, and would make an update without effect look like one
	prepare, validate, warn := r.hooks()
	if prepare != nil {
		prepare(ctx, obj, oldObj)
	}
	if m.GetUID() == "" {
		m.SetUID(old.GetUID())
	}
	if t := old.GetCreationTimestamp(); !t.IsZero() {
		m.SetCreationTimestamp(t)
	}
	if !old.GetDeletionTimestamp().IsZero() {
		m.SetDeletionTimestamp(old.GetDeletionTimestamp())
	}
	if old.GetDeletionGracePeriodSeconds() != nil && m.GetDeletionGracePeriodSeconds() == nil {
		m.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	}
	path := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessor(m, r.k.Namespaced, validName, path)
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(m, old, path)...)
	if validate != nil {
		errs = append(errs, validate(ctx, obj, oldObj)...)
	}
	if r.k.Types == nil {
		errs = errs.Filter() // what is wrong in metadata, kinds say too
	}
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.k.GVK.GroupKind(), m.GetName(), errs)
	}
	if warn != nil {
		for _, w := range warn(ctx, obj, oldObj) {
			r.Warn(w)
		}
	}
	if r.k.Strategy.Canonicalize != nil {
		r.k.Strategy.Canonicalize(obj)
	}
	return nil
}

// hooks are those of the subresource where it has its own, of the kind
// otherwise (a projection writes the object itself).
func (r *request) hooks() (
	prepare func(context.Context, runtime.Object, runtime.Object),
	validate func(context.Context, runtime.Object, runtime.Object) field.ErrorList,
	warn func(context.Context, runtime.Object, runtime.Object) []string,
) {
	s := &r.k.Strategy
	if r.sub == nil || r.sub.Style == resource.StyleProjection {
		return s.PrepareForUpdate, s.ValidateUpdate, s.Warnings
	}
	return r.sub.PrepareForUpdate, r.sub.ValidateUpdate, nil
}
