package dynamic

import (
	"context"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Set is a Handler of an informer that has the objects of one resource, and raises a
// signal for whoever looks at them again.
type Set[T runtime.Object] struct {
	changed informer.Signal

	mu    sync.Mutex
	byKey map[string]T // guarded by mu
}

// NewSet makes a Set that raises changed, which several sets may share.
func NewSet[T runtime.Object](changed informer.Signal) *Set[T] { return &Set[T]{changed: changed} }

// Replace implements informer.Handler.
func (s *Set[T]) Replace(ctx context.Context, l *registry.List) {
	byKey := make(map[string]T, len(l.Items))
	for _, o := range l.Items {
		if obj, ok := o.Obj.(T); ok {
			byKey[o.Key] = obj
		}
	}
	s.mu.Lock()
	s.byKey = byKey
	s.mu.Unlock()
	s.changed.Replace(ctx, l)
}

// Apply implements informer.Handler.
func (s *Set[T]) Apply(ctx context.Context, events []watch.Event) {
	s.mu.Lock()
	if s.byKey == nil {
		s.byKey = map[string]T{}
	}
	for _, e := range events {
		obj, ok := e.Object.Obj.(T)
		if e.Type == watch.Deleted || !ok {
			delete(s.byKey, e.Object.Key)
		} else {
			s.byKey[e.Object.Key] = obj
		}
	}
	s.mu.Unlock()
	s.changed.Apply(ctx, events)
}

// List answers the objects in the order of their names. They are shared with the
// cache.
func (s *Set[T]) List() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]T, 0, len(s.byKey))
	for _, key := range slices.Sorted(maps.Keys(s.byKey)) {
		out = append(out, s.byKey[key])
	}
	return out
}
