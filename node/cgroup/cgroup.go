// Package cgroup makes, limits, reads and removes control groups in every
// hierarchy that the machine has: cgroup v1, hybrid (v1 controllers with a
// cgroup2 beside them) and unified v2. It owns no group: callers name groups
// by their path below the hierarchies' roots, such as "/pintle/n1/kubepods".
//
// All functions may be called concurrently; two callers must not make and
// remove the same group at once.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoV2 is returned by RequireV2 when no cgroup2 is mounted.
var ErrNoV2 = errors.New("no cgroup2 file system is mounted (mount one: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified)")

// System is the set of mounted hierarchies.
type System struct {
	// V1 maps a v1 controller ("cpu", "memory", "pids", …) to its mount point.
	V1 map[string]string
	// V2 is the cgroup2 mount point, "" when there is none.
	V2 string

	meminfo string // /proc/meminfo
}

// Detect reads the hierarchies of this machine from /proc/self/mounts.
func Detect() (*System, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	defer f.Close()
	return parse(f)
}

func parse(mounts io.Reader) (*System, error) {
	s := &System{V1: map[string]string{}, meminfo: "/proc/meminfo"}
	sc := bufio.NewScanner(mounts)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "cgroup2":
			if s.V2 == "" {
				s.V2 = f[1]
			}
		case "cgroup":
			for opt := range strings.SplitSeq(f[3], ",") {
				if _, seen := s.V1[opt]; isController(opt) && !seen {
					s.V1[opt] = f[1]
				}
			}
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("detect cgroups: %w", err)
	}
	if len(s.V1) == 0 && s.V2 == "" {
		return nil, errors.New("detect cgroups: no cgroup hierarchy is mounted")
	}
	return s, nil
}

// isController tells a controller, or the name of a hierarchy without any,
// from the other options of a mount.
func isController(opt string) bool {
	switch opt {
	case "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma":
		return true
	}
	return strings.HasPrefix(opt, "name=")
}

// governing are the controllers that decide what a pod may use.
var governing = []string{"cpu", "cpuset", "io", "memory", "pids"}

// RequireV2 returns ErrNoV2 unless a cgroup2 is mounted, which the eBPF load
// balancer attaches to.
func (s *System) RequireV2() error {
	if s.V2 == "" {
		return ErrNoV2
	}
	return nil
}

// Unified reports whether cgroup2 governs what pods use. A v1 hierarchy of
// something else, such as net_cls or one that only has a name, may be mounted
// beside it.
func (s *System) Unified() bool {
	if s.V2 == "" {
		return false
	}
	for _, c := range append([]string{"cpuacct"}, governing...) {
		if _, v1 := s.V1[c]; v1 {
			return false
		}
	}
	return true
}

// Path is the directory of group in cgroup2, "" without one.
func (s *System) Path(group string) string {
	if s.V2 == "" {
		return ""
	}
	return filepath.Join(s.V2, group)
}

// roots lists every mount point once, sorted.
func (s *System) roots() []string {
	var out []string
	for _, m := range s.V1 {
		out = append(out, m)
	}
	if s.V2 != "" {
		out = append(out, s.V2)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Create makes group in every hierarchy, with its parents. In cgroup2 the
// controllers that it has, all of them where it is unified, are handed down to
// the group. Creating an existing group is no error.
func (s *System) Create(group string) error {
	for _, root := range s.roots() {
		if err := os.MkdirAll(filepath.Join(root, group), 0o755); err != nil {
			return fmt.Errorf("create cgroup %s: %w", group, err)
		}
	}
	if cpuset, ok := s.V1["cpuset"]; ok {
		if err := inheritCPUSet(cpuset, group); err != nil {
			return err
		}
	}
	if s.V2 != "" {
		return s.delegate(group)
	}
	return nil
}

// inheritCPUSet fills the cpus and mems of new v1 cpuset groups, which accept
// no process while these are empty.
func inheritCPUSet(root, group string) error {
	dir := root
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		parent := dir
		dir = filepath.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil || strings.TrimSpace(string(have)) != "" {
				continue
			}
			want, err := os.ReadFile(filepath.Join(parent, file))
			if err != nil {
				return fmt.Errorf("cpuset of %s: %w", parent, err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), want, 0o644); err != nil {
				return fmt.Errorf("cpuset of %s: %w", dir, err)
			}
		}
	}
	return nil
}

// delegate enables the controllers that we use in every ancestor of group. A
// controller that the parent does not offer is left out.
func (s *System) delegate(group string) error {
	dir := s.V2
	for part := range strings.SplitSeq(strings.Trim(group, "/"), "/") {
		offered, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("controllers of %s: %w", dir, err)
		}
		file := filepath.Join(dir, "cgroup.subtree_control")
		enabled, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("controllers below %s: %w", dir, err)
		}
		for _, c := range missing(governing, strings.Fields(string(offered)), strings.Fields(string(enabled))) {
			err := os.WriteFile(file, []byte("+"+c), 0o644)
			if errors.Is(err, syscall.EBUSY) {
				return fmt.Errorf("enable %s below %s: %w (a group whose processes are not in groups of their own cannot be divided: move them into one)", c, dir, err)
			}
			if err != nil {
				return fmt.Errorf("enable %s below %s: %w", c, dir, err)
			}
		}
		dir = filepath.Join(dir, part)
	}
	return nil
}

// Exists reports whether group exists in any hierarchy.
func (s *System) Exists(group string) bool {
	for _, root := range s.roots() {
		if _, err := os.Stat(filepath.Join(root, group)); err == nil {
			return true
		}
	}
	return false
}

// Children lists the names of the groups right below group, sorted, each once.
func (s *System) Children(group string) ([]string, error) {
	var out []string
	for _, root := range s.roots() {
		entries, err := os.ReadDir(filepath.Join(root, group))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				out = append(out, e.Name())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Join moves the process pid, with its threads, into group in every hierarchy.
func (s *System) Join(group string, pid int) error {
	for _, root := range s.roots() {
		file := filepath.Join(root, group, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// gone reports errors that mean that a group vanished while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}
