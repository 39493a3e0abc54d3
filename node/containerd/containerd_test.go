package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/containerd"
	"github.com/pintle-io/pintle/node/cri"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

func version(t *testing.T, s *containerd.Server) string {
	t.Helper()
	c, err := cri.Connect(s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAdoptAndReplace(t *testing.T) {
	r := testenv.NewRuntime(t)
	first := r.StartContainerd(t)
	if got := version(t, first); !strings.HasPrefix(got, "containerd://") {
		t.Errorf("version: got %s", got)
	}
	pids, err := r.Cgroups.Procs(r.Containerd().Cgroup)
	if err != nil || len(pids) != 1 || pids[0] != first.PID() {
		t.Errorf("its cgroup holds %v %v, want %d", pids, err, first.PID())
	}
	if sid, err := unix.Getsid(first.PID()); err != nil || sid != first.PID() {
		t.Errorf("its session is %d %v, want its own", sid, err)
	}
	second := r.StartContainerd(t)
	if second.PID() != first.PID() {
		t.Errorf("not adopted: process %d, want %d", second.PID(), first.PID())
	}
	cfg := r.Containerd()
	cfg.SandboxImage = "pintle.dev/other:v1"
	third, err := containerd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if third.PID() == first.PID() {
		t.Error("a containerd with another configuration was adopted")
	}
	version(t, third)
	// A pid file that names a stranger is not believed.
	if err := third.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, "containerd.pid"), []byte("1 12345\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fourth, err := containerd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	version(t, fourth)
}

func TestRunStartsItAgain(t *testing.T) {
	r := testenv.NewRuntime(t)
	s := r.StartContainerd(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	old := s.PID()
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c, err := cri.Connect(s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := c.Version(t.Context()); err == nil && s.PID() != old {
			break
		}
		if time.Now().After(end) {
			t.Fatal("not started again")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	version(t, s) // it runs on
}

func TestClearErrors(t *testing.T) {
	testenv.RequireNetwork(t)
	dir := t.TempDir()
	if len(dir) > 60 { // sockets need room
		dir = filepath.Join(os.TempDir(), "pt-errors")
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	broken := filepath.Join(t.TempDir(), "containerd")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo containerd x 1.6.0 && exit 0\necho no such luck >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := containerd.Start(t.Context(), containerd.Config{Dir: dir, Binary: "/none/containerd"})
	if !errors.Is(err, containerd.ErrNoBinary) || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("no binary: got %v", err)
	}
	began := time.Now()
	_, err = containerd.Start(t.Context(), containerd.Config{Dir: dir, Binary: broken})
	if err == nil || !strings.Contains(err.Error(), "no such luck") && !strings.Contains(err.Error(), "ended at once") || time.Since(began) > 10*time.Second {
		t.Errorf("broken: got %v after %s", err, time.Since(began))
	}
}
