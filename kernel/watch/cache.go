// Package watch is the watch cache: it follows the store with one watch,
// keeps the current objects of every resource, and fans events out.
//
// Objects are of the hub version, decoded once and encoded at most once per
// revision, version and media type; every list, watch and response shares
// those bytes. The package does no I/O of its own beyond the store's watch and
// never blocks on a slow reader: it cuts it off.
package watch

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// Object is one revision of one object. It is immutable and shared: nobody
// may modify Obj or the encodings.
type Object struct {
	Key       string // the store's key
	Namespace string
	Name      string
	Revision  int64          // its resourceVersion
	Obj       runtime.Object // hub version, with resourceVersion set

	mu  sync.Mutex
	enc []encoding // guarded by mu; few entries, searched linearly
}

type encoding struct {
	version, mediaType string
	bytes              []byte
}

// Encoding returns the object's bytes in a version and media type, calling
// make at most once for each and keeping what it returns.
func (o *Object) Encoding(version, mediaType string, make func(runtime.Object) ([]byte, error)) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.enc {
		if e.version == version && e.mediaType == mediaType {
			return e.bytes, nil
		}
	}
	b, err := make(o.Obj)
	if err != nil {
		return nil, err
	}
	o.enc = append(o.enc, encoding{version, mediaType, b})
	return b, nil
}

// Type is the kind of an event.
type Type uint8

// The event types. Bookmark carries only a revision.
const (
	Added Type = iota + 1
	Modified
	Deleted
	Bookmark
)

func (t Type) String() string {
	return [...]string{"", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"}[t]
}

// Event is one change, in the order of revisions.
type Event struct {
	Type     Type
	Revision int64
	// Object is the new state; of a deletion the last state with the deletion's
	// resourceVersion. Nil for a bookmark.
	Object *Object
	// Prev is the state before, nil for an addition. A watcher with a selector
	// needs it to tell ADDED and DELETED.
	Prev *Object
}
