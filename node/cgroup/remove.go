package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Procs lists the processes in group and below it, in any hierarchy, each once.
func (s *System) Procs(group string) ([]int, error) {
	all, err := s.members(group)
	if err != nil {
		return nil, err
	}
	out := make([]int, len(all))
	for i, m := range all {
		out[i] = m.pid
	}
	return out, nil
}

// member is a process and the file that lists it.
type member struct {
	pid  int
	file string
}

func (s *System) members(group string) ([]member, error) {
	seen := map[int]bool{}
	var out []member
	for _, root := range s.roots() {
		err := filepath.WalkDir(filepath.Join(root, group), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return ignoreGone(err)
			}
			if d.IsDir() || d.Name() != "cgroup.procs" {
				return nil
			}
			pids, err := listed(p)
			for _, pid := range pids {
				if !seen[pid] {
					seen[pid] = true
					out = append(out, member{pid, p})
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("processes of %s: %w", group, err)
		}
	}
	return out, nil
}

// listed reads a cgroup.procs file; one that is gone lists nothing.
func listed(file string) ([]int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, ignoreGone(err)
	}
	var out []int
	for w := range strings.FieldsSeq(string(b)) {
		// 0 stands for a process of another pid namespace.
		if pid, err := strconv.Atoi(w); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out, nil
}

func ignoreGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// Kill sends SIGKILL to every process of group until none is left, or ctx
// ends. Zombies count as gone: their parent reaps them.
func (s *System) Kill(ctx context.Context, group string) error {
	if strings.Trim(group, "/") == "" {
		return errors.New("kill cgroup: the root group is not ours")
	}
	for {
		if err := s.killAtOnce(group); err != nil {
			return err
		}
		all, err := s.members(group)
		if err != nil {
			return err
		}
		var left []int
		for _, m := range all {
			if zombie(m.pid) {
				continue
			}
			if err := m.kill(); err != nil {
				return fmt.Errorf("kill %d of %s: %w", m.pid, group, err)
			}
			left = append(left, m.pid)
		}
		if len(left) == 0 {
			return nil
		}
		if err := s.thaw(group); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v of %s do not end: %w", left, group, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill sends SIGKILL to the process, and never to another one that has got its
// number meanwhile: the file lists the number after it has been taken hold of.
func (m member) kill() error {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return ignoreEnded(err)
	}
	defer unix.Close(fd)
	now, err := listed(m.file)
	if err != nil || !slices.Contains(now, m.pid) {
		return err
	}
	return ignoreEnded(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
}

func ignoreEnded(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// killAtOnce has the kernel kill all of the group in cgroup2, also what is
// made while it does (Linux 5.14); older kernels have no such file.
func (s *System) killAtOnce(group string) error {
	if s.V2 == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.V2, group, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		return ignoreGone(err)
	}
	_, err = f.WriteString("1")
	if err = errors.Join(err, f.Close()); err != nil && !gone(err) {
		return fmt.Errorf("kill %s: %w", group, err)
	}
	return nil
}

// thaw lets frozen processes of v1 get the signal that ends them; frozen ones
// of cgroup2 get it as they are.
func (s *System) thaw(group string) error {
	root, ok := s.V1["freezer"]
	if !ok {
		return nil
	}
	return filepath.WalkDir(filepath.Join(root, group), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "freezer.state" {
			return ignoreGone(err)
		}
		return ignoreGone(os.WriteFile(p, []byte("THAWED"), 0o644))
	})
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// The command may hold spaces and parentheses; the state follows the last.
	i := strings.LastIndexByte(string(b), ')')
	return i > 0 && i+2 < len(b) && (b[i+2] == 'Z' || b[i+2] == 'X')
}

// Remove removes group and the groups below it in every hierarchy. It fails
// while processes are left in them. Removing a group that does not exist is
// no error.
func (s *System) Remove(group string) error {
	if strings.Trim(group, "/") == "" {
		return errors.New("remove cgroup: the root group is not ours")
	}
	var errs []error
	for _, root := range s.roots() {
		errs = append(errs, removeTree(filepath.Join(root, group)))
	}
	return errors.Join(errs...)
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	// A group is busy for a moment after its last process has been reaped, and
	// for longer where threads of a killed process still give back its memory:
	// their leader is a zombie by then, and does not count as left.
	pause := 5 * time.Millisecond
	for try := 0; ; try++ {
		err := syscall.Rmdir(dir)
		if err == nil || gone(err) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) || try == 40 || try >= 5 && inUse(dir) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// inUse tells that a group has a process that has not ended.
func inUse(dir string) bool {
	pids, err := listed(filepath.Join(dir, "cgroup.procs"))
	return err == nil && slices.ContainsFunc(pids, func(pid int) bool { return !zombie(pid) })
}
