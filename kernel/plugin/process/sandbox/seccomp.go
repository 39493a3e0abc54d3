package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A confined program is one process: its memory is bounded for each process, so
// it may have threads and no others. What else is refused is memory that counts as
// nobody's own, and the kernel's code that plugins have no use for.
var refused = []uint32{
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_IO_URING_SETUP, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET, unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET,
}

// Offsets in struct seccomp_data, of the low half of an argument where it counts.
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16
	offArg3   = 40
)

// filterSystemCalls refuses what the program must not ask of the kernel. It
// holds for this thread and all that it becomes. no_new_privs is set before.
func filterSystemCalls() error {
	program, err := filter(runtime.GOARCH)
	if err != nil {
		return err
	}
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&p)), 0, 0); err != nil {
		return fmt.Errorf("filter system calls: %w", err)
	}
	return nil
}

// filter is the program for a processor: calls of another kind end the process,
// making another process and what is refused fail.
func filter(arch string) ([]unix.SockFilter, error) {
	kind, fork := uint32(unix.AUDIT_ARCH_X86_64), []uint32{57, 58} // fork and vfork, which others have not
	switch arch {
	case "amd64":
	case "arm64":
		kind, fork = unix.AUDIT_ARCH_AARCH64, nil
	default:
		return nil, fmt.Errorf("%w: no filter of system calls for %s", ErrUnsupported, arch)
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		least  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		hasBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		x32    = 0x40000000 // numbers of a third kind of x86 calls
	)
	fail := func(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }
	out := []unix.SockFilter{
		{Code: load, K: offArch},
		{Code: equal, Jt: 1, K: kind},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: offNumber},
		{Code: least, Jf: 1, K: x32},
		{Code: ret, K: fail(unix.EPERM)},
		// Its flags are in memory, where no filter can look: who tries it first
		// takes clone then.
		{Code: equal, Jf: 1, K: unix.SYS_CLONE3},
		{Code: ret, K: fail(unix.ENOSYS)},
	}
	for _, number := range append(fork, refused...) {
		out = append(out, unix.SockFilter{Code: equal, Jf: 1, K: number}, unix.SockFilter{Code: ret, K: fail(unix.EPERM)})
	}
	return append(out,
		// Only private memory is counted: neither what is shared without a file nor
		// what grows as a stack does. The region is a file.
		unix.SockFilter{Code: equal, Jf: 6, K: unix.SYS_MMAP},
		unix.SockFilter{Code: load, K: offArg3},
		unix.SockFilter{Code: hasBit, Jt: 2, K: unix.MAP_GROWSDOWN},
		unix.SockFilter{Code: hasBit, Jf: 2, K: unix.MAP_SHARED},
		unix.SockFilter{Code: hasBit, Jf: 1, K: unix.MAP_ANON},
		unix.SockFilter{Code: ret, K: fail(unix.EPERM)},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		// It is to end with the server.
		unix.SockFilter{Code: equal, Jf: 4, K: unix.SYS_PRCTL},
		unix.SockFilter{Code: load, K: offArg0},
		unix.SockFilter{Code: equal, Jf: 1, K: unix.PR_SET_PDEATHSIG},
		unix.SockFilter{Code: ret, K: fail(unix.EPERM)},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: equal, Jt: 1, K: unix.SYS_CLONE},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: load, K: offArg0},
		unix.SockFilter{Code: hasBit, Jt: 1, K: unix.CLONE_THREAD},
		unix.SockFilter{Code: ret, K: fail(unix.EPERM)},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}), nil
}
