package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/store"
)

func watchOrder(t *testing.T, s store.Store) {
	start, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := s.Watch(t.Context(), "", start)
	a1 := put(t, s, "/a", "1")
	a2 := put(t, s, "/a", "2")
	both := commit(t, s,
		store.Op{Key: "/z", Value: []byte("3"), Expect: store.Absent},
		store.Op{Key: "/a", Expect: a2},
		store.Op{Key: "/b", Value: []byte("4"), Expect: store.Absent})
	a3 := put(t, s, "/a", "5")
	want := []store.Event{
		{KV: store.KV{Key: "/a", Value: []byte("1"), ModRevision: a1, CreateRevision: a1}},
		{KV: store.KV{Key: "/a", Value: []byte("2"), ModRevision: a2, CreateRevision: a1}},
		{KV: store.KV{Key: "/z", Value: []byte("3"), ModRevision: both, CreateRevision: both}},
		{Delete: true, KV: store.KV{Key: "/a", ModRevision: both}},
		{KV: store.KV{Key: "/b", Value: []byte("4"), ModRevision: both, CreateRevision: both}},
		{KV: store.KV{Key: "/a", Value: []byte("5"), ModRevision: a3, CreateRevision: a3}},
	}
	var got []store.Event
	for _, b := range take(t, w, len(want)) {
		got = append(got, b.Events...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func watchResumes(t *testing.T, s store.Store) {
	var revs []int64
	for i := range 20 {
		revs = append(revs, put(t, s, fmt.Sprintf("/k/%02d", i), "v"))
	}
	for _, from := range []int{0, 7, 18} {
		b := take(t, s.Watch(t.Context(), "/k/", revs[from]), len(revs)-1-from)
		if got := b[0].Events[0].KV.ModRevision; got != revs[from+1] {
			t.Errorf("watch after %d began at %d", revs[from], got)
		}
		if got := b[len(b)-1].Revision; got != revs[19] {
			t.Errorf("watch after %d came to %d, want %d", revs[from], got, revs[19])
		}
	}
	// From the future: nothing before, everything after.
	w := s.Watch(t.Context(), "/k/", revs[19]+1)
	put(t, s, "/k/skipped", "v")
	rev := put(t, s, "/k/seen", "v")
	if got := take(t, w, 1)[0].Events[0].KV.ModRevision; got != rev {
		t.Errorf("watch of the future began at %d, want %d", got, rev)
	}
}

// watchWhole has a backlog of megabytes, which etcd sends in pieces.
func watchWhole(t *testing.T, s store.Store) {
	start := put(t, s, "/start", "v")
	value := bytes.Repeat([]byte("v"), 10_000)
	const commits = 12
	for i := range commits {
		ops := make([]store.Op, 400)
		for j := range ops {
			ops[j] = store.Op{Key: fmt.Sprintf("/k/%03d", j), Value: append(value, byte(i)), Expect: store.Any}
		}
		commit(t, s, ops...)
	}
	var last int64
	for _, b := range take(t, s.Watch(t.Context(), "", start), commits*400) {
		perRevision := map[int64]int{}
		for _, e := range b.Events {
			perRevision[e.KV.ModRevision]++
			if e.KV.ModRevision <= last {
				t.Fatalf("revision %d came in two batches", e.KV.ModRevision)
			}
		}
		last = b.Revision
		for rev, n := range perRevision {
			if n != 400 || rev > b.Revision {
				t.Errorf("batch %d has %d events of revision %d", b.Revision, n, rev)
			}
		}
	}
}

func watchProgress(t *testing.T, s store.Store) {
	w := s.Watch(t.Context(), "/mine/", put(t, s, "/mine/a", "v"))
	rev := put(t, s, "/other/a", "v")
	deadline := time.After(30 * time.Second)
	for {
		select {
		case b, ok := <-w.Batches():
			if !ok || len(b.Events) > 0 {
				t.Fatalf("got %+v, %v", b, w.Err())
			}
			if b.Revision >= rev {
				return
			}
		case <-deadline:
			t.Fatal("no progress notice came")
		}
	}
}

func watchEnds(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	w := s.Watch(ctx, "", put(t, s, "/a", "v"))
	put(t, s, "/a", "w")
	take(t, w, 1)
	cancel()
	if err := drain(t, w); err != nil {
		t.Errorf("got %v after cancel", err)
	}
	// One that nobody reads ends, too.
	ctx, cancel = context.WithCancel(t.Context())
	w = s.Watch(ctx, "", 0)
	cancel()
	if err := drain(t, w); err != nil {
		t.Errorf("unread watch: got %v after cancel", err)
	}
}

func watchCompacted(t *testing.T, s store.Store) {
	old := put(t, s, "/a", "1")
	put(t, s, "/a", "2")
	rev := put(t, s, "/a", "3")
	if err := s.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	if err := drain(t, s.Watch(t.Context(), "", old)); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("got %v", err)
	}
	w := s.Watch(t.Context(), "", rev)
	next := put(t, s, "/a", "4")
	if got := take(t, w, 1)[0].Revision; got != next {
		t.Errorf("watch after the compaction's revision: got %d, want %d", got, next)
	}
}

// watchMany opens and ends watches while others have a backlog to receive, as when
// many kinds come and go at once: none may keep another from being opened or served.
func watchMany(t *testing.T, s store.Store) {
	const clients, rounds, values = 100, 5, 50
	start := put(t, s, "/start", "v")
	for range values {
		put(t, s, "/k", strings.Repeat("v", 10_000))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for range rounds {
				// Some leave early, with events on their way to them.
				if want := 1 + (values-1)*(i%2); !receives(ctx, s, start, want) {
					t.Errorf("a watch of a backlog did not receive %d events: %v", want, ctx.Err())
					return
				}
			}
		})
	}
	all.Wait()
}

// receives tells whether a watch after a revision brings n events.
func receives(ctx context.Context, s store.Store, after int64, n int) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := s.Watch(ctx, "/k", after)
	for n > 0 {
		select {
		case b, ok := <-w.Batches():
			if !ok {
				return false
			}
			n -= len(b.Events)
		case <-ctx.Done():
			return false
		}
	}
	return true
}
