// Package inprocess records the requests of what runs in the server's own process: the
// scheduler, controllers, plugins, the server itself. They take no way over HTTP, where
// requests of clients are recorded, so that they are recorded where they become
// somebody's: at [registry.Access]. Upstream's audit log has them, too, since there they
// come over HTTP like all others.
//
// What the policy leaves out costs the policy's decision and nothing else, and without
// a policy there is nothing of this package in the way.
package inprocess

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Recorder records requests made through what it wraps. It keeps nothing and is safe
// for concurrent use.
type Recorder struct {
	Auditor *audit.Auditor
	// Encode makes JSON of an object in a version.
	Encode func(obj runtime.Object, gv schema.GroupVersion) ([]byte, error)
}

// Of gives the verbs of reg, recorded; reg itself when nothing is.
func (r Recorder) Of(reg registry.Access) registry.Access {
	if r.Auditor == nil {
		return reg
	}
	return access{r, reg}
}

type access struct {
	Recorder
	reg registry.Access
}

// As implements registry.Access.
func (a access) As(u user.Info) registry.Registry {
	if u == nil {
		return a.reg.As(u) // nobody, who is refused
	}
	return recorded{a.Recorder, a.reg.As(u), u}
}

// recorded are the verbs of one identity.
type recorded struct {
	Recorder
	reg  registry.Registry
	user user.Info
}

func (r recorded) Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error) {
	ctx, q := r.begin(ctx, "get", t)
	obj, err := r.reg.Get(ctx, t, o)
	if q != nil {
		q.object(obj, err)
	}
	return obj, err
}

func (r recorded) GetProjection(ctx context.Context, t registry.Target, o metav1.GetOptions) (runtime.Object, error) {
	ctx, q := r.begin(ctx, "get", t)
	obj, err := r.reg.GetProjection(ctx, t, o)
	if q != nil {
		q.answer(obj, 200, err)
	}
	return obj, err
}

func (r recorded) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	ctx, q := r.begin(ctx, "list", t)
	l, err := r.reg.List(ctx, t, o)
	if q != nil {
		q.list(l, err)
	}
	return l, err
}

func (r recorded) Watch(ctx context.Context, t registry.Target, o metav1.ListOptions) (registry.Watcher, error) {
	ctx, q := r.begin(ctx, "watch", t)
	w, err := r.reg.Watch(ctx, t, o)
	switch {
	case q == nil:
		return w, err
	case err != nil:
		q.answer(nil, 0, err)
		return nil, err
	}
	return q.watch(ctx, w), nil
}

func (r recorded) Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	ctx, q := r.begin(ctx, "create", t)
	if q != nil {
		q.brings(obj)
	}
	res, err := r.reg.Create(ctx, t, obj, o)
	if q != nil {
		q.result("create", res, err)
	}
	return res, err
}

func (r recorded) Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	ctx, q := r.begin(ctx, "update", t)
	if q != nil {
		q.brings(obj)
	}
	res, err := r.reg.Update(ctx, t, obj, o)
	if q != nil {
		q.result("update", res, err)
	}
	return res, err
}

func (r recorded) Patch(ctx context.Context, t registry.Target, pt types.PatchType, patch []byte, o registry.WriteOptions) (*registry.Result, error) {
	ctx, q := r.begin(ctx, "patch", t)
	if q != nil {
		q.about.Patch(patch, pt)
	}
	res, err := r.reg.Patch(ctx, t, pt, patch, o)
	if q != nil {
		q.result("patch", res, err)
	}
	return res, err
}

func (r recorded) Delete(ctx context.Context, t registry.Target, o metav1.DeleteOptions) (*registry.Result, error) {
	ctx, q := r.begin(ctx, "delete", t)
	res, err := r.reg.Delete(ctx, t, o)
	if q != nil {
		q.result("delete", res, err)
	}
	return res, err
}

func (r recorded) DeleteCollection(ctx context.Context, t registry.Target, o metav1.DeleteOptions, list metav1.ListOptions) (*registry.List, error) {
	ctx, q := r.begin(ctx, "deletecollection", t)
	l, err := r.reg.DeleteCollection(ctx, t, o, list)
	if q != nil {
		q.list(l, err)
	}
	return l, err
}

// Batch is recorded item by item: of clients each would be a request.
func (r recorded) Batch(ctx context.Context, items []registry.BatchItem, atomic bool) ([]registry.BatchResult, error) {
	var begun []*request // by item; made for the first that is recorded
	for i := range items {
		_, q := r.begin(ctx, items[i].Verb, items[i].Target)
		if q == nil {
			continue
		}
		if begun == nil {
			begun = make([]*request, len(items))
		}
		begun[i] = q
		if items[i].Object != nil {
			q.brings(items[i].Object)
		}
	}
	results, err := r.reg.Batch(ctx, items, atomic)
	for i, q := range begun {
		switch {
		case q == nil:
		case err != nil:
			q.result(items[i].Verb, nil, err)
		default:
			q.result(items[i].Verb, results[i].Result, results[i].Err)
		}
	}
	return results, err
}

var (
	_ registry.Access   = access{}
	_ registry.Registry = recorded{}
)
