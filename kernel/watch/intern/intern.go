// Package intern has objects share what many of them have in common, the field
// sets of managedFields, so that it is in memory once.
package intern

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// FieldSets keeps one copy of the field sets of managedFields that many objects
// have in common: those of a Deployment's pods are the same to the byte, half a
// kilobyte each, and every copy of an object copies them. What has not been met
// for a while is forgotten; the objects that have it go on to share it. The zero value is
// ready; it is safe for concurrent use.
type FieldSets struct {
	mu       sync.Mutex
	now, old map[string]*metav1.FieldsV1 // guarded by mu
	bytes    int                         // of now; guarded by mu
}

// Sets that are worth it, and how many bytes of them are remembered, twice.
const (
	leastAlike, mostAlike = 64, 8 << 10
	alikeBytes            = 256 << 10
)

// Share has an object that nobody else knows yet share its field sets.
func (f *FieldSets) Share(obj runtime.Object) {
	typed, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return
	}
	m, ok := typed.GetObjectMeta().(*metav1.ObjectMeta)
	if !ok { // of an object without a type, whose entries are made for each look
		return
	}
	entries := m.ManagedFields
	own := false
	for i := range entries {
		set := entries[i].FieldsV1
		if n := len(set.GetRawBytes()); n < leastAlike || n > mostAlike {
			continue
		}
		common := f.common(set)
		if common == set {
			continue
		}
		if !own { // the entries may be those of another object
			entries, own = slices.Clone(entries), true
		}
		entries[i].FieldsV1 = common
	}
	if own {
		m.ManagedFields = entries
	}
}

// common returns the copy of a set that is shared, which may be this one.
func (f *FieldSets) common(set *metav1.FieldsV1) *metav1.FieldsV1 {
	raw := set.GetRawBytes()
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.now[string(raw)]; known != nil {
		return known
	}
	if known := f.old[string(raw)]; known != nil {
		set = known
	}
	if f.bytes > alikeBytes || f.now == nil {
		f.now, f.old, f.bytes = map[string]*metav1.FieldsV1{}, f.now, 0
	}
	f.now[string(raw)] = set
	f.bytes += 2 * len(raw)
	return set
}
