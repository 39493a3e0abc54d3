package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits bounds a group as a whole. A zero field means no limit.
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

// Limit writes limits to an existing group. Controllers that the machine does
// not have are left out: not every kernel offers all of them.
func (s *System) Limit(group string, l Limits) error {
	var errs []error
	set := func(controller, file string, value string) {
		dir, ok := s.dir(controller, group)
		if !ok {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("limit %s of %s: %w", file, group, err))
		}
	}
	_, cpu1 := s.V1["cpu"]
	_, mem1 := s.V1["memory"]
	if l.PIDs > 0 {
		set("pids", "pids.max", strconv.FormatInt(l.PIDs, 10))
	}
	if l.Memory > 0 {
		set("memory", pick(mem1, "memory.limit_in_bytes", "memory.max"), strconv.FormatInt(l.Memory, 10))
	}
	if l.CPUShares > 0 {
		set("cpu", pick(cpu1, "cpu.shares", "cpu.weight"), pick(cpu1,
			strconv.FormatInt(l.CPUShares, 10), strconv.FormatInt(weight(l.CPUShares), 10)))
	}
	if l.CPUQuota > 0 {
		if cpu1 {
			set("cpu", "cpu.cfs_period_us", strconv.Itoa(CPUPeriod))
			set("cpu", "cpu.cfs_quota_us", strconv.FormatInt(l.CPUQuota, 10))
		} else {
			set("cpu", "cpu.max", fmt.Sprintf("%d %d", l.CPUQuota, CPUPeriod))
		}
	}
	return errors.Join(errs...)
}

// weight maps v1 shares (2 to 262144) to a v2 weight (1 to 10000), as the OCI
// runtimes do.
func weight(shares int64) int64 { return 1 + (shares-2)*9999/262142 }

func pick[T any](cond bool, a, b T) T {
	if cond {
		return a
	}
	return b
}

// dir finds where controller governs group; false when nowhere.
func (s *System) dir(controller, group string) (string, bool) {
	if m, ok := s.V1[controller]; ok {
		return filepath.Join(m, group), true
	}
	if s.V2 == "" {
		return "", false
	}
	dir := filepath.Join(s.V2, group)
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return "", false
	}
	for _, c := range strings.Fields(string(b)) {
		if c == controller {
			return dir, true
		}
	}
	return "", false
}

// Usage is what a group consumes.
type Usage struct {
	// CPU is the time used since the group was made, in nanoseconds.
	CPU uint64
	// Memory is the working set in bytes: usage without inactive file pages.
	Memory uint64
	// RSS is anonymous memory in bytes.
	RSS uint64
	// PIDs is the number of tasks.
	PIDs uint64
}

// Usage reads the consumption of group; a controller that is not there reads 0.
//
// # Errors
//
// Wraps fs.ErrNotExist when the group does not exist.
func (s *System) Usage(group string) (Usage, error) {
	if !s.Exists(group) {
		return Usage{}, fmt.Errorf("cgroup %s: %w", group, os.ErrNotExist)
	}
	var u Usage
	if m, ok := s.V1["cpuacct"]; ok {
		u.CPU = number(filepath.Join(m, group, "cpuacct.usage"))
	} else if s.V2 != "" {
		u.CPU = keyed(filepath.Join(s.V2, group, "cpu.stat"), "usage_usec") * 1000
	}
	if m, ok := s.V1["memory"]; ok {
		dir := filepath.Join(m, group)
		u.Memory = less(number(filepath.Join(dir, "memory.usage_in_bytes")), keyed(filepath.Join(dir, "memory.stat"), "total_inactive_file"))
		u.RSS = keyed(filepath.Join(dir, "memory.stat"), "total_rss")
	} else if s.V2 != "" {
		dir := filepath.Join(s.V2, group)
		u.Memory = less(number(filepath.Join(dir, "memory.current")), keyed(filepath.Join(dir, "memory.stat"), "inactive_file"))
		u.RSS = keyed(filepath.Join(dir, "memory.stat"), "anon")
	}
	if dir, ok := s.dir("pids", group); ok {
		u.PIDs = number(filepath.Join(dir, "pids.current"))
	}
	return u, nil
}

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

func number(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func keyed(file, key string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
