package source

import (
	"bytes"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// sink receives what a reflector hears about one object.
type sink struct {
	store *Store
	key   key
	entry *entry
}

// set takes the object in and tells the pods if its content changed.
func (s *sink) set(obj runtime.Object) {
	s.store.mu.Lock()
	first := false
	select {
	case <-s.entry.synced:
	default:
		first = true
		close(s.entry.synced)
	}
	changed := !same(s.entry.obj, obj)
	s.entry.obj = obj
	var tell []types.UID
	if changed && !first || first && s.entry.bypassed {
		for uid := range s.entry.pods {
			tell = append(tell, uid)
		}
	}
	s.store.mu.Unlock()
	for _, uid := range tell {
		s.store.changed(uid)
	}
}

// same reports whether two objects hold the same data.
func same(a, b runtime.Object) bool {
	switch x := a.(type) {
	case *corev1.ConfigMap:
		y, ok := b.(*corev1.ConfigMap)
		return ok && maps.Equal(x.Data, y.Data) && maps.EqualFunc(x.BinaryData, y.BinaryData, bytes.Equal)
	case *corev1.Secret:
		y, ok := b.(*corev1.Secret)
		return ok && x.Type == y.Type && maps.EqualFunc(x.Data, y.Data, bytes.Equal)
	}
	return a == nil && b == nil
}

// ours returns the object if it is the one that is followed. A server that
// does not know the field selector sends others too.
func (s *sink) ours(obj any) (runtime.Object, bool) {
	o, ok := obj.(runtime.Object)
	if !ok {
		return nil, false
	}
	m, err := meta.Accessor(o)
	return o, err == nil && m.GetNamespace() == s.key.namespace && m.GetName() == s.key.name
}

// Add stores a new object.
func (s *sink) Add(obj any) error { return s.Update(obj) }

// Update stores a changed object.
func (s *sink) Update(obj any) error {
	if o, ok := s.ours(obj); ok {
		s.set(o)
	}
	return nil
}

// Delete notes that the object is gone.
func (s *sink) Delete(obj any) error {
	if _, ok := s.ours(obj); ok {
		s.set(nil)
	}
	return nil
}

// Replace stores the answer of a list.
func (s *sink) Replace(list []any, _ string) error {
	for _, obj := range list {
		if o, ok := s.ours(obj); ok {
			s.set(o)
			return nil
		}
	}
	s.set(nil)
	return nil
}

// Resync has nothing to do: nothing is derived from the object here.
func (s *sink) Resync() error { return nil }

var _ cache.ReflectorStore = (*sink)(nil)
