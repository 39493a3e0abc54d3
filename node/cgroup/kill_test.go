package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestKillOnlyMembers: a number that was read from a group, and that the group
// does not have any more, may be anybody's.
func TestKillOnlyMembers(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	defer func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	m := member{cmd.Process.Pid, filepath.Join(t.TempDir(), "cgroup.procs")}
	for what, lists := range map[string]string{"others": "1\n", "nothing": ""} {
		if err := os.WriteFile(m.file, []byte(lists), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.kill(); err != nil {
			t.Errorf("the group lists %s: %v", what, err)
		}
	}
	if err := os.Remove(m.file); err != nil {
		t.Fatal(err)
	}
	if err := m.kill(); err != nil {
		t.Errorf("the group is gone: %v", err)
	}
	// A signal of this process comes after those that were sent before it.
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ended = true
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGTERM {
		t.Errorf("it was ended by %v, want only by this test", got)
	}
	if err := (member{cmd.Process.Pid, m.file}).kill(); err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
}
