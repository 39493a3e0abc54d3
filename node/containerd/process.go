package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

// process is a containerd that runs, started by us or by an agent before us.
// The start time guards against a pid that was given to somebody else.
type process struct {
	pid   int
	start string
}

// startTime is field 22 of /proc/PID/stat, in clock ticks after boot.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	i := strings.LastIndexByte(string(b), ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return "", fmt.Errorf("stat of process %d not understood", pid)
	}
	if f[0] == "Z" || f[0] == "X" {
		return "", os.ErrNotExist
	}
	return f[19], nil
}

func (p process) alive() bool {
	s, err := startTime(p.pid)
	return err == nil && s == p.start
}

// readPID finds the process that the pid file names; false when it is gone.
func readPID(file string) (process, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return process{}, false
	}
	f := strings.Fields(string(b))
	if len(f) != 2 {
		return process{}, false
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil || pid <= 1 {
		return process{}, false
	}
	p := process{pid, f[1]}
	return p, p.alive()
}

func (p process) write(file string) error {
	return atomicfile.Replace(file, fmt.Appendf(nil, "%d %s\n", p.pid, p.start), 0o644) // of this boot
}

// done is closed when the process has ended or ctx has. It works for a process
// that is not our child, as one that was adopted.
func (p process) done(ctx context.Context) (<-chan struct{}, error) {
	ch := make(chan struct{})
	fd, err := unix.PidfdOpen(p.pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		if errors.Is(err, syscall.ESRCH) {
			close(ch)
			return ch, nil
		}
		return nil, fmt.Errorf("watch process %d: %w", p.pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd") // non-blocking: waits in the runtime's poller
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch process %d: %w", p.pid, err), f.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	go func() {
		defer close(ch)
		_ = conn.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			return n > 0 || err != nil && !errors.Is(err, syscall.EINTR)
		})
		if stop() {
			_ = f.Close()
		}
	}()
	return ch, nil
}

// spawn starts containerd in a session of its own, its output in the log file.
func (c Config) spawn() (process, error) {
	if err := rotate(c.LogFile()); err != nil {
		return process{}, err
	}
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return process{}, fmt.Errorf("containerd log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(c.Binary, "--config", c.configFile())
	// The shim is looked for beside containerd, then in PATH.
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(c.Binary)+":"+os.Getenv("PATH"))
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.startIn(cmd); err != nil {
		return process{}, fmt.Errorf("start %s: %w", c.Binary, err)
	}
	go func() { _ = cmd.Wait() }() // reaps; the exit is seen by done
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		return process{}, fmt.Errorf("start %s: it ended at once; %s", c.Binary, c.lastWords())
	}
	p := process{cmd.Process.Pid, start}
	return p, p.write(c.pidFile())
}

// startIn starts cmd in the configured network namespace. A child is in the
// namespace of the thread that forks it.
func (c Config) startIn(cmd *exec.Cmd) error {
	if c.NetNS == "" {
		return cmd.Start()
	}
	ns, err := netns.GetFromPath(c.NetNS)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", c.NetNS, err)
	}
	defer ns.Close()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", c.NetNS, err)
	}
	serr := cmd.Start()
	if err := netns.Set(home); err != nil {
		// The thread stays locked and ends with this goroutine: it must not
		// serve others in the wrong namespace.
		return errors.Join(serr, fmt.Errorf("leave network namespace: %w", err))
	}
	runtime.UnlockOSThread()
	return serr
}

const maxLog = 10 << 20

func rotate(file string) error {
	fi, err := os.Stat(file)
	if err != nil || fi.Size() < maxLog {
		return nil
	}
	return os.Rename(file, file+".1")
}

// lastWords is the end of containerd's log, for error messages.
func (c Config) lastWords() string {
	b, err := os.ReadFile(c.LogFile())
	if err != nil || len(b) == 0 {
		return "its log is empty"
	}
	lines := strings.Split(strings.TrimSpace(string(b[max(0, len(b)-4096):])), "\n")
	return "its last words: " + strings.Join(lines[max(0, len(lines)-3):], " | ")
}
