package lb_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

// say sends one datagram by a connected socket and returns the answer.
func say(c *net.UDPConn) (string, error) {
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 16)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func mustSay(t *testing.T, c *net.UDPConn, want string) {
	t.Helper()
	if got, err := say(c); err != nil || got != want {
		t.Fatalf("answer %q, %v, want %q", got, err, want)
	}
}

func dialUDP(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// moveStrays wants what was announced to be there.
func moveStrays(t *testing.T, b *lb.Balancer, want lb.Moved) {
	t.Helper()
	select {
	case <-b.Reconnector.Strays():
	case <-time.After(10 * time.Second):
		t.Fatal("no stray is announced")
	}
	if got, err := b.Reconnector.MoveStrays(); err != nil || got != want {
		t.Fatalf("moved %+v, %v, want %+v", got, err, want)
	}
}

func quiet(t *testing.T, b *lb.Balancer) {
	t.Helper()
	select {
	case <-b.Reconnector.Strays():
	default:
	}
}

// A connected socket follows its service when its backend goes, keeps its own
// port, and never sends to the address again.
func TestStrayMoves(t *testing.T) {
	b := open(t, lb.Config{})
	quiet(t, b)
	one, two := serveUDP(t, "127.0.0.1:0", "one"), serveUDP(t, "127.0.0.1:0", "two")
	upsert(t, b, service("s", vip, lb.UDP, one))
	upsert(t, b, service("other", "10.96.0.21:80", lb.UDP, one))
	c, other, direct := dialUDP(t, vip), dialUDP(t, "10.96.0.21:80"), dialUDP(t, one.String())
	for _, x := range []*net.UDPConn{c, other, direct} {
		mustSay(t, x, "one")
	}
	local := c.LocalAddr().String()

	upsert(t, b, service("s", vip, lb.UDP, two))
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "two")
	if peer := udpPeer(t, c); peer != vip {
		t.Errorf("peer %s, want %s", peer, vip)
	}
	if got := c.LocalAddr().String(); got != local {
		t.Errorf("local address %s, want %s", got, local)
	}
	// Nobody else's socket is touched: of a service that still has the backend,
	// and of a client that named it itself.
	mustSay(t, other, "one")
	mustSay(t, direct, "one")
	if got, err := b.Reconnector.MoveStrays(); err != nil || got != (lb.Moved{}) {
		t.Errorf("a second time: %+v, %v", got, err)
	}
}

func udpPeer(t *testing.T, c *net.UDPConn) string {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	err = raw.Control(func(fd uintptr) {
		sa, err := unix.Getpeername(int(fd))
		if p, ok := sa.(*unix.SockaddrInet4); ok && err == nil {
			name = netip.AddrPortFrom(netip.AddrFrom4(p.Addr), uint16(p.Port)).String()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Without a backend what it sends is refused; with one again it is heard, and
// so it is when the whole service went and came back.
func TestStrayWaits(t *testing.T) {
	b := open(t, lb.Config{})
	quiet(t, b)
	setRanges(t, b, "10.96.0.0/16")
	one, two := serveUDP(t, "127.0.0.1:0", "one"), serveUDP(t, "127.0.0.1:0", "two")
	upsert(t, b, service("s", vip, lb.UDP, one))
	c := dialUDP(t, vip)
	mustSay(t, c, "one")

	refused := func(when string) {
		t.Helper()
		// The refusal of one datagram is heard by the next call.
		if _, err := say(c); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v, want %v", when, err, unix.ECONNREFUSED)
		}
	}
	upsert(t, b, service("s", vip, lb.UDP))
	moveStrays(t, b, lb.Moved{Waiting: 1})
	refused("no backend")
	upsert(t, b, service("s", vip, lb.UDP, two))
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "two")

	if err := b.Table.Delete("s"); err != nil {
		t.Fatal(err)
	}
	moveStrays(t, b, lb.Moved{Waiting: 1})
	refused("no service")
	upsert(t, b, service("again", vip, lb.UDP, one))
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "one")
}

// The Service is deleted, and its address leads to the outside: the socket must
// not go there.
func TestStrayStaysInside(t *testing.T) {
	b := open(t, lb.Config{})
	quiet(t, b)
	void := testenv.NewNetns(t, "void")
	void.Link("void0", netip.MustParsePrefix("192.0.2.1/24"), "eth0", netip.MustParsePrefix("192.0.2.2/24"))
	run(t, "ip", "route", "add", "default", "via", "192.0.2.2")
	one := serveUDP(t, "127.0.0.1:0", "one")
	upsert(t, b, service("s", vip, lb.UDP, one))
	c := dialUDP(t, vip)
	mustSay(t, c, "one")
	if err := b.Table.Delete("s"); err != nil {
		t.Fatal(err)
	}
	moveStrays(t, b, lb.Moved{Waiting: 1})
	for look := range 3 {
		if _, err := say(c); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("after its service, %d looks later: %v, want %v", look, err, unix.ECONNREFUSED)
		}
		// Each look tries to connect it again, which nothing refuses.
		if got, err := b.Reconnector.MoveStrays(); err != nil || got != (lb.Moved{Waiting: 1}) {
			t.Errorf("look again: %+v, %v", got, err)
		}
	}
	upsert(t, b, service("again", vip, lb.UDP, one))
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "one")
}

