package registry

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Update replaces an object, or the part of it that a subresource serves.
func (c caller) Update(ctx context.Context, t Target, obj runtime.Object, o WriteOptions) (*Result, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, err := c.newUpdate(k, t, obj, o)
	if err != nil {
		return nil, err
	}
	return c.execute(ctx, r)
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
	if r.key == "" {
		return nil, status.BadRequest("name must be provided")
	}
	if r.sub != nil && r.sub.Style == resource.StyleProjection {
		return r, c.planProjection(r, in)
	}
	if r.sub != nil && r.sub.Style != resource.StyleStatus && r.sub.Style != resource.StylePart {
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbUpdate)
	}
	if err := matchName(r.t.Name, m); err != nil {
		return nil, err
	}
	r.plan = func(ctx context.Context, r *request, cur *watch.Object) (*change, error) {
		obj, err := k.ToHub(t.Resource.Version, in)
		if err != nil {
			return nil, err
		}
		return c.planUpdate(ctx, r, cur, obj)
	}
	return r, nil
}

// action is the key of a subresource in Config.Actions.
func action(k *kinds.Kind, s *resource.Subresource) string { return k.GR.String() + "/" + s.Name }

// planUpdate plans a PUT of obj over cur.
func (c *Core) planUpdate(ctx context.Context, r *request, cur *watch.Object, obj runtime.Object) (*change, error) {
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	r.warn(dedupOwners(m, ""))
	if cur == nil {
		if !r.k.Strategy.AllowCreateOnUpdate || r.sub != nil {
			return nil, apierrors.NewNotFound(r.k.GR, r.t.Name)
		}
		if uid := m.GetUID(); uid != "" {
			return nil, status.Precondition(r.k.GR, r.key, r.t.Name, "UID", string(uid), "")
		}
		return c.createOver(ctx, r, r.k.Fields.Create(r.write(), obj))
	}
	old, err := accessor(cur.Obj)
	if err != nil {
		return nil, err
	}
	if uid := m.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, status.Precondition(r.k.GR, r.key, r.t.Name, "UID", string(uid), string(old.GetUID()))
	}
	// Before the expensive steps; revise asks again.
	if err := r.matchRevision(m, cur); err != nil {
		return nil, err
	}
	return c.revise(ctx, r, cur, r.k.Fields.Update(r.write(), cur.Obj, obj))
}

// createOver creates the object that an update or an apply did not find.
func (c *Core) createOver(ctx context.Context, r *request, obj runtime.Object) (*change, error) {
	obj, err := c.mutate(ctx, r, admission.Create, obj, nil)
	if err != nil {
		return nil, err
	}
	return c.planCreate(ctx, r, obj)
}

// matchRevision is optimistic locking: the object's resourceVersion must be
// the present one, or absent where the kind allows it.
func (r *request) matchRevision(m metav1.Object, cur *watch.Object) error {
	rv, err := parseRevision(m.GetResourceVersion())
	switch {
	case err != nil:
		return status.BadRequestf("invalid resource version %q: %v", m.GetResourceVersion(), err)
	case rv == cur.Revision:
		return nil
	case rv != 0:
		return status.Conflict(r.k.GR, r.t.Name)
	case r.k.Strategy.AllowUnconditionalUpdate:
		m.SetResourceVersion(formatRevision(cur.Revision))
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: r.k.Group, Kind: r.k.Resource}, r.t.Name, field.ErrorList{
		field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"),
	})
}

// revise plans obj, private to this plan and with its managed fields tracked,
// as cur's next state. It is the common end of update, patch, apply and
// projections.
func (c *Core) revise(ctx context.Context, r *request, cur *watch.Object, obj runtime.Object) (*change, error) {
	obj, err := c.mutate(ctx, r, admission.Update, obj, cur.Obj)
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
	if err := c.beforeUpdate(ctx, r, obj, m, cur.Obj, old); err != nil {
		return nil, err
	}
	fieldmanager.KeepTimes(obj, m, cur.Obj, old)
	if err := c.validate(ctx, r, admission.Update, obj, cur.Obj); err != nil {
		return nil, err
	}
	return c.replace(ctx, r, cur, obj)
}

// replace makes the change from cur to obj: a write, nothing, or the end of a
// deletion whose last finalizer is gone.
func (c *Core) replace(ctx context.Context, r *request, cur *watch.Object, obj runtime.Object) (*change, error) {
	ch := newChange(r.k, r.t.Namespace, r.t.Name, cur)
	if finished(r.k, obj, cur.Obj) {
		ch.last = obj
		return ch, c.withCompanions(ctx, r, ch)
	}
	ch.obj = obj
	ch.shared = r.sub == nil || r.sub.Style != resource.StyleAction // hooks keep parts of the old object
	if err := c.withCompanions(ctx, r, ch); err != nil {
		return nil, err
	}
	if err := c.encode(r, ch); err != nil {
		return nil, err
	}
	ch.noop = len(ch.extra) == 0 && c.unchanged(ch)
	return ch, nil
}

// beforeUpdate restores what an update cannot change, then asks the kind.
func (c *Core) beforeUpdate(ctx context.Context, r *request, obj runtime.Object, m metav1.Object, oldObj runtime.Object, old metav1.Object) error {
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return err
	}
	m.SetGeneration(old.GetGeneration())
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
	if len(errs) > 0 {
		return apierrors.NewInvalid(r.k.GVK.GroupKind(), m.GetName(), errs)
	}
	if warn != nil {
		for _, w := range warn(ctx, obj, oldObj) {
			r.warn(w)
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

// finished reports that obj may go: it was marked for deletion before, its
// grace is over and nobody holds it any more.
func finished(k *kinds.Kind, obj, oldObj runtime.Object) bool {
	m, err := accessor(obj)
	if err != nil || len(m.GetFinalizers()) > 0 {
		return false
	}
	old, err := accessor(oldObj)
	if err != nil || old.GetDeletionTimestamp() == nil {
		return false
	}
	if grace := old.GetDeletionGracePeriodSeconds(); grace != nil && *grace != 0 {
		return false
	}
	return k.Strategy.Held == nil || !k.Strategy.Held(obj)
}
