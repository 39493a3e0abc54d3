// Package bind writes the scheduler's decisions to the registry, a batch in as
// few transactions as the store allows. It decides nothing and retries nothing:
// each binding comes back with its result.
//
// Several Binders may run at the same time, on the same channels.
package bind

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

var pods = corev1.SchemeGroupVersion.WithResource("pods")

// Batcher writes a batch of objects. A registry.Registry is one.
type Batcher interface {
	Batch(ctx context.Context, items []registry.BatchItem, atomic bool) ([]registry.BatchResult, error)
}

// Binding is one decision on its way to the registry. Decision is the caller's:
// it comes back with the result.
type Binding[T any] struct {
	Pod      *corev1.Pod // shared with the watch cache
	Node     string
	Decision T
}

// Result is what became of a binding.
type Result[T any] struct {
	Binding[T]
	Err error // nil: it is written
}

// Binder writes the batches that come in and answers each with its results, in
// the same order.
type Binder[T any] struct {
	Registry Batcher
	In       <-chan []Binding[T]
	Out      chan<- []Result[T]
}

// Run writes until ctx ends.
func (b *Binder[T]) Run(ctx context.Context) error {
	for {
		select {
		case batch := <-b.In:
			results := b.write(ctx, batch)
			select {
			case b.Out <- results:
			case <-ctx.Done():
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *Binder[T]) write(ctx context.Context, batch []Binding[T]) []Result[T] {
	items := make([]registry.BatchItem, len(batch))
	for i, x := range batch {
		items[i] = registry.BatchItem{
			Verb:   "create",
			Target: registry.Target{Resource: pods, Namespace: x.Pod.Namespace, Name: x.Pod.Name, Subresource: "binding"},
			Object: &corev1.Binding{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Binding"},
				ObjectMeta: metav1.ObjectMeta{Namespace: x.Pod.Namespace, Name: x.Pod.Name, UID: x.Pod.UID},
				Target:     corev1.ObjectReference{Kind: "Node", Name: x.Node},
			},
		}
	}
	results, err := b.Registry.Batch(ctx, items, false)
	out := make([]Result[T], len(batch))
	for i, x := range batch {
		out[i].Binding = x
		switch {
		case err != nil:
			out[i].Err = err
		case i < len(results):
			out[i].Err = results[i].Err
		default:
			out[i].Err = fmt.Errorf("bind %s/%s: the registry gave no answer", x.Pod.Namespace, x.Pod.Name)
		}
	}
	return out
}
