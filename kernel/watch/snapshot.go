package watch

import (
	"strings"

	"github.com/google/btree"
)

// Snapshot is all objects of one resource at one revision. It is a value, free
// to copy, safe for concurrent use and valid for as long as it is held. The
// zero Snapshot is empty.
type Snapshot struct {
	revision int64
	state    *state // for its keys; its other fields must not be touched
	objects  *btree.BTreeG[*Object]
	retired  int   // the state's, then
	rewinds  int64 // the state's, then
}

// Revision is the store's revision that the snapshot shows.
func (s Snapshot) Revision() int64 { return s.revision }

// Superseded is about how many bytes the snapshot keeps in memory because it
// is held: those of objects that have changed or gone since.
func (s Snapshot) Superseded() int {
	if s.state == nil {
		return 0
	}
	s.state.mu.RLock()
	defer s.state.mu.RUnlock()
	return s.state.retired - s.retired
}

// Rewound tells whether the store has gone back in time since: the snapshot
// shows what has never been, and its revision may be another one's.
func (s Snapshot) Rewound() bool { return s.state != nil && s.rewinds != s.state.progress.Rewinds() }

// Get returns an object, nil if there is none. namespace is "" for
// cluster-scoped resources.
func (s Snapshot) Get(namespace, name string) *Object {
	if s.objects == nil {
		return nil
	}
	o, _ := s.objects.Get(&Object{Key: s.state.key(namespace, name)})
	return o
}

// Len counts the objects of a namespace, of all with "". The first takes time
// in proportion to the namespace.
func (s Snapshot) Len(namespace string) int {
	if s.objects == nil {
		return 0
	}
	if namespace == "" {
		return s.objects.Len()
	}
	n := 0
	s.Ascend(namespace, "", func(*Object) bool { n++; return true })
	return n
}

// Ascend calls fn for the objects of a namespace (of all with "") in the order
// of their keys, which is upstream's order of lists, from the first behind
// afterKey until fn returns false.
func (s Snapshot) Ascend(namespace, afterKey string, fn func(*Object) bool) {
	if s.objects == nil {
		return
	}
	prefix := s.state.prefix + "/"
	if namespace != "" && s.state.namespaced {
		prefix += namespace + "/"
	}
	from := prefix
	if afterKey >= prefix {
		from = afterKey + "\x00"
	}
	s.objects.AscendGreaterOrEqual(&Object{Key: from}, func(o *Object) bool {
		return strings.HasPrefix(o.Key, prefix) && fn(o)
	})
}

// past is what a watcher is told before the events of its queue.
type past interface {
	// read appends some events to buf and reports whether there are more. It
	// may append none although there are.
	read(buf []Event) (_ []Event, more bool)
}

// chunk is how many events a read appends, about: the log's reader does not
// stop within a revision.
const chunk = 512

// snapshotReader tells a snapshot as Added events, then a bookmark.
type snapshotReader struct {
	snapshot Snapshot
	filter   *Filter
	after    string // key of the last object looked at
}

func (r *snapshotReader) read(buf []Event) ([]Event, bool) {
	state := r.snapshot.state
	field := func(o *Object) string { return state.field(o, r.filter.Field) }
	looked := 0
	r.snapshot.Ascend(r.filter.Namespace, r.after, func(o *Object) bool {
		if looked == chunk {
			return false
		}
		looked++
		r.after = o.Key
		if r.filter.selects(o, field) {
			buf = append(buf, Event{Type: Added, Revision: o.Revision, Object: o})
		}
		return true
	})
	if looked == chunk {
		return buf, true
	}
	return append(buf, Event{Type: Bookmark, InitialEnd: true, Revision: r.snapshot.Revision()}), false
}

var _ past = (*snapshotReader)(nil)
