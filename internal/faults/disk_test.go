package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/internal/testenv"
)

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for len(b) > 0 {
		if _, err := f.Write(b); err != nil {
			b = b[:len(b)/2]
		}
	}
}

// big makes a ConfigMap of some hundred kilobytes.
func big(ctx context.Context, c kubernetes.Interface, name string) error {
	_, err := c.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		BinaryData: map[string][]byte{"b": make([]byte, 500<<10)},
	}, metav1.CreateOptions{})
	return err
}

// writeUntilItEnds writes objects until the process ends by itself, with an
// error, and returns the names of those that were acknowledged.
func writeUntilItEnds(t *testing.T, s *server, prefix string) (acked []string) {
	t.Helper()
	c := s.client()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	for i := 0; errors.Is(s.end(10*time.Millisecond), errRuns) && ctx.Err() == nil; i++ {
		name := fmt.Sprint(prefix, "-", i)
		if err := big(ctx, c, name); err == nil {
			acked = append(acked, name)
		}
	}
	if err := s.end(time.Minute); err == nil || errors.Is(err, errRuns) {
		t.Fatalf("on a full disk: %v\n%s", err, s.out)
	}
	return acked
}

// TestFullDisk fills the disk under a server. The process ends and says why; on
// the full disk it says so again; with room it starts, and everything that was
// acknowledged is there.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := testenv.SmallDisk(t, "300m")
	s := newServer(t, filepath.Join(disk, "data"))
	s.start()
	fill(t, filepath.Join(disk, "filler"))
	full := time.Now()
	acked := writeUntilItEnds(t, s, "big")
	took := time.Since(full)
	if out := s.out.String(); !strings.Contains(out, "the disk is full, free some space") || strings.Contains(out, "panic") {
		t.Errorf("the server does not say that the disk is full:\n%s", out)
	}
	// Room that the log was given before may be enough for a start, and for some
	// writes; then it ends again.
	s.launch()
	acked = append(acked, writeUntilItEnds(t, s, "again")...)
	if out := s.out.String(); !strings.Contains(out, "no space left on device") || strings.Contains(out, "panic") {
		t.Errorf("started on a full disk, the server does not say that it is full:\n%s", out)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	s.start()
	for _, name := range acked {
		if _, err := s.client().CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("acknowledged before the disk was full: %v", err)
		}
	}
	t.Logf("%d objects were acknowledged before the end, which came %s after the disk was full", len(acked), took.Round(time.Millisecond))
}

// TestFullDatabase fills the database, by history first, which the server mends
// by itself, then by objects, which it asks a person to delete.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	s := newServer(t, t.TempDir(), "--etcd-quota-backend-bytes", "24Mi", "--unsafe-no-fsync")
	s.start()
	c, ctx := s.client(), t.Context()
	// 60 MiB of history of one object, in a database of 24.
	for range 120 {
		wait(t, "history is reclaimed", func() error {
			if err := big(ctx, c, "again"); err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			return nil
		})
		if err := c.CoreV1().ConfigMaps("default").Delete(ctx, "again", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	n := 0
	wait(t, "the server asks for room", func() error {
		for ; n < 100; n++ {
			if err := big(ctx, c, fmt.Sprint("kept-", n)); err != nil && !apierrors.IsAlreadyExists(err) {
				break
			}
		}
		if out, err := s.run(ctx, "store", "status"); err != nil || !strings.Contains(out, "hold objects; delete some") {
			return fmt.Errorf("%d objects, %v: %s", n, err, out)
		}
		return nil
	})
	if err := s.readyz(); err == nil {
		t.Error("a full server is ready")
	}
	if out, err := s.run(ctx, "store", "reclaim"); err == nil || !strings.Contains(out, "--etcd-quota-backend-bytes") {
		t.Errorf("reclaim: %v: %s", err, out)
	}
	for i := range n {
		if err := c.CoreV1().ConfigMaps("default").Delete(ctx, fmt.Sprint("kept-", i), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	wait(t, "the server takes writes again", func() error { return big(ctx, c, "after") })
	wait(t, "the server is ready", s.readyz)
}

// wait tries until there is no error.
func wait(t testing.TB, what string, f func() error) {
	t.Helper()
	if err := try(what, f); err != nil {
		t.Fatal(err)
	}
}

// try does so and returns the last error after a minute.
func try(what string, f func() error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
