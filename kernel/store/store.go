// Package store keeps revisioned objects in etcd. It knows keys and bytes, no
// kinds. One primitive, Commit, carries every write; the revision that it
// returns is the resourceVersion that clients see.
//
// It is the only package that imports etcd. Store is safe for concurrent use.
package store

import (
	"context"
	"errors"
	"fmt"
)

// Errors that callers act on. They are wrapped: test with errors.Is.
var (
	// ErrConflict: a precondition of a Commit failed, nothing was written.
	// errors.As to *ConflictError tells which.
	ErrConflict = errors.New("precondition failed")
	// ErrCompacted: the revision asked for is no longer kept.
	ErrCompacted = errors.New("revision compacted")
	// ErrFuture: the revision asked for does not exist yet.
	ErrFuture = errors.New("revision is in the future")
	// ErrTooLarge: more operations or bytes than a transaction takes.
	ErrTooLarge = errors.New("transaction too large")
)

// ConflictError names the first operation whose precondition failed.
type ConflictError struct {
	Index int    // index into ops
	Key   string // its key
	// Current is what the store held instead; zero ModRevision means absent.
	Current KV
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %v (now at revision %d)", e.Key, ErrConflict, e.Current.ModRevision)
}

// Unwrap makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// Any is the Expect value of an operation without a precondition; Absent
// requires that the key does not exist. Any other value requires the key to
// be at exactly that ModRevision.
const (
	Any    int64 = -1
	Absent int64 = 0
)

// Op is one compare-and-put (or compare-and-delete).
type Op struct {
	Key string
	// Value to put; nil deletes the key. The store does not modify or keep it
	// after Commit returns.
	Value []byte
	// Expect is the precondition: Any, Absent or a ModRevision.
	Expect int64
}

// KV is one stored value.
type KV struct {
	Key            string
	Value          []byte
	ModRevision    int64
	CreateRevision int64
}

// MaxOps is the largest number of operations of one Commit.
const MaxOps = 512

// ListOptions narrow a List.
type ListOptions struct {
	Revision int64  // 0: the latest, linearizable
	Limit    int64  // 0: no limit
	After    string // continue behind this key
	KeysOnly bool
}

// Event is one change of a key.
type Event struct {
	Delete bool
	KV     KV // of a deletion: Key and ModRevision only
	Prev   *KV
}

// Batch is all events of one or several consecutive revisions, in order.
// A revision is never split over two batches. Events is empty for a progress
// notice: every event up to Revision has been delivered.
type Batch struct {
	Revision int64
	Events   []Event
}

// Store is a linearizable key-value store with multi-version history.
type Store interface {
	// Commit applies all ops atomically or none. It returns the revision of
	// the write, which is the ModRevision of every key put. Keys must be
	// distinct and at most MaxOps.
	//
	// # Errors
	//   - ErrConflict (*ConflictError) when a precondition failed
	//   - ErrTooLarge
	//   - ctx's error: the write may or may not have happened
	Commit(ctx context.Context, ops []Op) (revision int64, err error)
	// Get returns the value, or ok=false, and the revision of the read.
	Get(ctx context.Context, key string) (kv KV, ok bool, revision int64, err error)
	// List returns the keys with the prefix in order and whether more follow.
	List(ctx context.Context, prefix string, o ListOptions) (kvs []KV, more bool, revision int64, err error)
	// Revision returns a revision that is at least that of every Commit that
	// finished before the call (a linearizable read).
	Revision(ctx context.Context) (int64, error)
	// Watch delivers every change under prefix after revision, in order. The
	// channel closes when ctx ends or on error; Err of the watcher says why.
	// Values and previous values are included. prefix "" is everything.
	Watch(ctx context.Context, prefix string, after int64) Watcher
	// Compact drops history below revision.
	Compact(ctx context.Context, revision int64) error
	// Close releases the connection. It does not stop an embedded etcd.
	Close() error
}

// Watcher is a running watch.
type Watcher interface {
	Batches() <-chan Batch
	// Err is valid after Batches is closed: ErrCompacted, or nil after ctx ended.
	Err() error
}
