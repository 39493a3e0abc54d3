package watch

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// alike keeps one copy of the field sets of managedFields that many objects
// have in common: those of a Deployment's pods are the same to the byte, half a
// kilobyte each, and every copy of an object copies them. What has not been met
// for a while is forgotten; the objects that have it go on to share it.
type alike struct {
	mu       sync.Mutex
	now, old map[string]*metav1.FieldsV1 // guarded by mu
	bytes    int                         // of now; guarded by mu
}

// Sets that are worth it, and how many bytes of them are remembered, twice.
const (
	leastAlike, mostAlike = 64, 8 << 10
	alikeBytes            = 256 << 10
)

// share has an object that nobody else knows yet share its field sets.
func (a *alike) share(obj runtime.Object) {
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
		common := a.common(set)
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
func (a *alike) common(set *metav1.FieldsV1) *metav1.FieldsV1 {
	raw := set.GetRawBytes()
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.now[string(raw)]; known != nil {
		return known
	}
	if known := a.old[string(raw)]; known != nil {
		set = known
	}
	if a.bytes > alikeBytes || a.now == nil {
		a.now, a.old, a.bytes = map[string]*metav1.FieldsV1{}, a.now, 0
	}
	a.now[string(raw)] = set
	a.bytes += 2 * len(raw)
	return set
}
