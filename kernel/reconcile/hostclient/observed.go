package hostclient

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Observed remembers the revisions that a plugin knows of, because it wrote them, read
// them or was woken by them, so that what it reads next is not older. The zero value is
// ready; it is safe for concurrent use.
type Observed struct {
	latest     atomic.Int64
	byResource sync.Map // schema.GroupResource → *atomic.Int64
}

// Observe raises what is known of a resource to a revision.
func (w *Observed) Observe(gr schema.GroupResource, rev int64) {
	raise(&w.latest, rev)
	v, ok := w.byResource.Load(gr)
	if !ok {
		v, _ = w.byResource.LoadOrStore(gr, new(atomic.Int64))
	}
	raise(v.(*atomic.Int64), rev)
}

// saw raises what was seen of anything to a revision: what is listed next, of another
// resource perhaps, is not older than what was listed before.
func (w *Observed) saw(rev int64) { raise(&w.latest, rev) }

// any is the latest revision.
func (w *Observed) any() int64 { return w.latest.Load() }

// Of is the latest revision of a resource; 0 when none is known.
func (w *Observed) Of(gr schema.GroupResource) int64 {
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
