package auth

import (
	"context"
	"log/slog"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Access gives the verbs to components of this process as the HTTP edge gives them
// to clients: an authorizer is asked about every request first. It keeps nothing
// and is safe for concurrent use.
type Access struct {
	Registry   registry.Access
	Authorizer authorizer.UnconditionalAuthorizer
	Log        *slog.Logger // nil discards
}

// As implements registry.Access. What the authorizer does not allow is answered
// Forbidden.
func (a *Access) As(u user.Info) registry.Registry {
	return authorized{reg: a.Registry.As(u), z: Authorization{a.Authorizer, a.Log}, user: u}
}

// authorized asks about every request of one identity.
type authorized struct {
	reg  registry.Registry
	z    Authorization
	user user.Info
}

// may returns nil or Forbidden.
func (r authorized) may(ctx context.Context, verb string, t registry.Target) error {
	return r.z.Check(ctx, authorizer.AttributesRecord{User: r.user, Verb: verb, ResourceRequest: true, Namespace: t.Namespace, Name: t.Name,
		APIGroup: t.Resource.Group, APIVersion: t.Resource.Version, Resource: t.Resource.Resource, Subresource: t.Subresource})
}

// mayCreate is what writes ask that would create their object; then comes what
// they would have asked without.
func (r authorized) mayCreate(next func(context.Context, registry.Target) error) func(context.Context, registry.Target) error {
	return func(ctx context.Context, t registry.Target) error {
		if err := r.may(ctx, "create", t); err != nil || next == nil {
			return err
		}
		return next(ctx, t)
	}
}

func (r authorized) Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error) {
	if err := r.may(ctx, "get", t); err != nil {
		return nil, err
	}
	return r.reg.Get(ctx, t, o)
}

func (r authorized) GetProjection(ctx context.Context, t registry.Target, o metav1.GetOptions) (runtime.Object, error) {
	if err := r.may(ctx, "get", t); err != nil {
		return nil, err
	}
	return r.reg.GetProjection(ctx, t, o)
}

func (r authorized) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	if err := r.may(ctx, "list", t); err != nil {
		return nil, err
	}
	return r.reg.List(ctx, t, o)
}

func (r authorized) Watch(ctx context.Context, t registry.Target, o metav1.ListOptions) (registry.Watcher, error) {
	if err := r.may(ctx, "watch", t); err != nil {
		return nil, err
	}
	return r.reg.Watch(ctx, t, o)
}

func (r authorized) Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	if err := r.may(ctx, "create", t); err != nil {
		return nil, err
	}
	return r.reg.Create(ctx, t, obj, o)
}

func (r authorized) Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	if err := r.may(ctx, "update", t); err != nil {
		return nil, err
	}
	o.MayCreate = r.mayCreate(o.MayCreate)
	return r.reg.Update(ctx, t, obj, o)
}

func (r authorized) Patch(ctx context.Context, t registry.Target, pt types.PatchType, patch []byte, o registry.WriteOptions) (*registry.Result, error) {
	if err := r.may(ctx, "patch", t); err != nil {
		return nil, err
	}
	o.MayCreate = r.mayCreate(o.MayCreate)
	return r.reg.Patch(ctx, t, pt, patch, o)
}

func (r authorized) Delete(ctx context.Context, t registry.Target, o metav1.DeleteOptions) (*registry.Result, error) {
	if err := r.may(ctx, "delete", t); err != nil {
		return nil, err
	}
	return r.reg.Delete(ctx, t, o)
}

func (r authorized) DeleteCollection(ctx context.Context, t registry.Target, o metav1.DeleteOptions, list metav1.ListOptions) (*registry.List, error) {
	if err := r.may(ctx, "deletecollection", t); err != nil {
		return nil, err
	}
	return r.reg.DeleteCollection(ctx, t, o, list)
}

// Batch asks about every item, about those that differ in their names alone as one
// where that is enough. The items that are not allowed are answered Forbidden, and
// the others written, unless atomic is set: then the first Forbidden is the error.
func (r authorized) Batch(ctx context.Context, items []registry.BatchItem, atomic bool) ([]registry.BatchResult, error) {
	var out []registry.BatchResult // made when the first item is refused
	var places []int               // in out, of what is allowed
	items = slices.Clone(items)
	allowed := items
	known := decisions{r: r, all: map[question]bool{}}
	for i := range items {
		o := &items[i].Options
		o.MayCreate = r.mayCreate(o.MayCreate)
		err := known.may(ctx, &items[i])
		switch {
		case err == nil && out != nil:
			allowed, places = append(allowed, items[i]), append(places, i)
		case err == nil:
		case atomic:
			return nil, err
		case out == nil:
			out, allowed = make([]registry.BatchResult, len(items)), append([]registry.BatchItem(nil), items[:i]...)
			for j := range i {
				places = append(places, j)
			}
			fallthrough
		default:
			out[i].Err = err
		}
	}
	results, err := r.reg.Batch(ctx, allowed, atomic)
	if err != nil || out == nil {
		return results, err
	}
	for j, i := range places {
		out[i] = results[j]
	}
	return out, nil
}

// question is what items of a batch have in common.
type question struct {
	verb string
	t    registry.Target // without a name
}

// decisions are what has been decided in the course of one batch.
type decisions struct {
	r   authorized
	all map[question]bool // allowed whatever the name
}

func (d decisions) may(ctx context.Context, it *registry.BatchItem) error {
	q := question{it.Verb, it.Target}
	q.t.Name = ""
	all, asked := d.all[q]
	if !asked {
		all = d.r.may(ctx, q.verb, q.t) == nil
		d.all[q] = all
	}
	if all {
		return nil
	}
	return d.r.may(ctx, it.Verb, it.Target)
}

var _ registry.Access = (*Access)(nil)
