package cgroup_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cgroup"
	"github.com/pintle-io/pintle/internal/testenv"
)

const childEnv = "PINTLE_TEST_CGROUP"

func TestMain(m *testing.M) {
	if g := os.Getenv(childEnv); g != "" {
		if err := cgroup.Enter(g); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		println("entered")
		time.Sleep(time.Minute) // it is killed before
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestEnterFindKillRemove(t *testing.T) {
	testenv.RequireRoot(t)
	top := fmt.Sprintf("/pintle-cgroup-test-%d", os.Getpid())
	group := top + "/a"
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
		if err := cgroup.Remove(top); err != nil {
			t.Error(err)
		}
	})
	if got, err := bufio.NewReader(stderr).ReadString('\n'); got != "entered\n" {
		t.Fatalf("child says %q, %v", got, err)
	}
	pids, err := cgroup.Processes(top)
	if err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("Processes = %v, %v; want %d among them", pids, err, cmd.Process.Pid)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := cgroup.KillAll(top); err != nil {
		t.Error(err)
	}
	<-done
	if pids, err := cgroup.Processes(top); err != nil || len(pids) != 0 {
		t.Errorf("after KillAll: %v, %v", pids, err)
	}
}
