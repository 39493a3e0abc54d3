// Package cgroup places processes in control groups, finds them there and ends
// them. It works on every mounted hierarchy alike: version 2, version 1, or
// both at once. Names are paths below the mount points, such as
// "/pintle-lab/node1".
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mounts lists the mount points of every cgroup hierarchy.
func mounts() ([]string, error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) > 2 && (f[2] == "cgroup" || f[2] == "cgroup2") {
			out = append(out, f[1])
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted")
	}
	return out, nil
}

// Enter moves this process into a cgroup of every hierarchy, making it
// where it is missing. It must be called before the process opens sockets: a
// socket keeps the cgroup that it was made in.
func Enter(cgroup string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range all {
		dir := filepath.Join(m, cgroup)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup %s: %w", dir, err)
		}
		if err := inheritCpuset(m, cgroup); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("enter cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// inheritCpuset fills in the processors and memory nodes of a new cpuset
// cgroup (version 1), which starts with none and takes no process so.
func inheritCpuset(mount, cgroup string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		dir := mount
		val, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for part := range strings.SplitSeq(strings.Trim(cgroup, "/"), "/") {
			dir = filepath.Join(dir, part)
			p := filepath.Join(dir, file)
			if cur, err := os.ReadFile(p); err == nil && len(bytes.TrimSpace(cur)) == 0 {
				if err := os.WriteFile(p, val, 0o644); err != nil {
					return fmt.Errorf("fill %s: %w", p, err)
				}
			}
		}
	}
	return nil
}

// Processes lists the processes below a cgroup in any hierarchy.
func Processes(cgroup string) ([]int, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	var pids []int
	for _, m := range all {
		err := filepath.WalkDir(filepath.Join(m, cgroup), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return skipMissing(err)
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return skipMissing(err)
			}
			for _, w := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(w); err == nil && pid > 0 && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return pids, nil
}

func skipMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}

// KillAll ends every process of a cgroup at once, as a power cut would, and
// waits until none is left.
func KillAll(cgroup string) error {
	for end := time.Now().Add(15 * time.Second); ; {
		pids, err := Processes(cgroup)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of %s do not end", pids, cgroup)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// Remove removes an empty cgroup and its children in every hierarchy.
func Remove(cgroup string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range all {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(m, cgroup), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return skipMissing(err)
		})
		errs = append(errs, err)
		for i := len(dirs) - 1; i >= 0; i-- { // children first
			if err := os.Remove(dirs[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
