// Package implementers knows who brings the objects of which resources about:
// plugins that are loaded, by their manifests, and parts of the distribution
// that act by themselves, by their own declarations. Whoever creates an object
// that nobody acts on is told so.
//
// It decides nothing else, and refuses nothing. Everything here is safe for
// concurrent use. Begin at Set, then Rule.
package implementers

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Set is who implements which resources. The zero value is empty and ready.
type Set struct {
	mu     sync.Mutex // of whoever changes it
	byName map[string][]schema.GroupResource
	names  atomic.Pointer[map[schema.GroupResource][]string]
}

// Declare says what the implementer of a name brings about, in place of what it
// said before; nothing takes it out.
func (s *Set) Declare(name string, resources ...schema.GroupResource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(resources) == 0 && s.byName[name] == nil {
		return
	}
	next := maps.Clone(s.byName)
	if next == nil {
		next = map[string][]schema.GroupResource{}
	}
	if len(resources) == 0 {
		delete(next, name)
	} else {
		next[name] = slices.Clone(resources)
	}
	names := map[schema.GroupResource][]string{}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		for _, gr := range next[name] {
			names[gr] = append(names[gr], name)
		}
	}
	s.byName = next
	s.names.Store(&names)
}

// Of names those that implement a resource, in order; none if nobody does. The
// caller must not modify it.
func (s *Set) Of(gr schema.GroupResource) []string {
	if m := s.names.Load(); m != nil {
		return (*m)[gr]
	}
	return nil
}
