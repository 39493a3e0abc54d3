package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuTime is what a process used so far, in all its threads.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses, and may contain blanks.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const user, system, tick = 11, 12, time.Second / 100 // of USER_HZ
	var ticks int64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// resident is a process's memory in MiB.
func resident(pid int) (float64, error) { return memoryOf(pid, "VmRSS") }

// proportional is a process's memory in MiB with each page counted once: guests
// share the pages of the image that they begin with until they write to them,
// while the resident size counts such a page for each of them.
func proportional(pid int) (float64, error) { return memoryIn(pid, "smaps_rollup", "Pss") }

// memoryOf reads a line of a process's status (proc_pid_status(5)), in MiB.
func memoryOf(pid int, line string) (float64, error) { return memoryIn(pid, "status", line) }

// memoryIn reads a line of a file below a process's directory, in MiB.
func memoryIn(pid int, file, line string) (float64, error) {
	var kib float64
	if _, err := fmt.Sscanf(value(fmt.Sprintf("/proc/%d/%s", pid, file), line), "%f kB", &kib); err != nil {
		return 0, fmt.Errorf("%s of process %d: %w", line, pid, err)
	}
	return kib / 1024, nil
}

// parts says what a process's memory consists of, in MiB: its own, that of
// mapped files, and of memory files (the images that guests begin with).
func parts(pid int) (string, error) {
	var list [3]float64
	for i, line := range []string{"RssAnon", "RssFile", "RssShmem"} {
		n, err := memoryOf(pid, line)
		if err != nil {
			return "", err
		}
		list[i] = n
	}
	return fmt.Sprintf("anonymous %.0f, files %.0f, images %.0f", list[0], list[1], list[2]), nil
}

// stop ends a process that this program started and waits for it.
func stop(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		return cmd.Process.Kill()
	}
}

// until asks every few milliseconds until f is true.
func until(ctx context.Context, f func() bool) error {
	for !f() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// peak is the most memory in MiB that a process has had since resetPeak.
func peak(pid int) (float64, error) { return memoryOf(pid, "VmHWM") }

// resetPeak makes the present memory the most so far (proc_pid_clear_refs(5)).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
