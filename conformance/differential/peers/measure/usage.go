// Package measure says what processes cost: CPU time, memory at most, and time
// by the clock; and makes a table of it that sets one side beside the other.
package measure

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/servers"
)

// Measurement is under way.
type Measurement struct {
	processes []servers.Process
	begun     time.Time
	cpu       []time.Duration
	own       time.Duration
}

// Begin begins to measure what processes and this one use.
func Begin(processes []servers.Process) (*Measurement, error) {
	m := &Measurement{processes: processes}
	for _, p := range processes {
		// The present memory becomes the most so far: proc_pid_clear_refs(5).
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID), []byte("5"), 0); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	var err error
	if m.cpu, err = cpuTimes(processes); err != nil {
		return nil, err
	}
	m.own, m.begun = ownTime(), time.Now()
	return m, nil
}

// End puts what was used since Begin into a result.
func (m *Measurement) End(r *Result) error {
	r.Took = time.Since(m.begun)
	r.Client = ownTime() - m.own
	cpu, err := cpuTimes(m.processes)
	if err != nil {
		return err
	}
	for i, p := range m.processes {
		peak, err := memory(p.PID, "VmHWM")
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		r.Processes = append(r.Processes, Usage{p.Name, cpu[i] - m.cpu[i], peak})
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	r.Load, _, _ = strings.Cut(string(load), " ")
	return nil
}

const (
	// restStep is how long processes must do nearly nothing to be at rest.
	restStep = 2 * time.Second
	// restShare is nearly nothing, of one core, for all of them together.
	restShare = 0.08
	// restLeast is how long it takes until what a start or a preparation needed is
	// given back.
	restLeast = 25 * time.Second
	// restLimit is when they will not be any more: it is measured as it is.
	restLimit = time.Minute
)

// Rest waits until processes have come to rest, half a minute at least and a minute at
// most.
func Rest(ctx context.Context, processes []servers.Process) error {
	last, err := cpuTimes(processes)
	if err != nil {
		return err
	}
	begun := time.Now()
	for time.Since(begun) < restLimit {
		select {
		case <-time.After(restStep):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		now, err := cpuTimes(processes)
		if err != nil {
			return err
		}
		var used time.Duration
		for i := range now {
			used += now[i] - last[i]
		}
		if time.Since(begun) >= restLeast && used <= time.Duration(restShare*float64(restStep)) {
			return nil
		}
		last = now
	}
	return nil
}

func cpuTimes(processes []servers.Process) (list []time.Duration, err error) {
	for _, p := range processes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		t, err := parseStat(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// parseStat finds the CPU time of a process and all its threads in
// proc_pid_stat(5).
func parseStat(b []byte) (time.Duration, error) {
	// The second field is the name, in parentheses, and may contain blanks.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const user, system, tick = 11, 12, time.Second / 100 // of USER_HZ
	if len(fields) <= system {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	var ticks int64
	for _, f := range fields[user : system+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// memory reads a line of proc_pid_status(5), in MiB.
func memory(pid int, line string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseMemory(b, line)
}

func parseMemory(b []byte, line string) (float64, error) {
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			var kib float64
			if _, err := fmt.Sscanf(rest, "%f kB", &kib); err != nil {
				return 0, fmt.Errorf("%s: %w", line, err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("status has no %s", line)
}

// ownTime is the CPU time of this process.
func ownTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot be: the arguments are constant
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
