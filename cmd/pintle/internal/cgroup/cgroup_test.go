package cgroup_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cgroup"
)

const childEnv = "PINTLE_TEST_CGROUP"

func TestMain(m *testing.M) {
	if g := os.Getenv(childEnv); g != "" {
		if err := cgroup.Enter(g); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		println("entered")
		select {}
	}
	os.Exit(m.Run())
}

func TestEnterFindKillRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("cgroups need root: run the tests as root")
	}
	group := "/pintle-cgroup-test/a"
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+group)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cgroup.Remove("/pintle-cgroup-test"); err != nil {
			t.Error(err)
		}
	})
	buf := make([]byte, 200)
	n, _ := stderr.Read(buf)
	if got := string(buf[:n]); got != "entered\n" {
		t.Fatalf("child says %q", got)
	}
	pids, err := cgroup.Processes("/pintle-cgroup-test")
	if err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("Processes = %v, %v; want %d among them", pids, err, cmd.Process.Pid)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := cgroup.KillAll("/pintle-cgroup-test"); err != nil {
		t.Error(err)
	}
	<-done
	if pids, err := cgroup.Processes("/pintle-cgroup-test"); err != nil || len(pids) != 0 {
		t.Errorf("after KillAll: %v, %v", pids, err)
	}
}