// A socket in a pod, for IPv4 and IPv6 at once; one that was connected
// elsewhere meanwhile, and one that was closed.
func TestStrayInPod(t *testing.T) {
	b := open(t, lb.Config{})
	quiet(t, b)
	pod := testenv.NewNetns(t, "pod")
	pod.Link("pod0", netip.MustParsePrefix("10.1.0.1/24"), "eth0", netip.MustParsePrefix("10.1.0.2/24"))
	one, two := serveUDP(t, "10.1.0.1:0", "one"), serveUDP(t, "10.1.0.1:0", "two")
	upsert(t, b, service("s", vip, lb.UDP, one))
	connect := func(ns bool) int {
		t.Helper()
		fd := -1
		f := func() (err error) {
			if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
			return unix.Connect(fd, mapped(netip.MustParseAddrPort(vip)))
		}
		if ns {
			pod.Do(f)
		} else if err := f(); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	stays, leaves, closes := connect(true), connect(true), connect(true)
	defer unix.Close(stays)
	defer unix.Close(leaves)
	if err := errors.Join(unix.Connect(leaves, mapped(two)), unix.Close(closes)); err != nil {
		t.Fatal(err)
	}
	upsert(t, b, service("s", vip, lb.UDP, two))
	moveStrays(t, b, lb.Moved{Connected: 1})
	for fd, want := range map[int]netip.AddrPort{stays: netip.MustParseAddrPort(vip), leaves: two} {
		name, err := unix.Getpeername(fd)
		if err != nil {
			t.Fatal(err)
		}
		p := name.(*unix.SockaddrInet6)
		if got := netip.AddrPortFrom(netip.AddrFrom16(p.Addr).Unmap(), uint16(p.Port)); got != want {
			t.Errorf("peer %s, want %s", got, want)
		}
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, buf); err != nil || string(buf[:n]) != "two" {
			t.Errorf("read %q, %v", buf[:max(n, 0)], err)
		}
	}
}

// One that waits in a pod is tried again, which nothing refuses there while
// nothing has the Service's address: it waits on, and is found when there is one.
func TestStrayWaitsInPod(t *testing.T) {
	b := open(t, lb.Config{})
	quiet(t, b)
	pod := testenv.NewNetns(t, "pod")
	pod.Link("pod0", netip.MustParsePrefix("10.1.0.1/24"), "eth0", netip.MustParsePrefix("10.1.0.2/24"))
	pod.Do(func() error { return exec.Command("ip", "route", "add", "default", "via", "10.1.0.1").Run() })
	one := serveUDP(t, "10.1.0.1:0", "one")
	upsert(t, b, service("s", vip, lb.UDP, one))
	var c *net.UDPConn
	pod.Do(func() error {
		c = dialUDP(t, vip)
		return nil
	})
	mustSay(t, c, "one")
	if err := b.Table.Delete("s"); err != nil {
		t.Fatal(err)
	}
	moveStrays(t, b, lb.Moved{Waiting: 1})
	for range 2 {
		if got, err := b.Reconnector.MoveStrays(); err != nil || got != (lb.Moved{Waiting: 1}) {
			t.Errorf("look again: %+v, %v", got, err)
		}
		if _, err := say(c); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("what it sends: %v, want %v", err, unix.ECONNREFUSED)
		}
	}
	upsert(t, b, service("again", vip, lb.UDP, one))
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "one")
}

// An endpoint goes while no agent runs: the next one finds the stray.
func TestStrayOverRestart(t *testing.T) {
	testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() { remove(t, dir) })
	b := open(t, lb.Config{PinDir: dir})
	one, two := serveUDP(t, "127.0.0.1:0", "one"), serveUDP(t, "127.0.0.1:0", "two")
	upsert(t, b, service("s", vip, lb.UDP, one))
	c := dialUDP(t, vip)
	mustSay(t, c, "one")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, lb.Config{PinDir: dir})
	moveStrays(t, b, lb.Moved{}) // it looks at once, and everything is in order
	if err := b.Table.Replace([]lb.Service{service("s", vip, lb.UDP, two)}); err != nil {
		t.Fatal(err)
	}
	moveStrays(t, b, lb.Moved{Connected: 1})
	mustSay(t, c, "two")
}

func mapped(a netip.AddrPort) *unix.SockaddrInet6 {
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// BenchmarkMoveStrays is a look at all descriptors of the machine, one socket of
// them a stray.
func BenchmarkMoveStrays(b *testing.B) {
	l := open(b, lb.Config{})
	backends := []netip.AddrPort{serveUDP(b, "127.0.0.1:0", "one"), serveUDP(b, "127.0.0.1:0", "two")}
	upsert(b, l, service("s", vip, lb.UDP, backends[0]))
	c, err := net.Dial("udp4", vip)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for i := 0; b.Loop(); i++ {
		upsert(b, l, service("s", vip, lb.UDP, backends[(i+1)%2]))
		if m, err := l.Reconnector.MoveStrays(); err != nil || m.Connected != 1 {
			b.Fatal(fmt.Sprint(m, err))
		}
	}
}
