// Package daemon runs one long-lived process per data directory: it takes the
// lock, starts the process in the background with a pipe for its progress,
// and finds and stops it again. The lock is an flock, so it is gone with the
// process however that ends.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ProgressFD is the file descriptor on which a child started by Spawn reports
// its steps.
const ProgressFD = 3

// ProgressEnv is set for a child started by Spawn.
const ProgressEnv = "PINTLE_PROGRESS"

// ErrRunning: another process holds the lock.
var ErrRunning = errors.New("already running")

// Lock takes the lock file for this process and writes its pid into it. The
// file must be kept open for as long as the process serves.
//
// # Errors
//   - ErrRunning when another process holds it
func Lock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrRunning
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func writeAt(f *os.File, s string) error { _, err := f.WriteAt([]byte(s), 0); return err }

// Pid returns the pid of the process that holds the lock, or 0.
func Pid(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, fmt.Errorf("lock %s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s is locked but names no process: %w", path, err)
	}
	return pid, nil
}

// Spec says what to start.
type Spec struct {
	Args []string // of this executable
	Env  []string // added to this process's environment
	Log  string   // output is appended here
	// Files are inherited from descriptor 4 on.
	Files []*os.File
}

// Spawn starts this executable in the background in a session of its own and
// returns its process and the pipe on which it reports its steps. The caller
// closes the pipe.
func Spawn(s Spec) (*os.Process, io.ReadCloser, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(s.Log), 0o755); err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	cmd := exec.Command(exe, s.Args...)
	cmd.Env = append(append(os.Environ(), ProgressEnv+"=1"), s.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = append([]*os.File{w}, s.Files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("start %s: %w", exe, err)
	}
	// The child outlives this command; reap it if it ends first.
	go func() { _ = cmd.Wait() }()
	return cmd.Process, r, nil
}

// StartLimit bounds how long a child may take to report that it is ready.
const StartLimit = 3 * time.Minute

// Bound closes the pipe when the child reports nothing for too long, so that
// whoever reads it is not kept for ever. The caller calls stop when it has
// read what it wanted.
func Bound(ctx context.Context, progress io.Closer) (stop func()) {
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	context.AfterFunc(ctx, func() { _ = progress.Close() })
	return cancel
}

// Stop asks the process that holds the lock to end, waits for it, and kills
// it when grace has passed; without grace it is killed at once. It reports whether
// one was running.
func Stop(ctx context.Context, path string, grace time.Duration) (bool, error) {
	pid, err := Pid(path)
	if err != nil || pid == 0 {
		return false, err
	}
	if grace > 0 {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return true, fmt.Errorf("stop process %d: %w", pid, err)
		}
		if waitGone(ctx, path, grace) {
			return true, nil
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return true, fmt.Errorf("kill process %d: %w", pid, err)
	}
	if !waitGone(ctx, path, 10*time.Second) {
		return true, fmt.Errorf("process %d does not end", pid)
	}
	return true, nil
}

func waitGone(ctx context.Context, path string, limit time.Duration) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(limit)
	for {
		if pid, err := Pid(path); err == nil && pid == 0 {
			return true
		}
		select {
		case <-tick.C:
		case <-end:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
