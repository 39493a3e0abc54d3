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
	// ErrTooLarge: more operations or bytes than a transaction takes. The text
	// names the limit and, for an external etcd, the flag that raises it.
	ErrTooLarge = errors.New("transaction too large")
	// ErrNoSpace: the database reached its quota or the disk is full. Reads
	// and deletions go on; the text names the remedy.
	ErrNoSpace = errors.New("no space left in the store")
	// ErrUnreadable: a value is kept in a form that cannot be read, such as
	// encrypted with a key that this process does not have. See KV.Err.
	ErrUnreadable = errors.New("unreadable value")
	// ErrUnavailable: the store did not answer (no leader, stopped, timed
	// out). A write may or may not have happened.
	ErrUnavailable = errors.New("store unavailable")
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
	// Check leaves the key as it is: the precondition, which must be one, is all
	// there is to the operation.
	Check bool
}

// KV is one stored value. Value may be shared with the store and other
// readers: nobody may modify it.
type KV struct {
	Key            string
	Value          []byte
	ModRevision    int64
	CreateRevision int64
	// Stale: the store keeps the value in another form than it would write it
	// in now. Writing the same value again mends that.
	Stale bool
	// Err, when set, says why Value, which is nil then, cannot be read; it wraps
	// ErrUnreadable. One such value does not fail a read of many.
	Err error
}

// MaxOps is the largest number of operations of one Commit. An embedded etcd
// is configured for it; an external one must run with --max-txn-ops=512, or
// larger Commits than its limit (128 by default) fail with ErrTooLarge.
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
}

// Batch is all events of one or several consecutive revisions, in order.
// A revision is never split over two batches. Events is empty for a progress
// notice: every event up to Revision has been delivered.
type Batch struct {
	Revision int64
	Events   []Event
}

// Store is a linearizable key-value store with multi-version history.
// RATIONALE.md: "Why one primitive, `Commit`?"
type Store interface {
	// Commit applies all ops atomically or none. It returns the revision of
	// the write, which is the ModRevision of every key put. There must be one
	// op at least and MaxOps at most, with distinct keys. Deleting an absent
	// key (Expect Any or Absent) is allowed and changes nothing, as does a Check: a
	// Commit that changes nothing returns the current revision.
	//
	// # Errors
	//   - ErrConflict (*ConflictError) when a precondition failed
	//   - ErrTooLarge
	//   - ErrNoSpace
	//   - ErrUnavailable or ctx's error: the write may or may not have happened
	Commit(ctx context.Context, ops []Op) (revision int64, err error)
	// Get returns the value, or ok=false, and the revision of the read.
	Get(ctx context.Context, key string) (kv KV, ok bool, revision int64, err error)
	// List returns the keys with the prefix in order, whether more follow, and
	// the revision of the view: o.Revision when that is set.
	//
	// # Errors
	//   - ErrCompacted, ErrFuture when o.Revision cannot be served
	List(ctx context.Context, prefix string, o ListOptions) (kvs []KV, more bool, revision int64, err error)
	// Revision returns a revision that is at least that of every Commit that
	// finished before the call (a linearizable read).
	Revision(ctx context.Context) (int64, error)
	// Watch delivers every change under prefix after revision, in order. The
	// channel closes when ctx ends or on error; Err of the watcher says why.
	// A revision that does not exist yet is waited for. prefix "" is everything.
	Watch(ctx context.Context, prefix string, after int64) Watcher
	// Compact drops history below revision: reads at it and watches after it
	// still work. ErrCompacted when that has happened already.
	Compact(ctx context.Context, revision int64) error
	// Close releases the connection. It does not stop an embedded etcd.
	Close() error
}

// Watcher is a running watch.
type Watcher interface {
	Batches() <-chan Batch
	// Err is valid after Batches is closed: ErrCompacted, ErrUnavailable, or
	// nil after ctx ended.
	Err() error
}
