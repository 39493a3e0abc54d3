package lb_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

// setRanges says where Services are.
func setRanges(t testing.TB, b *lb.Balancer, ranges ...string) {
	t.Helper()
	var all []netip.Prefix
	for _, r := range ranges {
		all = append(all, netip.MustParsePrefix(r))
	}
	if err := b.Addresses.SetServiceRanges(all); err != nil {
		t.Fatal(err)
	}
}

// dialErr is what connecting or sending to addr says; nil if a socket was had.
func dialErr(network, addr string) error {
	c, err := net.Dial(network, addr)
	if err == nil {
		c.Close()
	}
	return err
}

func sendErr(t *testing.T, network, local, addr string) error {
	t.Helper()
	c, err := net.ListenPacket(network, local)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	return err
}

// An address of a service range that nothing serves is refused at once, by no
// packet: the namespace has a default route that would take it, into a wire at
// whose end nobody answers.
func TestUnservedIsRefused(t *testing.T) {
	b := open(t, lb.Config{})
	void := testenv.NewNetns(t, "void")
	void.Link("void0", netip.MustParsePrefix("192.0.2.1/24"), "eth0", netip.MustParsePrefix("192.0.2.2/24"))
	run(t, "ip", "route", "add", "default", "via", "192.0.2.2")
	run(t, "ip", "-6", "route", "add", "fd00:96::/64", "dev", "void0")
	setRanges(t, b, "10.96.0.0/16", "fd00:96::/112")
	upsert(t, b, service("s", vip, lb.TCP, serveTCP(t, "127.0.0.1:0", "one")))
	upsert(t, b, service("external", "192.0.2.77:80", lb.TCP, serveTCP(t, "127.0.0.1:0", "external")))
	upsert(t, b, service("port", "0.0.0.0:30080", lb.TCP, serveTCP(t, "127.0.0.1:0", "port")))

	for _, tc := range []struct{ name, network, addr string }{
		{"unknown address", "tcp4", "10.96.9.9:80"},
		{"unknown port", "tcp4", "10.96.0.20:81"},
		{"another protocol and port", "udp4", "10.96.0.20:81"},
		{"UDP", "udp4", "10.96.9.9:53"},
		{"first of the range", "tcp4", "10.96.0.0:80"},
		{"last of the range", "tcp4", "10.96.255.255:80"},
		{"IPv6", "tcp6", "[fd00:96::9]:80"},
		{"UDP over IPv6", "udp6", "[fd00:96::9]:53"},
	} {
		if err := dialErr(tc.network, tc.addr); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s (%s %s): %v, want %v", tc.name, tc.network, tc.addr, err, unix.ECONNREFUSED)
		}
	}
	for _, tc := range []struct{ network, local, addr string }{
		{"udp4", "0.0.0.0:0", "10.96.9.9:53"}, {"udp", "[::]:0", "10.96.9.9:53"}, {"udp6", "[::]:0", "[fd00:96::9]:53"},
		{"udp4", "0.0.0.0:0", vip},
	} {
		if err := sendErr(t, tc.network, tc.local, tc.addr); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("send by %s to %s: %v, want %v", tc.network, tc.addr, err, unix.ECONNREFUSED)
		}
	}
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if st.SocketsUnserved != 12 {
		t.Errorf("counted %d unserved, want 12", st.SocketsUnserved)
	}

	// What is served, or is no virtual address at all, is not touched.
	if err := dialErr("udp4", vip); err != nil {
		t.Errorf("a UDP socket asks the way to a Service of TCP: %v", err)
	}
	mustAsk(t, vip, "one")
	mustAsk(t, "192.0.2.77:80", "external")
	mustAsk(t, "127.0.0.1:30080", "port")
	for _, a := range []string{"10.95.255.255:53", "10.97.0.0:53", "192.0.2.2:53"} {
		if err := dialErr("udp4", a); err != nil {
			t.Errorf("outside the range, %s: %v", a, err)
		}
	}
	// Nor an address of the node, should it lie in the range.
	addAddr(t, "10.96.7.7/32")
	if err := b.Addresses.SetNodeAddrs([]netip.Addr{netip.MustParseAddr("10.96.7.7")}); err != nil {
		t.Fatal(err)
	}
	here := serveTCP(t, "10.96.7.7:0", "node")
	mustAsk(t, here.String(), "node")
	// Nor what another proxy serves, at the ports that it does.
	foreign := lb.Service{Key: "f", Foreign: true, Frontends: []lb.Frontend{{Addr: netip.MustParseAddrPort("10.96.8.8:53"), Proto: lb.UDP}}}
	upsert(t, b, foreign)
	if err := errors.Join(dialErr("udp4", "10.96.8.8:53"), sendErr(t, "udp4", "0.0.0.0:0", "10.96.8.8:53")); err != nil {
		t.Errorf("another proxy's: %v", err)
	}
}

