package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/store"
)

func getReads(t *testing.T, s store.Store) {
	value := []byte("1")
	first := commit(t, s, store.Op{Key: "/a", Value: value, Expect: store.Absent})
	value[0] = 'X' // the store must not have kept it
	last := put(t, s, "/b", "2")
	kv, ok, rev, err := s.Get(t.Context(), "/a")
	want := store.KV{Key: "/a", Value: []byte("1"), ModRevision: first, CreateRevision: first}
	if diff := cmp.Diff(want, kv); diff != "" || !ok || rev != last || err != nil {
		t.Errorf("ok %v, revision %d, %v (-want +got):\n%s", ok, rev, err, diff)
	}
	if kv, ok, rev, err := s.Get(t.Context(), "/"); ok || rev != last || err != nil {
		t.Errorf("absent key: got %+v, %v, %d, %v", kv, ok, rev, err)
	}
}

func listPages(t *testing.T, s store.Store) {
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("/p/%d", i))
		put(t, s, want[i], "old")
	}
	kvs, more, rev, err := s.List(t.Context(), "/p/", store.ListOptions{Limit: 4})
	if err != nil || !more || len(kvs) != 4 {
		t.Fatalf("first page: %d keys, more %v, %v", len(kvs), more, err)
	}
	// What happens between pages is not seen.
	put(t, s, "/p/5", "new")
	put(t, s, "/p/55", "new")
	commit(t, s, store.Op{Key: "/p/9", Expect: store.Any})
	got := names(kvs)
	for more {
		var at int64
		kvs, more, at, err = s.List(t.Context(), "/p/", store.ListOptions{Limit: 3, After: got[len(got)-1], Revision: rev})
		if err != nil || at != rev {
			t.Fatalf("next page at %d, want %d: %v", at, rev, err)
		}
		for _, kv := range kvs {
			if string(kv.Value) != "old" {
				t.Errorf("%s is %q in the snapshot", kv.Key, kv.Value)
			}
		}
		got = append(got, names(kvs)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	kvs, more, _, err = s.List(t.Context(), "/p/", store.ListOptions{Limit: 3, After: "/p/9", Revision: rev})
	if len(kvs) != 0 || more || err != nil {
		t.Errorf("behind the last key: %v, more %v, %v", kvs, more, err)
	}
}

func listPrefix(t *testing.T, s store.Store) {
	for _, k := range []string{"/a/1", "/a/2", "/a0", "/b/1", "/a\xff"} {
		put(t, s, k, "v")
	}
	tests := []struct {
		prefix, after string
		want          []string
	}{
		{"/a/", "", []string{"/a/1", "/a/2"}},
		{"/a/", "/a/1", []string{"/a/2"}},
		{"/a/", "/a/10", []string{"/a/2"}},
		{"/a/", "/a", []string{"/a/1", "/a/2"}},
		{"/a/", "/b", []string{}},
		{"/a", "", []string{"/a/1", "/a/2", "/a0", "/a\xff"}},
		{"", "", []string{"/a/1", "/a/2", "/a0", "/a\xff", "/b/1"}},
		{"", "/a0", []string{"/a\xff", "/b/1"}},
		{"/c", "", []string{}},
	}
	for _, tt := range tests {
		kvs, more, _, err := s.List(t.Context(), tt.prefix, store.ListOptions{After: tt.after, KeysOnly: true})
		if diff := cmp.Diff(tt.want, names(kvs)); diff != "" || more || err != nil {
			t.Errorf("%q after %q: more %v, %v (-want +got):\n%s", tt.prefix, tt.after, more, err, diff)
		}
		for _, kv := range kvs {
			if kv.Value != nil {
				t.Errorf("KeysOnly answered the value of %s", kv.Key)
			}
		}
	}
}

func listRevisions(t *testing.T, s store.Store) {
	put(t, s, "/a", "1")
	rev := put(t, s, "/a", "2")
	put(t, s, "/a", "3")
	last := put(t, s, "/a", "4")
	if err := s.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		revision int64
		want     string
		err      error
	}{
		{rev - 1, "", store.ErrCompacted},
		{rev, "2", nil},
		{rev + 1, "3", nil},
		{0, "4", nil},
		{last + 1, "", store.ErrFuture},
	}
	for _, tt := range tests {
		kvs, _, _, err := s.List(t.Context(), "/", store.ListOptions{Revision: tt.revision})
		if !errors.Is(err, tt.err) {
			t.Errorf("at %d: got %v, want %v", tt.revision, err, tt.err)
		}
		if tt.err == nil && (len(kvs) != 1 || string(kvs[0].Value) != tt.want) {
			t.Errorf("at %d: got %v", tt.revision, kvs)
		}
	}
	if err := s.Compact(t.Context(), rev); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("second compaction: got %v", err)
	}
	if err := s.Compact(t.Context(), last+1); !errors.Is(err, store.ErrFuture) {
		t.Errorf("compaction of the future: got %v", err)
	}
}

func revisionCovers(t *testing.T, s store.Store) {
	for range 20 {
		rev := put(t, s, "/a", "1")
		if got, err := s.Revision(t.Context()); err != nil || got != rev {
			t.Fatalf("got %d, %v, want %d", got, err, rev)
		}
	}
}

func compactKeeps(t *testing.T, s store.Store) {
	a := put(t, s, "/a", "1")
	put(t, s, "/b", "1")
	commit(t, s, store.Op{Key: "/b", Expect: store.Any})
	last := put(t, s, "/c", "1")
	if err := s.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, ""); !cmp.Equal(got, []string{"/a", "/c"}) {
		t.Errorf("got %v", got)
	}
	// A key that was deleted and forgotten starts anew.
	b := commit(t, s, store.Op{Key: "/b", Value: []byte("2"), Expect: store.Absent})
	kv, _, _, err := s.Get(t.Context(), "/b")
	if err != nil || kv.CreateRevision != b {
		t.Errorf("got %+v, %v", kv, err)
	}
	commit(t, s, store.Op{Key: "/a", Value: []byte("2"), Expect: a})
	if kv, _, _, _ := s.Get(t.Context(), "/a"); kv.CreateRevision != a {
		t.Errorf("compaction lost the create revision: %+v", kv)
	}
}
