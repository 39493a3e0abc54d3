package lab

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

// cgroupName is the cgroup, in every hierarchy, of a node or of the server.
// The node's agent runs in its "agent" child, containers in its "kubepods".
func cgroupName(name string) string { return "/pintle-lab/" + name }

// cgroupMounts lists the mount points of every cgroup hierarchy.
func cgroupMounts() ([]string, error) {
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

// processes lists the processes below a cgroup in any hierarchy.
func processes(cgroup string) ([]int, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	var pids []int
	for _, m := range mounts {
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

// killAll ends every process of a cgroup at once, as a power cut would, and
// waits until none is left.
func killAll(cgroup string) error {
	for end := time.Now().Add(15 * time.Second); ; {
		pids, err := processes(cgroup)
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

// removeCgroup removes an empty cgroup and its children in every hierarchy.
func removeCgroup(cgroup string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
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

// unmountBelow detaches every mount below dir, deepest first.
func unmountBelow(dir string) error {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var at []string
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			at = append(at, f[1])
		}
	}
	var errs []error
	for i := len(at) - 1; i >= 0; i-- {
		if err := syscall.Unmount(at[i], syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", at[i], err))
		}
	}
	return errors.Join(errs...)
}
