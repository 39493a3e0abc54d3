package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/store"
)

func commitRevision(t *testing.T, s store.Store) {
	first := put(t, s, "/a", "1")
	second := commit(t, s,
		store.Op{Key: "/a", Value: []byte("2"), Expect: first},
		store.Op{Key: "/b", Value: []byte("3"), Expect: store.Absent})
	if second != first+1 {
		t.Errorf("a commit of two keys went from revision %d to %d", first, second)
	}
	kvs, _, rev, err := s.List(t.Context(), "/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.KV{
		{Key: "/a", Value: []byte("2"), ModRevision: second, CreateRevision: first},
		{Key: "/b", Value: []byte("3"), ModRevision: second, CreateRevision: second},
	}
	if diff := cmp.Diff(want, kvs); diff != "" || rev != second {
		t.Errorf("at revision %d (-want +got):\n%s", rev, diff)
	}
}

func commitPreconditions(t *testing.T, s store.Store) {
	old := put(t, s, "/a", "1")
	now := put(t, s, "/a", "2")
	current := store.KV{Key: "/a", Value: []byte("2"), ModRevision: now, CreateRevision: old}
	tests := []struct {
		name    string
		op      store.Op
		current store.KV
	}{
		{"exists, absent expected", store.Op{Key: "/a", Value: []byte("x"), Expect: store.Absent}, current},
		{"changed since", store.Op{Key: "/a", Value: []byte("x"), Expect: old}, current},
		{"deletion, changed since", store.Op{Key: "/a", Expect: old}, current},
		{"deletion, absent expected", store.Op{Key: "/a", Expect: store.Absent}, current},
		{"never existed", store.Op{Key: "/b", Value: []byte("x"), Expect: now}, store.KV{}},
		{"deletion, never existed", store.Op{Key: "/b", Expect: now}, store.KV{}},
		{"check, changed since", store.Op{Key: "/a", Expect: old, Check: true}, current},
		{"check, absent expected", store.Op{Key: "/a", Expect: store.Absent, Check: true}, current},
		{"check, never existed", store.Op{Key: "/b", Expect: now, Check: true}, store.KV{}},
	}
	for _, tt := range tests {
		_, err := s.Commit(t.Context(), []store.Op{tt.op})
		t.Run(tt.name, func(t *testing.T) { wantConflict(t, err, 0, tt.op.Key, tt.current) })
	}
	commit(t, s, store.Op{Key: "/a", Expect: now})
	_, err := s.Commit(t.Context(), []store.Op{{Key: "/a", Value: []byte("x"), Expect: now}})
	wantConflict(t, err, 0, "/a", store.KV{})
	commit(t, s, store.Op{Key: "/a", Value: []byte("3"), Expect: store.Absent})
	if got := keys(t, s, "/"); !cmp.Equal(got, []string{"/a"}) {
		t.Errorf("got %v", got)
	}
}

func commitAtomic(t *testing.T, s store.Store) {
	a := put(t, s, "/a", "1")
	c := put(t, s, "/c", "1")
	_, err := s.Commit(t.Context(), []store.Op{
		{Key: "/b", Value: []byte("x"), Expect: store.Any},
		{Key: "/a", Value: []byte("x"), Expect: a},
		{Key: "/d", Expect: store.Any},
		{Key: "/c", Value: []byte("x"), Expect: a},
		{Key: "/e", Value: []byte("x"), Expect: c},
	})
	wantConflict(t, err, 3, "/c", store.KV{Key: "/c", Value: []byte("1"), ModRevision: c, CreateRevision: c})
	if got := keys(t, s, "/"); !cmp.Equal(got, []string{"/a", "/c"}) {
		t.Errorf("a refused commit left %v", got)
	}
	if rev, err := s.Revision(t.Context()); err != nil || rev != c {
		t.Errorf("a refused commit moved the revision from %d to %d, %v", c, rev, err)
	}
}

