package watch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/btree"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch/progress"
)

// state is what the cache holds of one resource. Only Run's goroutine changes
// objects and log; anybody may register a watcher.
type state struct {
	definition atomic.Pointer[resource.Definition] // the newest one of the resource
	resource   schema.GroupResource
	prefix     string // of its keys, without the slash
	namespaced bool

	serving   atomic.Bool // all its objects are here
	following bool        // its events are applied; guarded by resources.applying
	stale     bool        // its definition decodes otherwise since the last reading began; guarded by resources.applying
	rereading bool        // guarded by resources.applying
	doubted   time.Time   // until then, what writers deposit may be of the definition before; guarded by resources.applying

	mu       sync.RWMutex
	removed  bool                   // from the catalog; guarded by mu
	flight   *flight                // under way, or nil; guarded by mu
	deleted  map[string]bool        // keys that were deleted while the objects are read; guarded by mu
	objects  *btree.BTreeG[*Object] // guarded by mu
	clone    *btree.BTreeG[*Object] // guarded by mu; what snapshots share until the next change, or nil
	revision int64                  // guarded by mu; of the last change of this resource
	log      history                // guarded by mu; written by Run's goroutine, which reads it without
	index    index                  // guarded by mu

	held     int                // bytes of the stored values of objects; guarded by mu
	retired  int                // bytes of the objects that were replaced or deleted so far, about; guarded by mu
	rewinds  int64              // of the cache, when the objects were loaded; guarded by mu
	progress *progress.Progress // of the cache, now
}

func newState(d *resource.Definition, history int, p *progress.Progress) *state {
	s := &state{resource: d.GroupResource(), prefix: d.KeyPrefix, namespaced: d.Namespaced, objects: newTree(), progress: p}
	s.definition.Store(d)
	s.log.limit = history
	return s
}

func newTree() *btree.BTreeG[*Object] {
	return btree.NewG(32, func(a, b *Object) bool { return a.Key < b.Key })
}

// key is the store's key of an object.
func (s *state) key(namespace, name string) string {
	if s.namespaced {
		return s.prefix + "/" + namespace + "/" + name
	}
	return s.prefix + "/" + name
}

func (s *state) get(namespace, name string) *Object {
	probe := &Object{Key: s.key(namespace, name)}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, _ := s.objects.Get(probe)
	return o
}

// field returns the value of a selectable field; "" when the kind's hook panics, which
// must not end the goroutine that follows the store. A request that selects by the
// field comes upon the panic too, and tells of it.
func (s *state) field(o *Object, name string) (value string) {
	defer func() {
		if recover() != nil {
			value = ""
		}
	}()
	if fields := s.definition.Load().Strategy.Fields; fields != nil {
		return fields(o.Obj)[name]
	}
	return "" // the definition had some when the watcher came
}

// at is the revision of the state as it is now. Callers hold mu. The cache's
// revision is published after all states have come to it, so whichever of the
// two is later describes the objects.
func (s *state) at() int64 { return max(s.revision, s.progress.Revision()) }

func (s *state) snapshot() Snapshot {
	s.mu.RLock()
	snap := s.viewLocked()
	s.mu.RUnlock()
	if snap.objects != nil {
		return snap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshotLocked()
}

// viewLocked is a snapshot of the objects as they are. Callers hold mu.
func (s *state) viewLocked() Snapshot {
	return Snapshot{revision: s.at(), state: s, objects: s.clone, retired: s.retired, rewinds: s.rewinds}
}

func (s *state) snapshotLocked() Snapshot {
	if s.clone == nil {
		s.clone = s.objects.Clone()
	}
	return s.viewLocked()
}

// change is one event of the store on its way into a state.
type change struct {
	state    *state
	key      string
	revision int64
	object   *Object // nil for a deletion
}

// apply takes changes in, logs them and hands them to the watchers.
func (s *state) apply(changes []change, out *fanout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clone = nil
	for i := range changes {
		if e, ok := s.take(&changes[i]); ok {
			s.log.add(e)
			s.deliver(e, out)
		}
	}
	out.flush(s.index.remove)
}

// take changes the objects; ok is false when that changes nothing.
func (s *state) take(c *change) (e Event, ok bool) {
	s.revision = c.revision
	if s.deleted != nil {
		s.deleted[c.key] = c.object == nil
	}
	if c.object == nil {
		prev, existed := s.objects.Delete(&Object{Key: c.key})
		if !existed {
			return Event{}, false
		}
		s.held -= prev.stored
		s.passed(prev)
		return Event{Type: Deleted, Revision: c.revision, Object: prev.at(c.revision), Prev: prev}, true
	}
	prev, existed := s.objects.ReplaceOrInsert(c.object)
	s.held += c.object.stored
	e = Event{Type: Added, Revision: c.revision, Object: c.object}
	if existed {
		e.Type, e.Prev = Modified, prev
		s.held -= prev.stored
		s.passed(prev)
	}
	return e, true
}

// passed notes that an object's state is no longer current. Callers hold mu.
func (s *state) passed(o *Object) {
	s.retired += o.footprint()
	if o.pool != nil {
		o.pool.Retire(&o.encodings)
	}
}

// reset replaces everything after a reload. What happened in between is not
// known, so the watchers must list again.
// shared says that several changes of this resource may have made rev.
func (s *state) reset(objects *btree.BTreeG[*Object], rev int64, shared bool) {
	s.mu.Lock()
	watchers := s.index.clear()
	s.objects.Ascend(func(o *Object) bool {
		if now, ok := objects.Get(o); !ok || now != o {
			s.retired += o.footprint()
		}
		return true
	})
	s.objects, s.clone, s.revision, s.rewinds = objects, nil, rev, s.progress.Rewinds()
	s.weigh()
	s.log.reset(rev, shared)
	s.mu.Unlock()
	for _, w := range watchers {
		w.end(ErrTooOld)
	}
}

// weigh finds held anew. Callers hold mu.
func (s *state) weigh() {
	s.held = 0
	s.objects.Ascend(func(o *Object) bool {
		s.held += o.stored
		return true
	})
}

// begin has the events applied from now on, for a reading. Callers hold
// resources.applying.
func (s *state) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.following = true
	s.deleted = map[string]bool{}
	if !s.serving.Load() {
		s.objects, s.clone, s.held = newTree(), nil, 0
	}
}

