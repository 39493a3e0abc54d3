package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/patch"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// project computes a subresource's object from its parent.
func project(ctx context.Context, sub *resource.Subresource, obj runtime.Object) (runtime.Object, error) {
	out, unset, err := projection(ctx, sub, obj)
	if unset != nil {
		return nil, apierrors.NewInternalError(unset)
	}
	return out, err
}

// projection is project for those who are about to write what the object may lack.
func projection(ctx context.Context, sub *resource.Subresource, obj runtime.Object) (out runtime.Object, unset *resource.UnsetError, err error) {
	out, err = sub.Get(ctx, obj)
	if err != nil && !errors.As(err, &unset) {
		if status.Is(err) {
			return nil, nil, err
		}
		return nil, nil, status.BadRequest(err.Error())
	}
	out.GetObjectKind().SetGroupVersionKind(sub.Kind)
	return out, unset, nil
}

// planProjection sets the plan of a PUT of a projected subresource.
func (r *request) planProjection(in runtime.Object) error {
	m, err := accessor(in)
	if err != nil {
		return err
	}
	if err := matchName(r.t.Name, m); err != nil {
		return err
	}
	r.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		return r.throughProjection(ctx, cur, func(old runtime.Object) (runtime.Object, error) {
			next := in.DeepCopyObject()
			next.GetObjectKind().SetGroupVersionKind(r.sub.Kind)
			return r.k.Fields.Track(r.write(ctx), old, next), nil
		})
	}
	return nil
}

// planProjection plans a patch of a projected subresource.
func (p *patcher) planProjection(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
	r := p.r
	return r.throughProjection(ctx, cur, func(old runtime.Object) (runtime.Object, error) {
		if p.patch.Applies() {
			return p.apply(ctx, old)
		}
		next, err := p.patch.To(ctx, old, patch.Subject{Kind: r.sub.Kind, Types: p.scheme})
		if err != nil {
			return nil, err
		}
		next.GetObjectKind().SetGroupVersionKind(r.sub.Kind)
		return r.k.Fields.Track(r.write(ctx), old, next), nil
	})
}

// throughProjection changes an object by way of its projection: the present
// projection goes through edit and what comes out is written back. The
// projection's owners of fields become owners of the object's.
func (r *request) throughProjection(ctx context.Context, cur *watch.Object, edit func(runtime.Object) (runtime.Object, error)) (*transaction.Change, error) {
	if cur == nil {
		return nil, apierrors.NewNotFound(r.k.SubresourceName(r.sub), r.t.Name)
	}
	ctx = versioned(ctx, r.k, r.t)
	obj, err := r.k.Hub(ctx, cur.Obj)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	owners := managedfields.NewScaleHandler(m.GetManagedFields(), r.k.In(r.t.Resource.Version), replicasPaths(r.k, r.sub))
	old, _, err := projection(ctx, r.sub, obj)
	if err != nil {
		return nil, err
	}
	oldMeta, err := accessor(old)
	if err != nil {
		return nil, err
	}
	if entries, err := owners.ToSubresource(); err == nil {
		oldMeta.SetManagedFields(entries)
	}
	next, err := edit(old)
	if err != nil {
		return nil, err
	}
	nextMeta, err := accessor(next)
	if err != nil {
		return nil, err
	}
	if err := r.mergeProjection(cur, m, nextMeta); err != nil {
		return nil, err
	}
	if err := r.sub.Set(ctx, obj, next); err != nil {
		if status.Is(err) {
			return nil, err
		}
		return nil, status.BadRequest(err.Error())
	}
	if entries, err := owners.ToParent(nextMeta.GetManagedFields()); err == nil {
		m.SetManagedFields(entries)
	}
	ch, err := r.revise(ctx, cur, obj)
	if err != nil {
		return nil, err
	}
	ch.Reply = func(o *watch.Object) (runtime.Object, error) { return project(ctx, r.sub, o.Obj) }
	return ch, nil
}

// mergeProjection checks a projection's identity and takes its
// resourceVersion as a precondition.
func (r *request) mergeProjection(cur *watch.Object, m, next metav1.Object) error {
	if err := matchNamespace(r.t.Namespace, next); err != nil {
		return err
	}
	if err := matchName(r.t.Name, next); err != nil {
		return err
	}
	if uid := next.GetUID(); uid != "" && uid != m.GetUID() {
		return status.Precondition(r.k.GR, r.ID.Key, r.t.Name, "UID", string(uid), string(m.GetUID()))
	}
	if rv := next.GetResourceVersion(); rv != "" {
		m.SetResourceVersion(rv)
	}
	return r.matchRevision(m, cur)
}

// replicasPaths tells the field manager which field a Scale stands for.
func replicasPaths(k *kinds.Kind, sub *resource.Subresource) managedfields.ResourcePathMappings {
	out := managedfields.ResourcePathMappings{}
	for _, v := range append([]string{k.StorageVersion}, k.Versions...) {
		gv := k.GVK.GroupVersion()
		gv.Version = v
		if sub.ReplicasPaths == nil {
			out[gv.String()] = fieldpath.MakePathOrDie("spec", "replicas")
		} else {
			out[gv.String()] = sub.ReplicasPaths[v]
		}
	}
	return out
}
