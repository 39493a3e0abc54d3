package layout1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// copyHeld copies what is kept with the sockets that processes hold as descriptors,
// in the PID namespace of proc: some kernels refuse the iterator that lists all (one
// that is locked down, for instance), while a map can be asked about a descriptor
// anywhere. It misses a socket that only the kernel or io_uring holds.
//
// # Errors
//
// An error wraps [ebpf.ErrNotSupported] when the kernel does not hand out the
// descriptors of some process; those of the others are copied.
func copyHeld(from, to *ebpf.Map, proc string) error {
	processes, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	c := heldCopy{from: from, to: to, seen: map[string]bool{}}
	var refused error
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		err = c.process(pid, filepath.Join(proc, p.Name(), "fd"))
		if err != nil {
			err = fmt.Errorf("sockets of process %d: %w", pid, err)
		}
		if err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
			return err
		}
		refused = errors.Join(refused, err)
	}
	return refused
}

// heldCopy is a walk over descriptors.
type heldCopy struct {
	from, to *ebpf.Map
	seen     map[string]bool // sockets, which processes share, by what /proc calls them
}

func (c *heldCopy) process(pid int, dir string) error {
	fds, err := os.ReadDir(dir)
	if err != nil {
		return gone(err)
	}
	pidfd := -1
	defer func() {
		if pidfd >= 0 {
			_ = unix.Close(pidfd)
		}
	}()
	for _, f := range fds {
		name, err := os.Readlink(filepath.Join(dir, f.Name()))
		if err != nil || !strings.HasPrefix(name, "socket:") || c.seen[name] {
			continue // closed meanwhile, or of no interest
		}
		if pidfd < 0 {
			if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
				return gone(err)
			}
		}
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		if err := c.socket(pidfd, fd); err != nil {
			return err
		}
		c.seen[name] = true
	}
	return nil
}

func (c *heldCopy) socket(pidfd, number int) error {
	fd, err := unix.PidfdGetfd(pidfd, number, 0)
	if err != nil {
		return gone(err)
	}
	defer unix.Close(fd)
	var p Peer
	if err := c.from.Lookup(int32(fd), &p); err != nil {
		return nil // no socket that we know; or another file by now
	}
	now := bpf.LBPeer{Addr: p.Addr.mapped(), BackendAddr: p.BackendAddr.mapped(), Port: p.Port, BackendPort: p.BackendPort, Backend: p.Backend, Proto: p.Proto}
	// Without effect on a socket that the new programs have seen.
	err = c.to.Update(int32(fd), now, ebpf.UpdateNoExist)
	if errors.Is(err, ebpf.ErrKeyExist) {
		return nil
	}
	return err
}

// gone drops errors about a process or descriptor that ended meanwhile, and names
// that of a kernel that hands out none.
func gone(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH), errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL):
		return nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", ebpf.ErrNotSupported, err)
	}
	return err
}
