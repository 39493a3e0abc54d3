package embed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/storetest"
)

// start runs a member for one test.
func start(t *testing.T, c embed.Config) *embed.Server {
	t.Helper()
	s, err := embed.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		return start(t, embed.Config{
			Dir: t.TempDir(), UnsafeNoFsync: true, Progress: 100 * time.Millisecond, History: -1,
		}).Store()
	})
}

// TestSuiteRemote runs the suite through sockets, as with an external etcd.
func TestSuiteRemote(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		dir := t.TempDir()
		endpoint := "unix://" + filepath.Join(dir, "client.sock")
		start(t, embed.Config{
			Dir: dir, UnsafeNoFsync: true, Progress: 100 * time.Millisecond, History: -1,
			ClientURLs: []string{endpoint},
		})
		s, err := store.Dial(t.Context(), store.DialConfig{Endpoints: []string{endpoint}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestDialNobody(t *testing.T) {
	endpoint := "unix://" + filepath.Join(t.TempDir(), "absent.sock")
	_, err := store.Dial(t.Context(), store.DialConfig{Endpoints: []string{endpoint}, Timeout: 300 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("got %v", err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	dir := t.TempDir()
	var rev int64
	for i := range 3 {
		s, err := embed.Start(t.Context(), embed.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		st := s.Store()
		kv, ok, now, err := st.Get(t.Context(), "/a")
		if err != nil || ok != (i > 0) || kv.ModRevision != rev || (i > 0 && now != rev) {
			t.Fatalf("start %d: got %+v at %d, want revision %d: %v", i, kv, now, rev, err)
		}
		rev, err = st.Commit(t.Context(), []store.Op{{Key: "/a", Value: fmt.Append(nil, i), Expect: rev}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err, open := <-s.Err(); open {
			t.Errorf("a member closed in good order reports %v", err)
		}
		if _, err := st.Revision(t.Context()); err == nil {
			t.Error("a closed member still answers")
		}
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, embed.Config{Dir: dir, UnsafeNoFsync: true})
	_, err := embed.Start(t.Context(), embed.Config{Dir: dir})
	if !errors.Is(err, embed.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second member: got %v", err)
	}
	// The same database by a process that does not know the lock.
	other := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "etcd"), filepath.Join(other, "etcd")); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Start(t.Context(), embed.Config{Dir: other}); !errors.Is(err, embed.ErrInUse) {
		t.Errorf("database in use: got %v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	url := "http://" + l.Addr().String()
	for _, c := range []embed.Config{{ClientURLs: []string{url}}, {PeerURLs: []string{url}}} {
		c.Dir = t.TempDir()
		_, err := embed.Start(t.Context(), c)
		if !errors.Is(err, embed.ErrAddress) || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("got %v", err)
		}
		// Nothing is left behind that would keep a second attempt from working.
		s, err := embed.Start(t.Context(), embed.Config{Dir: c.Dir, UnsafeNoFsync: true})
		if err != nil {
			t.Errorf("start after the failed one: %v", err)
			continue
		}
		s.Close()
	}
}

// TestQuota fills the database, sees writes refused and everything else go on,
// and gets it to work again by the documented remedy.
func TestQuota(t *testing.T) {
	s := start(t, embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true, Quota: 16 << 20, History: -1})
	st := s.Store()
	value := bytes.Repeat([]byte("v"), 1<<20)
	var err error
	for i := 0; i < 64 && err == nil; i++ {
		_, err = st.Commit(t.Context(), []store.Op{{Key: "/big", Value: value, Expect: store.Any}})
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("writing 64 MiB into 16: %v", err)
	}
	if _, ok, _, err := st.Get(t.Context(), "/big"); !ok || err != nil {
		t.Errorf("a full store does not read: %v", err)
	}
	rev, err := st.Commit(t.Context(), []store.Op{{Key: "/big", Expect: store.Any}})
	if err != nil {
		t.Fatalf("a full store does not delete: %v", err)
	}
	before := s.Usage()
	if !before.Full || before.Quota != 16<<20 {
		t.Errorf("a full database says %+v", before)
	}
	if err := errors.Join(s.Compact(t.Context(), rev), s.Defragment(t.Context()), s.Disarm(t.Context())); err != nil {
		t.Fatal(err)
	}
	if after := s.Usage(); after.File >= before.File/4 || after.Used > after.File || after.Full {
		t.Errorf("reclaimed from %+v to %+v", before, after)
	}
	if _, err := st.Commit(t.Context(), []store.Op{{Key: "/big", Value: value, Expect: store.Absent}}); err != nil {
		t.Errorf("after it was reclaimed: %v", err)
	}
}

func TestTooManyBytes(t *testing.T) {
	st := start(t, embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true}).Store()
	_, err := st.Commit(t.Context(), []store.Op{{Key: "/a", Value: make([]byte, 9<<20), Expect: store.Any}})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestBackup(t *testing.T) {
	s := start(t, embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true})
	if _, err := s.Store().Commit(t.Context(), []store.Op{{Key: "/needle-in-backup", Value: []byte("x"), Expect: store.Any}}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("/needle-in-backup")) {
		t.Errorf("the key is not in %d bytes of backup", out.Len())
	}
}

// TestQuiet checks that a healthy member says nothing above debug, and that
// what it says at debug arrives.
func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "starting an etcd server") {
		t.Error("etcd's messages do not arrive")
	}
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "took too long") {
			t.Errorf("a healthy member says: %s", line)
		}
	}
}

func TestStartEndsWithContext(t *testing.T) {
	// A member of a cluster whose other half never comes.
	dir := t.TempDir()
	a, b := "unix://"+filepath.Join(dir, "a:1"), "unix://"+filepath.Join(dir, "b:1")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := embed.Start(ctx, embed.Config{
		Dir: filepath.Join(dir, "data"), Name: "a", PeerURLs: []string{a},
		InitialCluster: "a=" + a + ",b=" + b, UnsafeNoFsync: true,
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestCompactCounts looks at the size at once: nobody else writes, as in a full
// database.
func TestCompactCounts(t *testing.T) {
	s := start(t, embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true, History: -1})
	st := s.Store()
	for range 5 {
		for range 10 {
			put := []store.Op{{Key: "/big", Value: make([]byte, 1<<20), Expect: store.Any}}
			if _, err := st.Commit(t.Context(), put); err != nil {
				t.Fatal(err)
			}
		}
		rev, err := st.Commit(t.Context(), []store.Op{{Key: "/big", Expect: store.Any}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Compact(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		if u := s.Usage(); u.Used > 1<<20 {
			t.Errorf("nothing is left, and %d bytes are in use", u.Used)
		}
	}
}