// abandon is for a reading that failed. Callers hold Cache.applying.
func (s *state) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = nil
	if !s.serving.Load() {
		s.following = false
		s.objects, s.clone, s.held = newTree(), nil, 0
		s.log.reset(0, false)
	}
}

// complete takes in what was read at a revision that the cache has come to.
// What an event has changed since is newer. rev is that of the cache. Watchers of
// what could not be read before must list again: nobody has told them of it. Callers
// hold Cache.applying.
func (s *state) complete(read *btree.BTreeG[*Object], rev int64, shared bool) {
	for _, w := range absorb(s, read, rev, shared) {
		w.end(ErrTooOld)
	}
}

// absorb does what complete says, and returns the watchers to be ended.
func absorb(s *state, read *btree.BTreeG[*Object], rev int64, shared bool) (untold []*Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	serving, fresh := s.serving.Load(), false
	read.Ascend(func(o *Object) bool {
		now, ok := s.objects.Get(o)
		switch {
		case ok && now.Revision == o.Revision:
			s.passed(now)
		case ok || s.deleted[o.Key]:
			return true
		}
		fresh = fresh || !ok
		s.objects.ReplaceOrInsert(o)
		return true
	})
	s.weigh()
	s.clone, s.deleted = nil, nil
	switch {
	case !serving:
		s.revision, s.rewinds = rev, s.progress.Rewinds()
		s.log.reset(rev, shared)
		s.serving.Store(true)
	case fresh:
		s.log.reset(rev, true)
		return s.index.clear()
	}
	return nil
}

// mended takes in what was read at a revision that the cache has come to, for a
// resource of which something could not be read before. What an event has changed since
// is newer. Watchers must list again: they were not told of what is new. Callers hold
// Cache.applying.
func (s *state) mended(read *btree.BTreeG[*Object], rev int64) {
	s.mu.Lock()
	watchers := s.index.clear()
	read.Ascend(func(o *Object) bool {
		now, ok := s.objects.Get(o)
		_, changed := s.deleted[o.Key]
		if changed || ok && now.Revision >= o.Revision {
			return true
		}
		if ok {
			s.passed(now)
		}
		s.objects.ReplaceOrInsert(o)
		return true
	})
	s.weigh()
	s.clone, s.deleted = nil, nil
	s.revision = max(s.revision, rev)
	s.log.reset(rev, true)
	s.mu.Unlock()
	for _, w := range watchers {
		w.end(ErrTooOld)
	}
}

// remove ends the watchers of a resource that is no longer in the catalog, once they
// have been told what happened before, and lets its objects go. Who takes a kind away
// has its objects deleted before: these events must not be lost.
func (s *state) remove() {
	s.mu.Lock()
	s.removed = true
	watchers := s.index.clear()
	s.objects, s.clone, s.held = newTree(), nil, 0
	s.log.reset(s.log.floor, false)
	s.mu.Unlock()
	for _, w := range watchers {
		w.finish(ErrRemoved)
	}
}

func (s *state) isRemoved() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.removed
}

// close ends all watchers.
func (s *state) close() {
	s.mu.Lock()
	watchers := s.index.clear()
	s.mu.Unlock()
	for _, w := range watchers {
		w.end(ErrStopped)
	}
}
