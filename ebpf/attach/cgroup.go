package attach

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A Cgroup is a hook of a cgroup2 directory, for its processes and those below.
type Cgroup struct {
	path string
	id   uint64
	at   ebpf.AttachType
}

// NewCgroup returns the hook of this type of the cgroup2 directory that has the
// path now.
func NewCgroup(path string, at ebpf.AttachType) (Cgroup, error) {
	id, err := CgroupID(path)
	return Cgroup{path: path, id: id, at: at}, err
}

func (c Cgroup) attach(p *ebpf.Program) (link.Link, error) {
	return link.AttachCgroup(link.CgroupOptions{Path: c.path, Attach: c.at, Program: p})
}

func (c Cgroup) has(i *link.Info) bool {
	x := i.Cgroup()
	return x != nil && x.CgroupId == c.id && uint32(x.AttachType) == uint32(c.at)
}

// String returns the cgroup's path.
func (c Cgroup) String() string { return c.path }

// CgroupID is the kernel's number of a cgroup2 directory: its inode. 0 for "".
func CgroupID(dir string) (uint64, error) {
	if dir == "" {
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	return st.Ino, nil
}

// NetnsCookie returns the cookie of the calling thread's network namespace, as
// programs see it.
func NetnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("cookie of the network namespace: %w", err)
	}
	return c, nil
}
