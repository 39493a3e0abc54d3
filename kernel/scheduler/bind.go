package scheduler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
)

var (
	podResource   = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodeResource  = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	eventResource = schema.GroupVersionResource{Group: "events.k8s.io", Version: "v1", Resource: "events"}
)

// binding is one decision on its way to the registry. pod belongs to the
// loop: the binder only carries it.
type binding struct {
	pod  *pod
	obj  *corev1.Pod
	node string
}

// bound is a binding's answer.
type bound struct {
	binding
	err error
}

// binder writes bindings, a batch in as few transactions as the store allows.
type binder struct {
	reg registry.Registry
	in  <-chan []binding
	out chan<- []bound
}

func (b *binder) run(ctx context.Context) error {
	for {
		select {
		case batch := <-b.in:
			answers := b.write(ctx, batch)
			select {
			case b.out <- answers:
			case <-ctx.Done():
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *binder) write(ctx context.Context, batch []binding) []bound {
	items := make([]registry.BatchItem, len(batch))
	for i, x := range batch {
		items[i] = registry.BatchItem{
			Verb:   "create",
			Target: registry.Target{Resource: podResource, Namespace: x.obj.Namespace, Name: x.obj.Name, Subresource: "binding"},
			Object: &corev1.Binding{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"},
				ObjectMeta: metav1.ObjectMeta{Namespace: x.obj.Namespace, Name: x.obj.Name, UID: x.obj.UID},
				Target:     corev1.ObjectReference{Kind: "Node", Name: x.node},
			},
		}
	}
	results, err := b.reg.Batch(ctx, items, false)
	out := make([]bound, len(batch))
	for i, x := range batch {
		out[i].binding = x
		switch {
		case err != nil:
			out[i].err = err
		case i < len(results):
			out[i].err = results[i].Err
		}
	}
	return out
}
