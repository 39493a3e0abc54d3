package daemon_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
)

// The test binary is its own daemon: with this variable set it takes the lock
// and waits to be stopped.
const childEnv = "PINTLE_TEST_DAEMON_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if _, err := daemon.Lock(path); err != nil {
			os.Exit(3)
		}
		os.NewFile(daemon.ProgressFD, "progress").Close()
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockIsExclusiveAndStopFreesIt(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "d", "lock")
	if pid, err := daemon.Pid(lock); pid != 0 || err != nil {
		t.Fatalf("Pid before start = %d, %v", pid, err)
	}
	proc, progress, err := daemon.Spawn(daemon.Spec{Env: []string{childEnv + "=" + lock}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	// The child closes its end once it holds the lock.
	if _, err := io.ReadAll(progress); err != nil {
		t.Fatal(err)
	}
	if pid, err := daemon.Pid(lock); pid != proc.Pid || err != nil {
		t.Errorf("Pid = %d, %v, want %d", pid, err, proc.Pid)
	}
	if _, err := daemon.Lock(lock); !errors.Is(err, daemon.ErrRunning) {
		t.Errorf("second Lock: %v, want ErrRunning", err)
	}
	if ran, err := daemon.Stop(t.Context(), lock, 5*time.Second); !ran || err != nil {
		t.Errorf("Stop = %v, %v", ran, err)
	}
	f, err := daemon.Lock(lock)
	if err != nil {
		t.Fatalf("Lock after Stop: %v", err)
	}
	f.Close()
	if ran, err := daemon.Stop(t.Context(), lock, time.Second); ran || err != nil {
		t.Errorf("Stop of nothing = %v, %v", ran, err)
	}
}
