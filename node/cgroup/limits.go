package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits bounds a group as a whole. A zero field means no limit, and lifts one
// that there was; without CPUShares the weight stays as it is.
type Limits struct {
	// PIDs is the largest number of tasks.
	PIDs int64
	// Memory is in bytes.
	Memory int64
	// CPUShares is the v1 weight, 2 to 262144.
	CPUShares int64
	// CPUQuota is in microseconds per CPUPeriod of 100 ms.
	CPUQuota int64
}

// CPUPeriod is the period of CPUQuota in microseconds.
const CPUPeriod = 100_000

// Setting is a file of a group and what is written to it.
type Setting struct {
	File, Value string
	// Lifts tells that the value is no limit: a kernel without the file has
	// none either.
	Lifts bool
}

// Settings decides what is written, in order, to give group its limits: to v1
// where a controller is mounted there, else to cgroup2 if the controller is
// among those that are offered to the group in it. A controller that the
// machine does not have is left out: not every kernel offers all of them. It
// is a pure function of its receiver and arguments.
func (s *System) Settings(group string, l Limits, offered []string) []Setting {
	var out []Setting
	set := func(controller, file1, value1, file2, value2 string, lifts bool) {
		if m, v1 := s.V1[controller]; v1 {
			if file1 != "" {
				out = append(out, Setting{filepath.Join(m, group, file1), value1, lifts})
			}
		} else if s.V2 != "" && file2 != "" && slices.Contains(offered, controller) {
			out = append(out, Setting{filepath.Join(s.V2, group, file2), value2, lifts})
		}
	}
	set("pids", "pids.max", bound(l.PIDs, "max"), "pids.max", bound(l.PIDs, "max"), l.PIDs <= 0)
	set("memory", "memory.limit_in_bytes", bound(l.Memory, "-1"), "memory.max", bound(l.Memory, "max"), l.Memory <= 0)
	if l.CPUShares > 0 {
		set("cpu", "cpu.shares", decimal(l.CPUShares), "cpu.weight", decimal(weight(l.CPUShares)), false)
	}
	set("cpu", "cpu.cfs_period_us", decimal(CPUPeriod), "", "", l.CPUQuota <= 0)
	set("cpu", "cpu.cfs_quota_us", bound(l.CPUQuota, "-1"), "cpu.max", bound(l.CPUQuota, "max")+" "+decimal(CPUPeriod), l.CPUQuota <= 0)
	return out
}

// bound is a limit, or the word for none.
func bound(n int64, none string) string {
	if n <= 0 {
		return none
	}
	return decimal(n)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// Limit writes limits to an existing group.
func (s *System) Limit(group string, l Limits) error {
	var offered []string
	if s.V2 != "" {
		b, err := os.ReadFile(filepath.Join(s.V2, group, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("limit %s: %w", group, err)
		}
		offered = strings.Fields(string(b))
	}
	var errs []error
	for _, w := range s.Settings(group, l, offered) {
		err := os.WriteFile(w.File, []byte(w.Value), 0o644)
		if err != nil && !(w.Lifts && errors.Is(err, fs.ErrNotExist)) {
			errs = append(errs, fmt.Errorf("limit %s of %s to %s: %w", filepath.Base(w.File), group, w.Value, err))
		}
	}
	return errors.Join(errs...)
}

// weight maps v1 shares (2 to 262144) to a v2 weight (1 to 10000) in
// proportion, as kubelet does for the groups of pods: these are weighed among
// each other. Newer OCI runtimes bend the curve for containers, so that one CPU
// is near cgroup2's default; that is theirs to do, within a pod.
// RATIONALE.md: "Why is the weight of a pod's group linear in its CPU, in
// cgroup2 too?"
func weight(shares int64) int64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}