// The ranges are there while no agent runs, and follow what the next one says.
func TestServiceRangesOverRestart(t *testing.T) {
	testenv.RequireNetwork(t)
	dir := filepath.Join(t.TempDir(), "bpf")
	t.Cleanup(func() { remove(t, dir) })
	b := open(t, lb.Config{PinDir: dir})
	setRanges(t, b, "10.96.0.0/16")
	check := func(when string, want error, addr string) {
		t.Helper()
		if err := dialErr("tcp4", addr); !errors.Is(err, want) {
			t.Errorf("%s, %s: %v, want %v", when, addr, err, want)
		}
	}
	check("at first", unix.ECONNREFUSED, "10.96.9.9:80")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	check("without an agent", unix.ECONNREFUSED, "10.96.9.9:80")
	b = open(t, lb.Config{PinDir: dir})
	check("with the next one", unix.ECONNREFUSED, "10.96.9.9:80")
	setRanges(t, b, "10.98.0.0/16")
	check("another range", unix.ECONNREFUSED, "10.98.9.9:80")
	check("no longer a range", unix.ENETUNREACH, "10.96.9.9:80")
	if err := b.Addresses.SetServiceRanges([]netip.Prefix{{}}); err == nil {
		t.Error("an invalid prefix is taken")
	}
}

// Where the programs see the whole machine, processes that are neither in the
// node's network namespace nor in its pods keep their own use of the range.
func TestOthersAreNotRefused(t *testing.T) {
	own := testenv.RequireNetwork(t)
	here, err := attach.NetnsCookie()
	if err != nil {
		t.Fatal(err)
	}
	const elsewhere = 1 << 60
	for _, tc := range []struct {
		name, pods string
		netns      uint64
		want       error
	}{
		{"a process of the node", testenv.NewCgroup(t), here, unix.ECONNREFUSED},
		{"in the cgroup of pods", own, elsewhere, unix.ECONNREFUSED},
		{"below the cgroup of pods", filepath.Dir(own), elsewhere, unix.ECONNREFUSED},
		{"neither", testenv.NewCgroup(t), elsewhere, unix.ENETUNREACH},
		{"everything is the node's", "", elsewhere, unix.ECONNREFUSED},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := open(t, lb.Config{PodsPath: tc.pods, NodeNetns: tc.netns})
			setRanges(t, b, "10.96.0.0/16")
			if err := dialErr("tcp4", "10.96.9.9:80"); !errors.Is(err, tc.want) {
				t.Errorf("connect: %v, want %v", err, tc.want)
			}
			if err := sendErr(t, "udp4", "0.0.0.0:0", "10.96.9.9:80"); !errors.Is(err, tc.want) {
				t.Errorf("send: %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := lb.Open(lb.Config{PodsPath: filepath.Join(own, "none")}); err == nil {
		t.Error("a cgroup that is not there is taken")
	}
}
