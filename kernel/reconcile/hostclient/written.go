package hostclient

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Written remembers the revisions at which a plugin wrote, so that what it
// reads next is not older. The zero value is ready; it is safe for concurrent
// use.
type Written struct {
	latest     atomic.Int64
	byResource sync.Map // schema.GroupResource → *atomic.Int64
}

func (w *Written) note(gr schema.GroupResource, rev int64) {
	raise(&w.latest, rev)
	v, ok := w.byResource.Load(gr)
	if !ok {
		v, _ = w.byResource.LoadOrStore(gr, new(atomic.Int64))
	}
	raise(v.(*atomic.Int64), rev)
}

// any is the latest revision written.
func (w *Written) any() int64 { return w.latest.Load() }

// of is the latest revision at which a resource was written; 0 for never.
func (w *Written) of(gr schema.GroupResource) int64 {
	if v, ok := w.byResource.Load(gr); ok {
		return v.(*atomic.Int64).Load()
	}
	return 0
}

func raise(v *atomic.Int64, to int64) {
	for {
		was := v.Load()
		if to <= was || v.CompareAndSwap(was, to) {
			return
		}
	}
}
