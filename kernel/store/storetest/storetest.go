// Package storetest holds the tests that every implementation of store.Store
// passes. An implementation's own test calls Run; Load, Acks and Verify serve tests
// that kill a store while it is written to.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/store"
)

// Run runs the suite. open returns a store that this test alone uses: empty,
// with fast progress notices, closed by the test's cleanup.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"commit returns the ModRevision of its keys", commitRevision},
		{"commit checks preconditions", commitPreconditions},
		{"commit of many is atomic", commitAtomic},
		{"a check is a precondition and nothing else", commitChecks},
		{"commit refuses malformed ops", commitMalformed},
		{"commit takes MaxOps large values", commitLarge},
		{"deletion of nothing changes nothing", deleteNothing},
		{"an empty value is a value", emptyValue},
		{"get reads what is committed", getReads},
		{"list pages at one revision", listPages},
		{"list keeps to its prefix", listPrefix},
		{"list refuses revisions it cannot serve", listRevisions},
		{"revision covers finished commits", revisionCovers},
		{"watch delivers in order", watchOrder},
		{"watch resumes after a revision", watchResumes},
		{"watch never splits a revision", watchWhole},
		{"watch keeps to its prefix and notes progress", watchProgress},
		{"watch ends with its context", watchEnds},
		{"many watches open while much is sent", watchMany},
		{"watch of a compacted revision fails", watchCompacted},
		{"compaction keeps what is current", compactKeeps},
		{"ended context", endedContext},
		{"counters lose no increment", counters},
		{"transfers keep their sum", transfers},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// put commits one value without precondition.
func put(t *testing.T, s store.Store, key, value string) int64 {
	t.Helper()
	return commit(t, s, store.Op{Key: key, Value: []byte(value), Expect: store.Any})
}

func commit(t *testing.T, s store.Store, ops ...store.Op) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), ops)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return rev
}

// keys lists the keys under a prefix.
func keys(t *testing.T, s store.Store, prefix string) []string {
	t.Helper()
	kvs, more, _, err := s.List(t.Context(), prefix, store.ListOptions{})
	if err != nil || more {
		t.Fatalf("list %s: more %v, %v", prefix, more, err)
	}
	return names(kvs)
}

func names(kvs []store.KV) []string {
	out := []string{}
	for _, kv := range kvs {
		out = append(out, kv.Key)
	}
	return out
}

// wantConflict checks that err is the conflict of one op.
func wantConflict(t *testing.T, err error, index int, key string, current store.KV) {
	t.Helper()
	var c *store.ConflictError
	if !errors.Is(err, store.ErrConflict) || !errors.As(err, &c) {
		t.Fatalf("got %v, want a conflict", err)
	}
	want := &store.ConflictError{Index: index, Key: key, Current: current}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("conflict (-want +got):\n%s", diff)
	}
}

// take reads batches until n events have arrived.
func take(t *testing.T, w store.Watcher, n int) []store.Batch {
	t.Helper()
	var out []store.Batch
	deadline := time.After(30 * time.Second)
	for n > 0 {
		select {
		case b, ok := <-w.Batches():
			if !ok {
				t.Fatalf("watch ended with %d events missing: %v", n, w.Err())
			}
			out = append(out, b)
			n -= len(b.Events)
		case <-deadline:
			t.Fatalf("timed out with %d events missing", n)
		}
	}
	return out
}

// drain reads a watcher to its end and returns its error.
func drain(t *testing.T, w store.Watcher) error {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case _, ok := <-w.Batches():
			if !ok {
				return w.Err()
			}
		case <-deadline:
			t.Fatal("the watch did not end")
		}
	}
}

func endedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Commit(ctx, []store.Op{{Key: "/a", Value: []byte("1"), Expect: store.Any}}); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: got %v", err)
	}
	if _, _, _, err := s.Get(ctx, "/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v", err)
	}
	if _, _, _, err := s.List(ctx, "/", store.ListOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("list: got %v", err)
	}
	if _, err := s.Revision(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("revision: got %v", err)
	}
}
