package watch

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// hints are objects that writers of this process have just committed, kept
// until their events arrive.
type hints struct {
	mu     sync.Mutex
	byRev  map[int64]map[string]*Object // guarded by mu
	len    int                          // guarded by mu
	passed int64                        // guarded by mu; events up to here have been looked up
}

// maxHints bounds what is kept when the store's watch stalls. Beyond it,
// objects are decoded.
const maxHints = 16384

// Prime tells the cache of an object that the caller has committed at rev, so
// that the cache need not decode it again. obj must be of the hub version,
// carry rev as its resourceVersion, and is shared from now on: nobody may
// modify it. Prime returns the Object that the cache holds or will hold, whose
// encodings are shared with lists and watches; nil if the key belongs to no
// resource. It is a hint: without it everything works the same.
func (c *Cache) Prime(key string, rev int64, obj runtime.Object) *Object {
	states, namespace, name := c.layout.Load().route(key)
	if states == nil {
		return nil
	}
	c.alike.share(obj)
	o := &Object{Key: key, Namespace: namespace, Name: name, Revision: rev, Obj: obj, pool: &c.pool}
	if len(states) > 1 || c.hints.put(o) {
		return o
	}
	s := states[0]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if held, ok := s.objects.Get(o); ok && held.Revision == rev {
		return held
	}
	return o
}

// put keeps a hint; it reports false when the event has passed.
func (h *hints) put(o *Object) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Revision <= h.passed {
		return false
	}
	if h.len >= maxHints {
		return true
	}
	if h.byRev == nil {
		h.byRev = map[int64]map[string]*Object{}
	}
	m := h.byRev[o.Revision]
	if m == nil {
		m = map[string]*Object{}
		h.byRev[o.Revision] = m
	}
	m[o.Key] = o
	h.len++
	return true
}

// get looks the object of an event up, nil if there is no hint.
func (h *hints) get(key string, rev int64) *Object {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byRev[rev][key]
}

// pass forgets the hints of revisions after from up to rev: their events have
// been taken in.
func (h *hints) pass(from, rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passed = rev
	for r := from + 1; r <= rev && h.len > 0; r++ {
		if m, ok := h.byRev[r]; ok {
			h.len -= len(m)
			delete(h.byRev, r)
		}
	}
}

// reset forgets everything up to rev after a reload.
func (h *hints) reset(rev int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byRev, h.len, h.passed = nil, 0, rev
}
