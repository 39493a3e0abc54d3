// Package memory is a store in this process's memory, for tests and for
// simulations. It keeps the contract of store.Store, including history,
// compaction and the order of events; kernel/store/storetest runs the same
// suite on it and on etcd.
//
// It does not model: durability, quota and disk (ErrNoSpace), the limit on a
// transaction's bytes, time-outs and lost leaders (ErrUnavailable, except
// after Close), periodic progress notices (it sends one whenever a watcher
// has passed changes of other prefixes), batches of several revisions, and the
// latency of any of these.
package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/pintle-io/pintle/kernel/store"
)

// New returns an empty store. Its first revision is 1, as etcd's.
func New() store.Store {
	return &memory{
		rev:     1,
		keys:    btree.NewG(32, func(a, b *history) bool { return a.key < b.key }),
		changed: make(chan struct{}),
	}
}

type memory struct {
	mu        sync.RWMutex
	rev       int64                   // guarded by mu
	compacted int64                   // guarded by mu
	keys      *btree.BTreeG[*history] // guarded by mu
	log       []store.Batch           // guarded by mu; one revision each, all above compacted
	changed   chan struct{}           // guarded by mu; closed and replaced by every change
	closed    bool                    // guarded by mu
}

// history is what a key was, oldest first. A deletion is a version without a
// create revision.
type history struct {
	key      string
	versions []store.KV
}

// at returns the version in force at a revision; ok is false when the key did
// not exist.
func (h *history) at(rev int64) (kv store.KV, ok bool) {
	for i := len(h.versions) - 1; i >= 0; i-- {
		if v := h.versions[i]; v.ModRevision <= rev {
			return v, v.CreateRevision != 0
		}
	}
	return store.KV{}, false
}

func (m *memory) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	if err := store.CheckOps(ops); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, errClosed
	}
	for i := range ops {
		if ops[i].Expect == store.Any {
			continue
		}
		if current, _ := m.current(ops[i].Key); current.ModRevision != ops[i].Expect {
			return 0, &store.ConflictError{Index: i, Key: ops[i].Key, Current: current}
		}
	}
	var events []store.Event
	for i := range ops {
		if e, changed := m.apply(&ops[i], m.rev+1); changed {
			events = append(events, e)
		}
	}
	if len(events) > 0 {
		m.rev++
		m.log = append(m.log, store.Batch{Revision: m.rev, Events: events})
		close(m.changed)
		m.changed = make(chan struct{})
	}
	return m.rev, nil
}

// apply writes one op at rev. It reports false for a check, and for the deletion of
// a key that does not exist.
func (m *memory) apply(op *store.Op, rev int64) (store.Event, bool) {
	if op.Check {
		return store.Event{}, false
	}
	current, exists := m.current(op.Key)
	if op.Value == nil {
		if !exists {
			return store.Event{}, false
		}
		h, _ := m.keys.Get(&history{key: op.Key})
		gone := store.KV{Key: op.Key, ModRevision: rev}
		h.versions = append(h.versions, gone)
		return store.Event{Delete: true, KV: gone}, true
	}
	kv := store.KV{Key: op.Key, Value: append([]byte{}, op.Value...), ModRevision: rev, CreateRevision: rev}
	if exists {
		kv.CreateRevision = current.CreateRevision
	}
	h, ok := m.keys.Get(&history{key: op.Key})
	if !ok {
		h = &history{key: op.Key}
		m.keys.ReplaceOrInsert(h)
	}
	h.versions = append(h.versions, kv)
	return store.Event{KV: kv}, true
}

// current returns the present version of a key, zero when there is none.
func (m *memory) current(key string) (store.KV, bool) {
	h, ok := m.keys.Get(&history{key: key})
	if !ok {
		return store.KV{}, false
	}
	kv, ok := h.at(m.rev)
	if !ok {
		return store.KV{}, false
	}
	return kv, true
}

func (m *memory) Get(ctx context.Context, key string) (store.KV, bool, int64, error) {
	if err := ctx.Err(); err != nil {
		return store.KV{}, false, 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return store.KV{}, false, 0, errClosed
	}
	kv, ok := m.current(key)
	return kv, ok, m.rev, nil
}

func (m *memory) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	rev, err := m.readAt(o.Revision)
	if err != nil {
		return nil, false, 0, fmt.Errorf("list %s: %w", prefix, err)
	}
	from := prefix
	if o.After >= prefix && o.After != "" {
		from = o.After + "\x00"
	}
	kvs, more := []store.KV{}, false
	m.keys.AscendGreaterOrEqual(&history{key: from}, func(h *history) bool {
		if !strings.HasPrefix(h.key, prefix) {
			return false
		}
		kv, ok := h.at(rev)
		if !ok {
			return true
		}
		if more = o.Limit > 0 && int64(len(kvs)) == o.Limit; more {
			return false
		}
		if o.KeysOnly {
			kv.Value = nil
		}
		kvs = append(kvs, kv)
		return true
	})
	return kvs, more, rev, nil
}

// readAt checks a revision to read at; 0 is the present one.
func (m *memory) readAt(rev int64) (int64, error) {
	switch {
	case m.closed:
		return 0, errClosed
	case rev == 0:
		return m.rev, nil
	case rev < m.compacted:
		return 0, store.ErrCompacted
	case rev > m.rev:
		return 0, store.ErrFuture
	}
	return rev, nil
}

func (m *memory) Revision(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.readAt(0)
}

func (m *memory) Compact(ctx context.Context, revision int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case revision <= m.compacted:
		return fmt.Errorf("compact to %d: %w", revision, store.ErrCompacted)
	case revision > m.rev:
		return fmt.Errorf("compact to %d: %w", revision, store.ErrFuture)
	}
	m.compacted = revision
	m.log = append([]store.Batch(nil), m.log[m.logIndex(revision):]...)
	var empty []*history
	m.keys.Ascend(func(h *history) bool {
		if h.compact(revision); len(h.versions) == 0 {
			empty = append(empty, h)
		}
		return true
	})
	for _, h := range empty {
		m.keys.Delete(h)
	}
	// Watchers that still wanted what is gone find out.
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// compact forgets the versions that no read at rev or later can see.
func (h *history) compact(rev int64) {
	keep := 0
	for i := range h.versions {
		if h.versions[i].ModRevision <= rev {
			keep = i
		}
	}
	if v := h.versions[keep]; v.ModRevision <= rev && v.CreateRevision == 0 {
		keep++ // a deletion leaves nothing to see
	}
	h.versions = append([]store.KV(nil), h.versions[keep:]...)
}

// Close makes every later call fail and ends all watches.
func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.changed)
	}
	return nil
}

var errClosed = fmt.Errorf("%w: closed", store.ErrUnavailable)

var _ store.Store = (*memory)(nil)
