package cgroup_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/cgroup"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

func detect(t *testing.T) *cgroup.System {
	t.Helper()
	testenv.RequireNetwork(t)
	s, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLife makes a group, puts a process into it, measures, limits, kills and
// removes it, in every hierarchy of this machine.
func TestLife(t *testing.T) {
	s := detect(t)
	group := "/pintle-cgroup-test-" + filepath.Base(t.TempDir()) + filepath.Base(os.Args[0])
	t.Cleanup(func() {
		if err := s.Remove(group); err != nil {
			t.Error(err)
		}
	})
	child := group + "/kubepods/pod1"
	for range 2 { // making it again is no error
		if err := s.Create(child); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	reaped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(reaped) }()
	if err := s.Join(child, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if pids, err := s.Procs(group); err != nil || len(pids) != 1 || pids[0] != cmd.Process.Pid {
		t.Errorf("processes: got %v %v, want %d", pids, err, cmd.Process.Pid)
	}
	if err := s.Limit(child, cgroup.Limits{PIDs: 7, Memory: 64 << 20, CPUShares: 512, CPUQuota: 50000}); err != nil {
		t.Fatal(err)
	}
	if m, ok := s.V1["pids"]; ok {
		if b, err := os.ReadFile(filepath.Join(m, child, "pids.max")); err != nil || strings.TrimSpace(string(b)) != "7" {
			t.Errorf("pids.max: got %s %v", b, err)
		}
	}
	if u, err := s.Usage(child); err != nil || s.V1["pids"] != "" && u.PIDs != 1 {
		t.Errorf("usage: got %+v %v", u, err)
	}
	if kids, err := s.Children(group + "/kubepods"); err != nil || len(kids) != 1 || kids[0] != "pod1" {
		t.Errorf("children: got %v %v", kids, err)
	}
	if err := s.Remove(child); err == nil {
		t.Error("a group with a process was removed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Kill(ctx, group); err != nil {
		t.Fatal(err)
	}
	<-reaped
	for range 2 {
		if err := s.Remove(group); err != nil {
			t.Fatal(err)
		}
	}
	if s.Exists(group) {
		t.Error("the group is left")
	}
	if _, err := s.Usage(group); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("usage of nothing: got %v", err)
	}
}

func TestRootIsSafe(t *testing.T) {
	s := detect(t)
	for _, g := range []string{"", "/", "//"} {
		if err := s.Remove(g); err == nil {
			t.Errorf("%q: removed", g)
		}
	}
}
