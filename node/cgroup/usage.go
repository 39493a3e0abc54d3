package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

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
		u.Memory = less(s.used(dir), keyed(filepath.Join(dir, "memory.stat"), "inactive_file"))
		u.RSS = keyed(filepath.Join(dir, "memory.stat"), "anon")
	}
	if m, ok := s.V1["pids"]; ok {
		u.PIDs = number(filepath.Join(m, group, "pids.current"))
	} else if s.V2 != "" {
		u.PIDs = number(filepath.Join(s.V2, group, "pids.current"))
	}
	return u, nil
}

// used is the memory charged to a group of cgroup2. The root has no such file:
// what the machine does not have free stands in.
func (s *System) used(dir string) uint64 {
	if filepath.Clean(dir) != filepath.Clean(s.V2) {
		return number(filepath.Join(dir, "memory.current"))
	}
	return less(keyed(s.meminfo, "MemTotal:"), keyed(s.meminfo, "MemFree:")) << 10
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

// keyed reads the number that follows a key at the beginning of a line.
func keyed(file, key string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != key {
			continue
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}

// missing are the controllers of want that are offered and not enabled yet.
func missing(want, offered, enabled []string) []string {
	var out []string
	for _, c := range want {
		if slices.Contains(offered, c) && !slices.Contains(enabled, c) {
			out = append(out, c)
		}
	}
	return out
}
