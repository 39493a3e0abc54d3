package embed_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// TestLargeValuesLeaveMemory: etcd's raft log, which is cut by number, does not
// keep the versions of a large object.
func TestLargeValuesLeaveMemory(t *testing.T) {
	s := start(t, embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true})
	st, before := s.Store(), liveHeap()
	const size, versions = 4 << 20, 30
	for i := range versions {
		value := bytes.Repeat([]byte{byte(i)}, size)
		if _, err := st.Commit(t.Context(), []store.Op{{Key: "/large", Value: value, Expect: store.Any}}); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for most := before + 7*size; liveHeap() > most; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d MiB are alive after %d versions of %d MiB, %d before", liveHeap()>>20, versions, size>>20, before>>20)
		}
	}
	kv, ok, _, err := st.Get(t.Context(), "/large")
	if err != nil || !ok || len(kv.Value) != size || kv.Value[0] != versions-1 {
		t.Errorf("the last version is lost: %d bytes, %v, %v", len(kv.Value), ok, err)
	}
}

// TestMovedLogIsReadBack: a member whose log was moved on by empty entries
// starts again with what was written.
func TestMovedLogIsReadBack(t *testing.T) {
	dir := t.TempDir()
	value := bytes.Repeat([]byte("v"), 1<<20)
	s, err := embed.Start(t.Context(), embed.Config{Dir: dir, UnsafeNoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	for range 40 { // more than one cut, and more entries than a snapshot follows
		if last, err = s.Store().Commit(t.Context(), []store.Op{{Key: "/k", Value: value, Expect: store.Any}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, embed.Config{Dir: dir, UnsafeNoFsync: true})
	kv, ok, rev, err := again.Store().Get(t.Context(), "/k")
	if err != nil || !ok || kv.ModRevision != last || rev < last || !bytes.Equal(kv.Value, value) {
		t.Errorf("revision %d of %d, %v, %v", kv.ModRevision, last, ok, err)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
