package registry

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Delete removes an object, or marks it for deletion when finalizers, its
// agent or its kind hold it.
func (c caller) Delete(ctx context.Context, t Target, o metav1.DeleteOptions) (*Result, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, err := c.newDelete(k, t, o)
	if err != nil {
		return nil, err
	}
	return c.execute(ctx, r)
}

func (c caller) newDelete(k *kinds.Kind, t Target, o metav1.DeleteOptions) (*request, error) {
	if errs := metavalidation.ValidateDeleteOptions(&o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	r, err := c.newRequest(verbDelete, k, t, WriteOptions{DryRun: len(o.DryRun) > 0})
	if err != nil {
		return nil, err
	}
	if r.key == "" {
		return nil, status.BadRequest("name must be provided")
	}
	if r.sub != nil {
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbDelete)
	}
	r.plan = func(ctx context.Context, r *request, cur *watch.Object) (*change, error) {
		if cur == nil {
			return nil, apierrors.NewNotFound(k.GR, t.Name)
		}
		if err := c.admitDelete(ctx, r, cur, &o); err != nil {
			return nil, err
		}
		return c.planDelete(ctx, r, cur, cur.Obj, o)
	}
	return r, nil
}

func (c *Core) admitDelete(ctx context.Context, r *request, cur *watch.Object, o *metav1.DeleteOptions) error {
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

// planDelete plans the deletion of cur. base is cur's object, or a changed
// copy of it when an action deletes what it changed. o is a private copy.
func (c *Core) planDelete(ctx context.Context, r *request, cur *watch.Object, base runtime.Object, o metav1.DeleteOptions) (*change, error) {
	k := r.k
	obj := base.DeepCopyObject()
	obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := deletePreconditions(k, m, o.Preconditions); err != nil {
		return nil, err
	}
	ch := newChange(k, r.t.Namespace, r.t.Name, cur)
	ch.reply = deleteReply(k, ch)
	first := m.GetDeletionTimestamp() == nil
	graceful, pending := c.grace(k, obj, m, &o)
	if pending {
		ch.noop, ch.deleting = true, true
		return ch, nil
	}
	if changed, finalizers := deletionFinalizers(k, obj, m, &o); changed {
		m.SetFinalizers(finalizers)
	}
	kept := k.Strategy.Held != nil && k.Strategy.Held(obj)
	if !kept && len(m.GetFinalizers()) == 0 && (!graceful || *o.GracePeriodSeconds == 0) {
		return ch, c.withCompanions(ctx, r, ch)
	}
	switch {
	case graceful:
	case kept && first: // a Namespace: its phase says the rest
		now := c.now()
		m.SetDeletionTimestamp(&now)
	case !kept:
		c.markDeleting(m)
	}
	if first && k.Strategy.PrepareForDelete != nil {
		k.Strategy.PrepareForDelete(ctx, obj)
	}
	m.SetResourceVersion(formatRevision(cur.Revision))
	ch.obj, ch.deleting = obj, true
	if err := c.encode(r, ch); err != nil {
		return nil, err
	}
	ch.noop = c.unchanged(ch)
	return ch, nil
}

func deletePreconditions(k *kinds.Kind, m metav1.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	conflict := func(format string, args ...any) error {
		return apierrors.NewConflict(schema.GroupResource{Group: k.Group, Resource: k.Kind}, m.GetName(), fmt.Errorf(format, args...))
	}
	if p.UID != nil && *p.UID != m.GetUID() {
		return conflict("the UID in the precondition (%s) does not match the UID in record (%s). "+
			"The object might have been deleted and then recreated", *p.UID, m.GetUID())
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != m.GetResourceVersion() {
		return conflict("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). "+
			"The object might have been modified", *p.ResourceVersion, m.GetResourceVersion())
	}
	return nil
}

// grace decides on graceful deletion and marks m accordingly. graceful: the
// object got its deletion time; o.GracePeriodSeconds is set. pending: it had
// one that stands.
func (c *Core) grace(k *kinds.Kind, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions) (graceful, pending bool) {
	if o.GracePeriodSeconds != nil && *o.GracePeriodSeconds < 0 {
		one := int64(1)
		o.GracePeriodSeconds = &one
	}
	if k.Strategy.GracePeriod == nil {
		return false, false
	}
	if m.GetDeletionTimestamp() != nil {
		return c.shorten(m, o)
	}
	seconds, ok := k.Strategy.GracePeriod(obj, o)
	if !ok {
		return false, false
	}
	o.GracePeriodSeconds = &seconds
	at := metav1.NewTime(c.now().Add(time.Duration(seconds) * time.Second))
	m.SetDeletionTimestamp(&at)
	m.SetDeletionGracePeriodSeconds(&seconds)
	if m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	return true, false
}

// shorten handles a DELETE of an object that is being deleted: only a shorter
// grace has an effect.
func (c *Core) shorten(m metav1.Object, o *metav1.DeleteOptions) (graceful, pending bool) {
	left := m.GetDeletionGracePeriodSeconds()
	if left == nil || *left == 0 {
		return false, false // the deletion was decided and did not get through
	}
	if o.GracePeriodSeconds == nil || *o.GracePeriodSeconds >= *left {
		return false, true
	}
	period := *o.GracePeriodSeconds
	at := metav1.NewTime(m.GetDeletionTimestamp().Add(time.Duration(period-*left) * time.Second))
	if now := c.now(); at.Before(&now) {
		at = now
		if period != 0 {
			period = 1 // still graceful: the agent must see it and confirm
		}
	}
	o.GracePeriodSeconds = &period
	m.SetDeletionTimestamp(&at)
	m.SetDeletionGracePeriodSeconds(&period)
	return true, false
}

// markDeleting marks an object that finalizers hold and that knows no grace.
func (c *Core) markDeleting(m metav1.Object) {
	if m.GetDeletionTimestamp() == nil && m.GetGeneration() > 0 {
		m.SetGeneration(m.GetGeneration() + 1)
	}
	if at, now := m.GetDeletionTimestamp(), c.now(); at == nil || at.After(now.Time) {
		m.SetDeletionTimestamp(&now)
	}
	zero := int64(0)
	m.SetDeletionGracePeriodSeconds(&zero)
}

// deletionFinalizers are the finalizers after the client's wish about
// dependents. An explicit wish comes first, then a finalizer already there,
// then the kind's default.
func deletionFinalizers(k *kinds.Kind, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions) (changed bool, out []string) {
	want := dependents(k, obj, m, o)
	var has []string
	for _, f := range m.GetFinalizers() {
		if f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
			has = append(has, f)
			continue
		}
		out = append(out, f)
	}
	if want != "" {
		out = append(out, want)
	}
	unchanged := (want == "" && len(has) == 0) || (len(has) == 1 && has[0] == want)
	return !unchanged, out
}

// dependents is the finalizer that carries out the policy; "" for background.
func dependents(k *kinds.Kind, obj runtime.Object, m metav1.Object, o *metav1.DeleteOptions) string {
	if k.Strategy.NotCollected {
		return ""
	}
	if o.OrphanDependents != nil {
		if *o.OrphanDependents {
			return metav1.FinalizerOrphanDependents
		}
		return ""
	}
	if o.PropagationPolicy != nil {
		return finalizerOf(*o.PropagationPolicy)
	}
	for _, f := range m.GetFinalizers() {
		if f == metav1.FinalizerOrphanDependents || f == metav1.FinalizerDeleteDependents {
			return f
		}
	}
	if k.Strategy.DefaultPropagation != nil {
		return finalizerOf(k.Strategy.DefaultPropagation(obj))
	}
	return ""
}

func finalizerOf(p metav1.DeletionPropagation) string {
	switch p {
	case metav1.DeletePropagationOrphan:
		return metav1.FinalizerOrphanDependents
	case metav1.DeletePropagationForeground:
		return metav1.FinalizerDeleteDependents
	}
	return ""
}

// deleteReply answers a Status with the object's identity once it is gone, so
// that a client can tell it from one that waits for its finalizers.
func deleteReply(k *kinds.Kind, ch *change) func(*watch.Object) (runtime.Object, error) {
	return func(o *watch.Object) (runtime.Object, error) {
		if ch.deleting || k.Strategy.ReturnDeleted {
			return nil, nil
		}
		m, err := accessor(ch.old.Obj)
		if err != nil {
			return nil, err
		}
		return &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{
			Name: ch.name, Group: k.Group, Kind: k.Resource, UID: m.GetUID(),
		}}, nil
	}
}

// DeleteCollection deletes what a list with these options finds. Objects that
// vanish meanwhile are no error; the first other error is returned after all
// were tried.
func (c caller) DeleteCollection(ctx context.Context, t Target, o metav1.DeleteOptions, list metav1.ListOptions) (*List, error) {
	found, err := c.List(ctx, t, list)
	if err != nil {
		return nil, err
	}
	items := make([]BatchItem, len(found.Items))
	for i, obj := range found.Items {
		it := Target{Resource: t.Resource, Namespace: obj.Namespace, Name: obj.Name}
		items[i] = BatchItem{Verb: verbDelete, Target: it, Delete: *o.DeepCopy()}
	}
	results, err := c.Batch(ctx, items, false)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if err := results[i].Err; err != nil && !apierrors.IsNotFound(err) {
			return found, err
		}
	}
	return found, nil
}
