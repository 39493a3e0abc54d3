package kernel

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// ownWrites are the verbs for objects of the server itself, which no policy
// refuses and for which none is waited.
type ownWrites struct{ registry.Registry }

func (w ownWrites) context(ctx context.Context) context.Context {
	return admission.WithOwnObjects(ctx)
}

func (w ownWrites) Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error) {
	return w.Registry.Get(w.context(ctx), t, o)
}

func (w ownWrites) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	return w.Registry.List(w.context(ctx), t, o)
}

func (w ownWrites) Watch(ctx context.Context, t registry.Target, o metav1.ListOptions) (registry.Watcher, error) {
	return w.Registry.Watch(w.context(ctx), t, o)
}

func (w ownWrites) Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	return w.Registry.Create(w.context(ctx), t, obj, o)
}

func (w ownWrites) Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error) {
	return w.Registry.Update(w.context(ctx), t, obj, o)
}

func (w ownWrites) Patch(ctx context.Context, t registry.Target, pt types.PatchType, patch []byte, o registry.WriteOptions) (*registry.Result, error) {
	return w.Registry.Patch(w.context(ctx), t, pt, patch, o)
}

func (w ownWrites) Delete(ctx context.Context, t registry.Target, o metav1.DeleteOptions) (*registry.Result, error) {
	return w.Registry.Delete(w.context(ctx), t, o)
}

// fieldManager is who wrote the server's own objects.
const fieldManager = "pintle"

// ensure creates an object unless it is there; read says how that may be read.
func (w ownWrites) ensure(ctx context.Context, gvr schema.GroupVersionResource, obj runtime.Object, read metav1.GetOptions) error {
	m, err := metaOf(obj)
	if err != nil {
		return err
	}
	t := registry.Target{Resource: gvr, Namespace: m.GetNamespace(), Name: m.GetName()}
	if _, err := w.Get(ctx, t, read); err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	creation := t
	creation.Name = ""
	if _, err = w.Create(ctx, creation, obj, registry.WriteOptions{FieldManager: fieldManager}); err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	// Another server may have made it meanwhile, and have taken with it what only one can
	// have, such as an address: that is found before the object itself.
	if _, missing := w.Get(ctx, t, metav1.GetOptions{}); missing == nil {
		return nil
	}
	return fmt.Errorf("create %s %s: %w", gvr.Resource, m.GetName(), err)
}
