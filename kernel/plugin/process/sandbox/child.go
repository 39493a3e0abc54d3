package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	if len(os.Args) != 2 || os.Args[0] != name {
		return
	}
	// What follows concerns this thread alone, which becomes the program.
	runtime.LockOSThread()
	err := become(os.Args[1])
	fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
	os.Exit(1)
}

// become turns this process into the program; it returns on failure only.
func become(conf string) error {
	var s Spec
	if err := json.Unmarshal([]byte(conf), &s); err != nil {
		return err
	}
	unix.Umask(0o077)
	if s.Confined {
		if err := enter(s); err != nil {
			return err
		}
	}
	if err := limit(s); err != nil {
		return err
	}
	if s.Confined {
		if err := dropCapabilities(); err != nil {
			return err
		}
	}
	for _, p := range []struct {
		what   string
		option int
		value  uintptr
	}{
		{"no new privileges", unix.PR_SET_NO_NEW_PRIVS, 1},
		{"end with the server", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)},
	} {
		if err := unix.Prctl(p.option, p.value, 0, 0, 0); err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
	}
	// Standard streams and the region are all that the program inherits.
	if err := unix.CloseRange(RegionFD+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	if s.Confined {
		if err := filterSystemCalls(); err != nil {
			return err
		}
		// At last: this program itself may have more, with the race detector.
		space := uint64(MaxSpace) + 2*uint64(s.Memory)
		if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: space, Max: space}); err != nil {
			return fmt.Errorf("limit the address space to %d: %w", space, err)
		}
	}
	return execute(exeFD, os.Environ())
}

// enter makes a root of the process's own, with what the system's programs and
// libraries are, its socket folder, and nothing else of the host.
func enter(s Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	// No further user namespace: one would bring capabilities over new code of
	// the kernel. A kernel without this file has no other limit either.
	_ = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0)
	sockets, err := unix.Open(s.SocketDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.SocketDir, err)
	}
	const root = "/tmp" // it exists everywhere, and is hidden in this namespace only
	options := fmt.Sprintf("mode=755,size=%d,nr_inodes=4096", MaxTemp)
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return fmt.Errorf("mount a root: %w", err)
	}
	for _, d := range []string{"proc", "dev", "tmp", "run", SocketDir[1:]} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := system(root); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", sockets), root+SocketDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the folder for sockets: %w", err)
	}
	// Only a system that shows its own whole lets a new one be mounted. Most
	// programs need none.
	_ = unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}

// system shows what dynamically linked programs need, unwritable.
func system(root string) error {
	for _, d := range []string{"/usr", "/bin", "/lib", "/lib32", "/lib64"} {
		st, err := os.Lstat(d)
		if err != nil {
			continue // not on this system
		}
		if st.Mode()&os.ModeSymlink != 0 {
			to, err := os.Readlink(d)
			if err != nil {
				return err
			}
			if err := os.Symlink(to, root+d); err != nil {
				return err
			}
			continue
		}
		if err := os.Mkdir(root+d, 0o755); err != nil {
			return err
		}
		if err := bind(d, root+d, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
			return err
		}
	}
	// Not /dev/zero: mapped by two it is memory that nobody counts.
	for _, d := range []string{"null", "full", "random", "urandom"} {
		at := filepath.Join(root, "dev", d)
		if err := os.WriteFile(at, nil, 0o644); err != nil {
			return err
		}
		if err := bind("/dev/"+d, at, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string, attributes uint64) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s: %w", from, err)
	}
	if err := unix.MountSetattr(-1, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes}); err != nil {
		return fmt.Errorf("show %s: %w", from, err)
	}
	return nil
}

func limit(s Spec) error {
	limits := map[int]uint64{
		unix.RLIMIT_DATA: uint64(s.Memory), unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: MaxFileSize,
		unix.RLIMIT_NOFILE: MaxFiles, unix.RLIMIT_MSGQUEUE: 0,
	}
	if s.Confined {
		limits[unix.RLIMIT_NPROC] = MaxThreads // of this user, who is the program's alone
	}
	for which, n := range limits {
		if err := unix.Setrlimit(which, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("limit %d to %d: %w", which, n, err)
		}
	}
	return nil
}

// The locked bits that keep user 0 and changes of the user from meaning
// capabilities.
const secureBits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

func dropCapabilities() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL { // not of this kernel
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
		return fmt.Errorf("lock capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// execute runs the program behind a descriptor, which need not have a path here.
func execute(fd int, env []string) error {
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return err
	}
	argv, err := pointers([]string{"plugin"})
	if err != nil {
		return err
	}
	envp, err := pointers(env)
	if err != nil {
		return err
	}
	var errno unix.Errno
	for range 50 {
		_, _, errno = unix.Syscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)), uintptr(unsafe.Pointer(&argv[0])),
			uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
		if errno != unix.ETXTBSY {
			break
		}
		// A child that was forked while the file was written still has it open,
		// until it executes something itself.
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("execute the plugin: %w", errno)
}

// pointers is a list as execve wants it.
func pointers(list []string) ([]*byte, error) {
	out := make([]*byte, 0, len(list)+1)
	for _, s := range list {
		p, err := unix.BytePtrFromString(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return append(out, nil), nil
}