func commitMalformed(t *testing.T, s store.Store) {
	many := make([]store.Op, store.MaxOps+1)
	for i := range many {
		many[i] = store.Op{Key: fmt.Sprintf("/k/%04d", i), Value: []byte("x"), Expect: store.Any}
	}
	if _, err := s.Commit(t.Context(), many); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("more than MaxOps: got %v", err)
	}
	tests := map[string][]store.Op{
		"no operation": {},
		"no key":       {{Value: []byte("x"), Expect: store.Any}},
		"key twice":    {{Key: "/a", Value: []byte("x"), Expect: store.Any}, {Key: "/a", Expect: store.Any}},
		"bad expect":   {{Key: "/a", Value: []byte("x"), Expect: -2}},
		"vain check":   {{Key: "/a", Expect: store.Any, Check: true}},
		"check writes": {{Key: "/a", Value: []byte("x"), Expect: store.Absent, Check: true}},
	}
	for name, ops := range tests {
		if rev, err := s.Commit(t.Context(), ops); err == nil {
			t.Errorf("%s: accepted at revision %d", name, rev)
		}
	}
	if got := keys(t, s, "/"); len(got) > 0 {
		t.Errorf("refused commits left %v", got)
	}
}

// A check refuses a commit and is otherwise nothing: no event, no new revision of
// its key.
func commitChecks(t *testing.T, s store.Store) {
	a := put(t, s, "/a", "1")
	checks := []store.Op{{Key: "/a", Expect: a, Check: true}, {Key: "/none", Expect: store.Absent, Check: true}}
	if got := commit(t, s, checks...); got != a {
		t.Errorf("checks alone moved the revision from %d to %d", a, got)
	}
	b := commit(t, s, append(checks, store.Op{Key: "/b", Value: []byte("1"), Expect: store.Absent})...)
	kvs, _, _, err := s.List(t.Context(), "/", store.ListOptions{})
	want := []store.KV{{Key: "/a", Value: []byte("1"), ModRevision: a, CreateRevision: a}, {Key: "/b", Value: []byte("1"), ModRevision: b, CreateRevision: b}}
	if diff := cmp.Diff(want, kvs); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	now := put(t, s, "/a", "2")
	_, err = s.Commit(t.Context(), append([]store.Op{{Key: "/c", Value: []byte("1"), Expect: store.Absent}}, checks...))
	wantConflict(t, err, 1, "/a", store.KV{Key: "/a", Value: []byte("2"), ModRevision: now, CreateRevision: a})
	if got := keys(t, s, "/"); !cmp.Equal(got, []string{"/a", "/b"}) {
		t.Errorf("a refused commit left %v", got)
	}
}

func commitLarge(t *testing.T, s store.Store) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 512) // 8 KiB
	ops := make([]store.Op, store.MaxOps)
	for i := range ops {
		ops[i] = store.Op{Key: fmt.Sprintf("/k/%04d", i), Value: value, Expect: store.Absent}
	}
	rev := commit(t, s, ops...)
	kvs, _, _, err := s.List(t.Context(), "/k/", store.ListOptions{})
	if err != nil || len(kvs) != store.MaxOps {
		t.Fatalf("got %d keys, %v", len(kvs), err)
	}
	for _, kv := range kvs {
		if kv.ModRevision != rev || !bytes.Equal(kv.Value, value) {
			t.Fatalf("%s: revision %d, %d bytes", kv.Key, kv.ModRevision, len(kv.Value))
		}
	}
	// The last of many that conflicts is named.
	for i := range ops {
		ops[i].Expect = rev
	}
	now := put(t, s, ops[store.MaxOps-1].Key, "new")
	_, err = s.Commit(t.Context(), ops)
	wantConflict(t, err, store.MaxOps-1, ops[store.MaxOps-1].Key,
		store.KV{Key: ops[store.MaxOps-1].Key, Value: []byte("new"), ModRevision: now, CreateRevision: rev})
}

func deleteNothing(t *testing.T, s store.Store) {
	rev := put(t, s, "/a", "1")
	if got := commit(t, s, store.Op{Key: "/b", Expect: store.Any}, store.Op{Key: "/c", Expect: store.Absent}); got != rev {
		t.Errorf("revision went from %d to %d", rev, got)
	}
	next := commit(t, s, store.Op{Key: "/b", Expect: store.Any}, store.Op{Key: "/a", Expect: store.Any})
	if next != rev+1 {
		t.Errorf("revision went from %d to %d", rev, next)
	}
	w := s.Watch(t.Context(), "", rev)
	want := []store.Event{{Delete: true, KV: store.KV{Key: "/a", ModRevision: next}}}
	if diff := cmp.Diff(want, take(t, w, 1)[0].Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func emptyValue(t *testing.T, s store.Store) {
	rev := commit(t, s, store.Op{Key: "/a", Value: []byte{}, Expect: store.Absent})
	kv, ok, _, err := s.Get(t.Context(), "/a")
	if err != nil || !ok || len(kv.Value) != 0 || kv.ModRevision != rev {
		t.Errorf("got %+v, %v, %v", kv, ok, err)
	}
}
