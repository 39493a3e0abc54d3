package lb_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

// An agent dies and comes back: translation goes on meanwhile, the new one
// knows what is there, and connections keep their names.
func TestRestart(t *testing.T) {
	testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	cfg := lb.Config{PinDir: dir}
	b := open(t, cfg)
	t.Cleanup(func() { remove(t, dir) })
	if !b.Fresh() {
		t.Error("the first one is not fresh")
	}
	one := serveTCP(t, "127.0.0.1:0", "one")
	upsert(t, b, service("kept", vip, lb.TCP, one))
	upsert(t, b, service("gone", "10.96.0.30:80", lb.TCP, one))
	c, err := net.Dial("tcp4", vip)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "one")

	b = open(t, cfg)
	if b.Fresh() || b.Sockets.Stale() {
		t.Error("the second one did not take over")
	}
	mustAsk(t, vip, "one")
	if peer := peerName(t, c); peer != vip {
		t.Errorf("old connection: peer %s, want %s", peer, vip)
	}
	if err := b.Table.Replace([]lb.Service{service("another name", vip, lb.TCP, one)}); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "one")
	if _, _, err := ask("10.96.0.30:80"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("service that went while nobody looked: %v, want %v", err, unix.ENETUNREACH)
	}
}

func peerName(t *testing.T, c net.Conn) string {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name string
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

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := lb.Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove, %s: %v", dir, err)
	}
}

// Remove takes the load balancer out of the kernel although an agent runs.
func TestRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bpf")
	b := open(t, lb.Config{PinDir: dir})
	upsert(t, b, service("s", vip, lb.TCP, serveTCP(t, "127.0.0.1:0", "one")))
	mustAsk(t, vip, "one")
	remove(t, dir)
	if _, _, err := ask(vip); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("after Remove: %v, want %v", err, unix.ENETUNREACH)
	}
	if err := lb.Remove(dir); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// A map of another size is made anew; until it is filled and Attach called, the
// old programs serve from the old one.
func TestShapeChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bpf")
	b := open(t, lb.Config{PinDir: dir})
	t.Cleanup(func() { remove(t, dir) })
	one := serveTCP(t, "127.0.0.1:0", "one")
	upsert(t, b, service("s", vip, lb.TCP, one))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := lb.Open(lb.Config{PinDir: dir, CgroupPath: testenv.RequireNetwork(t), Sizes: lb.Sizes{Frontends: 100}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !b.Fresh() || !b.Sockets.Stale() {
		t.Error("maps of another size were taken over")
	}
	mustAsk(t, vip, "one")
	if err := b.Table.Replace([]lb.Service{service("s", vip, lb.TCP, one)}); err != nil {
		t.Fatal(err)
	}
	if err := b.Sockets.Attach(); err != nil {
		t.Fatal(err)
	}
	if b.Sockets.Stale() {
		t.Error("still stale after Attach")
	}
	mustAsk(t, vip, "one")
}

// The cgroup of a node goes and comes back under its name: the pinned links
// are of the old one.
func TestCgroupComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() { remove(t, dir) })
	path := filepath.Join(testenv.NewCgroup(t), "node")
	for range 2 {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := lb.Open(lb.Config{PinDir: dir, CgroupPath: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Sockets.Attach(), b.Sockets.Attach(), b.Close()); err != nil {
			t.Fatal(err)
		}
		if err := unix.Rmdir(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A full map is an error, not a half-written service; Reload and Replace bring
// back order.
func TestMapFull(t *testing.T) {
	b := open(t, lb.Config{Sizes: lb.Sizes{Slots: 4}})
	one := serveTCP(t, "127.0.0.1:0", "one")
	upsert(t, b, service("s", vip, lb.TCP, one))
	big := service("big", "10.96.0.30:80", lb.TCP)
	for i := range 8 {
		big.Backends = append(big.Backends, lb.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), 80)})
	}
	if err := b.Table.Upsert(big); err == nil {
		t.Fatal("eight backends fit into four places")
	}
	mustAsk(t, vip, "one")
	if err := b.Table.Reload(); err != nil {
		t.Fatal(err)
	}
	big.Backends = big.Backends[:3]
	if err := b.Table.Replace([]lb.Service{service("s", vip, lb.TCP, one), big}); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "one")
}

func TestBadServices(t *testing.T) {
	b := open(t, lb.Config{})
	six := netip.MustParseAddrPort("[fd00::1]:80")
	four := netip.MustParseAddrPort(vip)
	for name, s := range map[string]lb.Service{
		"IPv6 frontend": {Key: "s", Frontends: []lb.Frontend{{Addr: six, Proto: lb.TCP}}},
		"IPv6 backend":  {Key: "s", Frontends: []lb.Frontend{{Addr: four, Proto: lb.TCP}}, Backends: []lb.Backend{{Addr: six}}},
		"SCTP":          {Key: "s", Frontends: []lb.Frontend{{Addr: four, Proto: 132}}},
		"two protocols": {Key: "s", Frontends: []lb.Frontend{{Addr: four, Proto: lb.TCP}, {Addr: four, Proto: lb.UDP}}},
		"no address":    {Key: "s", Frontends: []lb.Frontend{{Proto: lb.TCP}}},
	} {
		if err := b.Table.Upsert(s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got, err := b.Table.Services(); err != nil || len(got) != 0 {
		t.Errorf("left in the maps: %v, %v", got, err)
	}
}
