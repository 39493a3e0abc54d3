package objects

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Access is what one plugin may do with objects, under its own permissions.
type Access struct {
	// Source is where what the plugin reads is listed and watched.
	Source informer.Source
	// Resource is what the plugin calls a resource, or an error when it may not list
	// and watch that.
	Resource func(name string) (schema.GroupVersionResource, error)
	// Open starts an instance whose reads r answers, and which may not write.
	Open func(ctx context.Context, r *Reads) (plugin.Instance, error)
	// Do asks an instance that may read and write the API, and whose calls may take as
	// long as a controller's. It is safe for concurrent use. Nil: there is none, and
	// PreBind fails.
	Do func(ctx context.Context, f func(plugin.Instance) error) error
}

// Reads answers what one instance reads from a View, and notes it. It is used by the
// goroutine that asks the instance.
type Reads struct {
	view *View
	refs []Ref
}

// NewReads makes the reads of one instance; a nil view has nothing.
func NewReads(v *View) *Reads { return &Reads{view: v} }

// Latest implements hostclient.Latest.
func (r *Reads) Latest(_ context.Context, t registry.Target) (*watch.Object, error) {
	ref := Ref{t.Resource.GroupResource(), t.Namespace, t.Name}
	r.note(ref)
	o, err := r.view.Get(ref)
	if err != nil {
		return nil, refused(t, err)
	}
	if o == nil {
		return nil, apierrors.NewNotFound(ref.Resource, t.Name)
	}
	return o, nil
}

// LatestAll implements hostclient.Latest.
func (r *Reads) LatestAll(_ context.Context, t registry.Target) ([]*watch.Object, error) {
	ref := Ref{Resource: t.Resource.GroupResource(), Namespace: t.Namespace}
	r.note(ref)
	list, err := r.view.List(ref)
	if err != nil {
		return nil, refused(t, err)
	}
	return list, nil
}

func refused(t registry.Target, err error) error {
	return apierrors.NewForbidden(t.Resource.GroupResource(), t.Name, err)
}

func (r *Reads) note(ref Ref) {
	if !slices.Contains(r.refs, ref) {
		r.refs = append(r.refs, ref)
	}
}

// Now is the number of the last change of what is read.
func (r *Reads) Now() uint64 {
	if r == nil {
		return 0
	}
	return r.view.Now()
}

// Take returns what was read since the last call.
func (r *Reads) Take() []Ref {
	if r == nil || len(r.refs) == 0 {
		return nil
	}
	refs := r.refs
	r.refs = nil
	return refs
}

// RefOf is a plugin's name for an object as a Ref.
func (a *Access) RefOf(resource, namespace, name string) (Ref, error) {
	gvr, err := a.Resource(resource)
	return Ref{gvr.GroupResource(), namespace, name}, err
}
