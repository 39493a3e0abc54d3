package registry

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/deletion"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Delete removes an object, or marks it for deletion when finalizers, its
// agent or its kind hold it.
func (c caller) Delete(ctx context.Context, t Target, o metav1.DeleteOptions) (*Result, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, err := c.newDelete(k, t, o)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, r)
}

func (c caller) newDelete(k *kinds.Kind, t Target, o metav1.DeleteOptions) (*request, error) {
	if errs := metavalidation.ValidateDeleteOptions(&o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "DeleteOptions"}, "", errs)
	}
	r, err := c.newRequest(verbDelete, k, t, WriteOptions{DryRun: len(o.DryRun) > 0})
	if err != nil {
		return nil, err
	}
	if r.ID.Key == "" {
		return nil, status.BadRequest("name must be provided")
	}
	if r.sub != nil {
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbDelete)
	}
	r.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		if cur == nil {
			return nil, apierrors.NewNotFound(k.GR, t.Name)
		}
		if err := r.admitDelete(ctx, cur, &o); err != nil {
			return nil, err
		}
		return r.planDelete(ctx, cur, cur.Obj, o)
	}
	return r, nil
}

// planDelete plans the deletion of cur. base is cur's object, or a changed
// copy of it when an action deletes what it changed. o is a private copy.
func (r *request) planDelete(ctx context.Context, cur *watch.Object, base runtime.Object, o metav1.DeleteOptions) (*transaction.Change, error) {
	k := r.k
	obj, err := deletable(ctx, k, base)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := deletion.Preconditions(k.Definition, m, o.Preconditions); err != nil {
		return nil, err
	}
	ch := r.change(cur)
	ch.Reply = deleteReply(k, ch)
	verdict, first, err := deletion.Decide(k.Definition, obj, &o, r.now())
	switch {
	case err != nil:
		return nil, status.Plain(err)
	case verdict == deletion.Pending:
		ch.Noop, ch.Deleting = true, true
		return ch, nil
	case verdict == deletion.Gone:
		return ch, r.join(ctx, ch)
	}
	if first && k.Strategy.PrepareForDelete != nil {
		k.Strategy.PrepareForDelete(ctx, obj)
	}
	if obj, m, err = stored(ctx, k, obj, m); err != nil {
		return nil, err
	}
	m.SetResourceVersion(recent.FormatRevision(cur.Revision))
	ch.Obj, ch.Deleting = obj, true
	if err := r.tx.Encode(ch); err != nil {
		return nil, err
	}
	ch.Noop = r.tx.Unchanged(ch)
	return ch, nil
}

// deletable gives a private copy of an object that is to go. One whose conversion asks
// somebody outside stays in the version in which it is stored: its metadata decides, and
// what nothing holds can be deleted though nobody answers any more.
func deletable(ctx context.Context, k *kinds.Kind, base runtime.Object) (runtime.Object, error) {
	if resource.Defers(k.Typer) {
		return base.DeepCopyObject(), nil
	}
	return k.Hub(ctx, base)
}

// stored is what deletable gave, in the hub version, to be written.
func stored(ctx context.Context, k *kinds.Kind, obj runtime.Object, m metav1.Object) (runtime.Object, metav1.Object, error) {
	if !resource.Defers(k.Typer) {
		return obj, m, nil
	}
	obj, err := k.Hub(ctx, obj)
	if err != nil {
		return nil, nil, err
	}
	m, err = accessor(obj)
	return obj, m, err
}

// deleteReply answers a Status with the object's identity once it is gone, so
// that a client can tell it from one that waits for its finalizers.
func deleteReply(k *kinds.Kind, ch *transaction.Change) func(*watch.Object) (runtime.Object, error) {
	return func(*watch.Object) (runtime.Object, error) {
		if ch.Deleting || k.Strategy.ReturnDeleted {
			return nil, nil
		}
		m, err := accessor(ch.Old.Obj)
		if err != nil {
			return nil, err
		}
		return &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{
			Name: ch.ID.Name, Group: k.Group, Kind: k.Resource, UID: m.GetUID(),
		}}, nil
	}
}

// DeleteCollection deletes what a list with these options finds. Objects that
// vanish meanwhile are no error; the first other error is returned after all
// were tried, but for the failure of an outsider who would be asked about each.
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
	size := len(items)
	if k, err := c.core.kindOf(ctx, t); err == nil && resource.Defers(k.Typer) {
		size = deferred
	}
	var first error
	for part := range slices.Chunk(items, max(size, 1)) {
		results, err := c.Batch(ctx, part, false)
		if err != nil {
			return nil, err
		}
		for i := range results {
			err := results[i].Err
			if err != nil && !apierrors.IsNotFound(err) && first == nil {
				first = err
			}
			if resource.IsOutsiders(err) {
				return found, err
			}
		}
	}
	return found, first
}

// deferred is how many objects are deleted at a time whose conversion asks somebody
// outside: he may be away.
const deferred = 16
