package embed_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// TestRestore takes a snapshot, goes on writing, loses everything, and begins
// with the snapshot. Whoever knew what came after it is told that it is gone.
func TestRestore(t *testing.T) {
	dir := t.TempDir()
	c := embed.Config{Dir: filepath.Join(dir, "etcd"), Marker: filepath.Join(dir, "marker"), UnsafeNoFsync: true}
	s, err := embed.Start(t.Context(), c)
	must(t, err)
	put := func(s *embed.Server, value string) int64 {
		t.Helper()
		rev, err := s.Store().Commit(t.Context(), []store.Op{{Key: "/a", Value: []byte(value), Expect: store.Any}})
		must(t, err)
		return rev
	}
	put(s, "one")
	file := filepath.Join(dir, "snapshot")
	f, err := os.Create(file)
	must(t, err)
	must(t, s.Backup(t.Context(), f))
	must(t, f.Close())
	last := put(s, "two")
	if _, err := embed.Restore(c, file, false); !errors.Is(err, embed.ErrInUse) {
		t.Errorf("restored under a running member: %v", err)
	}
	must(t, s.Close())

	torn := filepath.Join(dir, "torn")
	b, err := os.ReadFile(file)
	must(t, err)
	for _, part := range [][]byte{nil, b[:len(b)/2], append([]byte("x"), b[1:]...)} {
		must(t, os.WriteFile(torn, part, 0o600))
		if _, err := embed.Restore(c, torn, false); !errors.Is(err, embed.ErrSnapshot) {
			t.Errorf("a torn snapshot: %v", err)
		}
	}
	for _, tc := range []struct {
		file string
		skip bool
		want string
	}{{file, false, "one"}, {filepath.Join(c.Dir, "etcd", "member", "snap", "db"), true, "three"}} {
		kept, err := embed.Restore(c, tc.file, tc.skip)
		must(t, err)
		if _, err := os.Stat(filepath.Join(kept, "member")); err != nil {
			t.Errorf("what was there is not kept: %v", err)
		}
		must(t, os.Rename(kept, filepath.Join(t.TempDir(), "kept"))) // the next one is of the same second
		s, err = embed.Start(t.Context(), c)
		must(t, err)
		kv, _, rev, err := s.Store().Get(t.Context(), "/a")
		if err != nil || string(kv.Value) != tc.want || rev <= last {
			t.Errorf("restored %q at %d, want %q, later than %d: %v", kv.Value, rev, tc.want, last, err)
		}
		w := s.Store().Watch(t.Context(), "", last)
		for range w.Batches() {
			t.Error("a watch from a revision that is no more goes on")
		}
		if !errors.Is(w.Err(), store.ErrCompacted) {
			t.Errorf("a watch from a revision that is no more: %v", w.Err())
		}
		last = put(s, "three")
		must(t, s.Close())
	}
}

// TestRestoreOther: the database of another program changes nothing, and the
// operator reads why.
func TestRestoreOther(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "other.db")
	db, err := bolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("images"))
		return err
	}))
	must(t, db.Close())
	c := embed.Config{Dir: filepath.Join(dir, "etcd"), UnsafeNoFsync: true}
	if _, err := embed.Restore(c, file, true); !errors.Is(err, embed.ErrCorrupt) {
		t.Errorf("another program's database: %v", err)
	}
	for _, d := range []string{"etcd", "restored"} {
		if _, err := os.Stat(filepath.Join(c.Dir, d)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", d, err)
		}
	}
}
