package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// isolatedEnv marks a test process that IsolateNetwork started, and tells it
// its cgroup2 directory.
const isolatedEnv = "PINTLE_TEST_ISOLATED_CGROUP"

// IsolateNetwork is the whole of a TestMain for tests that touch the network:
//
//	func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }
//
// It runs the test binary again in a network namespace of its own without any
// route to the outside, a mount namespace of its own, and a cgroup2 directory
// of its own, so that no thread of a test can reach the host's network, whatever
// it dials, and nothing outlives it. It does not return.
//
// Without the right to do so (root) the tests run where they are, and those that
// call [RequireNetwork] cannot run.
func IsolateNetwork(m *testing.M) {
	if os.Getenv(isolatedEnv) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "isolate network:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	code, err := rerun()
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate network:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// rerun starts this program again, isolated, and returns its exit code.
func rerun() (int, error) {
	root, err := cgroup2Root()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(root, "pintle-test-")
	if err != nil {
		return 0, err
	}
	defer removeCgroup(dir)
	fd, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer fd.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), isolatedEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UseCgroupFD: true,
		CgroupFD:    int(fd.Fd()),
		Pdeathsig:   syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	runtime.LockOSThread() // Pdeathsig is about the thread that starts it
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// enter finishes the isolation from inside.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// The host's sysfs shows the host's devices.
	return loopbackUp()
}

// loopbackUp makes a new network namespace usable; the calling thread is in it.
func loopbackUp() error {
	if err := muteICMP(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// muteICMP lets the network namespace of the calling thread send no ICMP error.
// The kernel limits them, by its whole life and by peer: a test that counts on
// one passes on a fresh machine and fails on a busy one. Here it always fails.
func muteICMP() error {
	// Where the limit is still the machine's (older kernels), it is not here.
	if err := Sysctl("net.ipv4.icmp_msgs_per_sec", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mute ICMP errors: %w", err)
	}
	return nil
}

// RequireNetwork returns the cgroup2 directory in which this process runs, alone
// with its children, in a network namespace of its own. That takes root; without,
// the test cannot run.
func RequireNetwork(t testing.TB) (cgroup string) {
	t.Helper()
	dir := os.Getenv(isolatedEnv)
	if dir != "" {
		return dir
	}
	const why = "needs network namespaces and cgroup2: run as root, with TestMain calling testenv.IsolateNetwork"
	cannotRun(t, why)
	return ""
}

// RequireRoot is for a test that needs root and no network: without, it cannot run.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		cannotRun(t, "needs root")
	}
}

// RequireCommands is for a test that runs programs of other packages, which
// hack/packages test installs.
func RequireCommands(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			cannotRun(t, "needs "+name+": hack/packages test installs it")
		}
	}
}

// cannotRun ends a test for want of something real: it fails where that must be
// there, and skips elsewhere.
func cannotRun(t testing.TB, why string) {
	t.Helper()
	for _, env := range []string{"REQUIRE_REAL", "CI"} {
		if v := os.Getenv(env); v != "" {
			t.Fatalf("%s (%s=%s)", why, env, v)
		}
	}
	t.Skip(why)
}

// Sysctl sets a kernel parameter such as "net.ipv4.ip_forward". One of the
// network is set in the network namespace of the calling thread.
func Sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0)
}

// cgroup2Root returns where the cgroup2 hierarchy is mounted.
func cgroup2Root() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		before, after, ok := strings.Cut(sc.Text(), " - ")
		if fields := strings.Fields(before); ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted")
}

// removeCgroup kills what is left in dir and removes it with its children.
func removeCgroup(dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	var dirs []string
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		for try := 0; try < 50 && errors.Is(unix.Rmdir(dirs[i]), unix.EBUSY); try++ {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 10e6}, nil) // the kill is not done yet
		}
	}
}

// NewCgroup makes an empty cgroup2 directory below that of the test process.
func NewCgroup(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(RequireNetwork(t), "cg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(dir) })
	return dir
}

// A Netns is one more network namespace: a pod, a client outside, another node.
type Netns struct {
	t      testing.TB
	name   string
	handle netns.NsHandle
}

var netnsCount atomic.Int64

// NewNetns makes a network namespace with its loopback up. It is gone after the
// test, with all its devices.
func NewNetns(t testing.TB, name string) *Netns {
	t.Helper()
	RequireNetwork(t)
	n := &Netns{t: t, name: fmt.Sprintf("%s-%d", name, netnsCount.Add(1))}
	done := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		var err error
		n.handle, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	t.Cleanup(func() { n.handle.Close() })
	n.Do(loopbackUp)
	return n
}

// Path returns a path under which other processes can open the namespace, as
// long as the test runs.
func (n *Netns) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(n.handle)) }

// Fd returns the namespace's file descriptor, which stays n's.
func (n *Netns) Fd() int { return int(n.handle) }

// Do runs f on a thread in the namespace. Sockets that f makes belong to the
// namespace for good; goroutines that f starts do not run there.
func (n *Netns) Do(f func() error) {
	n.t.Helper()
	if err := n.Try(f); err != nil {
		n.t.Fatalf("in network namespace %s: %v", n.name, err)
	}
}

// Try is Do for an f that is expected to fail.
func (n *Netns) Try(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends here
		if err := netns.Set(n.handle); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// Link joins the network namespace of the test process with n by a veth pair,
// both ends up: outer here, inner there, with these addresses.
func (n *Netns) Link(outer string, outerAddr netip.Prefix, inner string, innerAddr netip.Prefix) (index int) {
	n.t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: outer}, PeerName: inner, PeerNamespace: netlink.NsFd(n.handle)}
	if err := netlink.LinkAdd(veth); err != nil {
		n.t.Fatalf("add veth %s: %v", outer, err)
	}
	n.t.Cleanup(func() { _ = netlink.LinkDel(veth) }) // it may have gone with the namespace
	if err := addressUp(outer, outerAddr); err != nil {
		n.t.Fatal(err)
	}
	n.Do(func() error { return addressUp(inner, innerAddr) })
	l, err := netlink.LinkByName(outer)
	if err != nil {
		n.t.Fatal(err)
	}
	return l.Attrs().Index
}

func addressUp(name string, addr netip.Prefix) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if addr.IsValid() {
		a, err := netlink.ParseAddr(addr.String())
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("add %s to %s: %w", addr, name, err)
		}
	}
	return netlink.LinkSetUp(l)
}

// Route adds a route in n: to dst by gateway.
func (n *Netns) Route(dst netip.Prefix, gateway netip.Addr) {
	n.t.Helper()
	n.Do(func() error {
		d, err := netlink.ParseIPNet(dst.String())
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: d, Gw: gateway.AsSlice()})
	})
}
