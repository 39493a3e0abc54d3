package embed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// written makes the data directory of a member that held 500 keys and was
// stopped; the last revision is 3001.
func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := embed.Config{Dir: filepath.Join(dir, "etcd"), Marker: filepath.Join(dir, "marker"), UnsafeNoFsync: true}
	s, err := embed.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		op := store.Op{Key: fmt.Sprint("/a/", i%500), Value: fmt.Appendf(make([]byte, 300), "%d", i), Expect: store.Any}
		if _, err := s.Store().Commit(t.Context(), []store.Op{op}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, offset int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte{0xaa}, n), offset)
	must(t, err)
}

// segment is the only file of the log.
func segment(t *testing.T, member string) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(member, "wal", "*.wal"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("the log in %s is %v: %v", member, logs, err)
	}
	return logs[0]
}

// zero overwrites the end of a file with nothing, as if it had never been
// written.
func zero(t *testing.T, path string, from int64) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Truncate(path, from))
	must(t, os.Truncate(path, info.Size()))
}

// TestDamage breaks what a member left behind in every way that disks and
// people do, and wants to be told at the next start which file it is and what
// to do, rather than an empty cluster, a panic, or to wait.
func TestDamage(t *testing.T) {
	tests := map[string]struct {
		damage  func(t *testing.T, member string)
		err     error // nil: it starts with everything
		mention string
	}{
		"nothing":           {func(*testing.T, string) {}, nil, ""},
		"member gone":       {func(t *testing.T, m string) { must(t, os.RemoveAll(m)) }, embed.ErrMissing, "marker"},
		"directory gone":    {func(t *testing.T, m string) { must(t, os.RemoveAll(filepath.Join(m, "..", ".."))) }, embed.ErrMissing, "marker"},
		"log gone":          {func(t *testing.T, m string) { must(t, os.RemoveAll(filepath.Join(m, "wal"))) }, embed.ErrCorrupt, "member/wal"},
		"no segment of it":  {func(t *testing.T, m string) { must(t, os.Remove(segment(t, m))) }, embed.ErrCorrupt, "member/wal"},
		"log empty":         {func(t *testing.T, m string) { must(t, os.Truncate(segment(t, m), 0)) }, embed.ErrCorrupt, "member/wal"},
		"log cut":           {func(t *testing.T, m string) { must(t, os.Truncate(segment(t, m), 500000)) }, embed.ErrCorrupt, "--skip-hash-check"},
		"log cut early":     {func(t *testing.T, m string) { must(t, os.Truncate(segment(t, m), 100)) }, embed.ErrCorrupt, "member/wal"},
		"log zeroed":        {func(t *testing.T, m string) { zero(t, segment(t, m), 500000) }, embed.ErrCorrupt, "member/wal"},
		"log overwritten":   {func(t *testing.T, m string) { overwrite(t, segment(t, m), 40, 200) }, embed.ErrCorrupt, "member/wal"},
		"database gone":     {func(t *testing.T, m string) { must(t, os.Remove(db(m))) }, embed.ErrCorrupt, "snap/db"}, // the log begins at a snapshot
		"database empty":    {func(t *testing.T, m string) { must(t, os.Truncate(db(m), 0)) }, embed.ErrCorrupt, "snap/db"},
		"database cut":      {func(t *testing.T, m string) { must(t, os.Truncate(db(m), 200000)) }, embed.ErrCorrupt, "snap/db"},
		"its head":          {func(t *testing.T, m string) { overwrite(t, db(m), 0, 16384) }, embed.ErrCorrupt, "snap/db"},
		"one page of it":    {func(t *testing.T, m string) { overwrite(t, db(m), 4096*40, 4096) }, embed.ErrCorrupt, "snap/db"},
		"another":           {func(t *testing.T, m string) { overwrite(t, db(m), 4096*5, 4096) }, embed.ErrCorrupt, "snap/db"},
		"a spare meta page": {func(t *testing.T, m string) { overwrite(t, db(m), 4096, 4096) }, nil, ""}, // there are two
	}
	base := written(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(base)))
			tc.damage(t, filepath.Join(dir, "etcd", "etcd", "member"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := embed.Start(ctx, embed.Config{Dir: filepath.Join(dir, "etcd"), Marker: filepath.Join(dir, "marker"), UnsafeNoFsync: true})
			if tc.err != nil {
				if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.mention) || !strings.Contains(err.Error(), "pintle store restore") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			kvs, _, rev, err := s.Store().List(t.Context(), "/a/", store.ListOptions{})
			if err != nil || len(kvs) != 500 || rev != 3001 {
				t.Errorf("%d keys at %d: %v", len(kvs), rev, err)
			}
		})
	}
}

func db(member string) string { return filepath.Join(member, "snap", "db") }

// TestBeginAnew follows the advice for a cluster that shall be a new one.
func TestBeginAnew(t *testing.T) {
	dir := written(t)
	c := embed.Config{Dir: filepath.Join(dir, "etcd"), Marker: filepath.Join(dir, "marker"), UnsafeNoFsync: true}
	must(t, os.RemoveAll(c.Dir))
	if _, err := embed.Start(t.Context(), c); !errors.Is(err, embed.ErrMissing) {
		t.Fatalf("got %v", err)
	}
	must(t, os.Remove(c.Marker))
	s := start(t, c)
	if rev, err := s.Store().Revision(t.Context()); err != nil || rev != 1 {
		t.Errorf("a new cluster is at %d: %v", rev, err)
	}
}
