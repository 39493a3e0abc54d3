package lb_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

const vip = "10.96.0.20:80"

// open returns a Balancer that translates the sockets of this process.
func open(t testing.TB, cfg lb.Config) *lb.Balancer {
	t.Helper()
	cfg.CgroupPath = testenv.RequireNetwork(t)
	b, err := lb.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := b.Sockets.Attach(); err != nil {
		t.Fatal(err)
	}
	return b
}

// serveTCP answers every connection with name.
func serveTCP(t testing.TB, listen, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answer(l, name)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func answer(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, name)
		c.Close()
	}
}

// serveUDP answers every datagram with name.
func serveUDP(t testing.TB, listen, name string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp4", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = c.WriteTo([]byte(name), from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func service(key, addr string, proto lb.Protocol, backends ...netip.AddrPort) lb.Service {
	s := lb.Service{Key: key, Frontends: []lb.Frontend{{Addr: netip.MustParseAddrPort(addr), Proto: proto}}}
	for _, a := range backends {
		s.Backends = append(s.Backends, lb.Backend{Addr: a, Local: true})
	}
	return s
}

func upsert(t testing.TB, b *lb.Balancer, s lb.Service) {
	t.Helper()
	if err := b.Table.Upsert(s); err != nil {
		t.Fatal(err)
	}
}

// ask connects and returns the answer, and whom getpeername names.
func ask(addr string) (answer, peer string, err error) {
	c, err := net.DialTimeout("tcp4", addr, 5*time.Second)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(c)
	return string(b), c.RemoteAddr().String(), err
}

func mustAsk(t testing.TB, addr, want string) {
	t.Helper()
	got, peer, err := ask(addr)
	if err != nil || got != want || peer != addr {
		t.Fatalf("%s: answer %q from %s, %v; want %q from itself", addr, got, peer, err, want)
	}
}

func TestTCP(t *testing.T) {
	b := open(t, lb.Config{})
	upsert(t, b, service("s", vip, lb.TCP, serveTCP(t, "127.0.0.1:0", "one")))
	mustAsk(t, vip, "one")
	if _, _, err := ask("10.96.0.20:81"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("another port: %v, want %v", err, unix.ENETUNREACH)
	}
	if err := b.Table.Delete("s"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask(vip); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("deleted: %v, want %v", err, unix.ENETUNREACH)
	}
}

func TestNoBackendIsRefused(t *testing.T) {
	b := open(t, lb.Config{})
	upsert(t, b, service("tcp", vip, lb.TCP))
	upsert(t, b, service("udp", vip, lb.UDP))
	if _, _, err := ask(vip); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("TCP connect: %v, want %v", err, unix.ECONNREFUSED)
	}
	if _, err := net.Dial("udp4", vip); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("UDP connect: %v, want %v", err, unix.ECONNREFUSED)
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(vip))); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("UDP send: %v, want %v", err, unix.ECONNREFUSED)
	}
	st, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if st.SocketsRefused != 3 {
		t.Errorf("counted %d refusals, want 3", st.SocketsRefused)
	}
}

// Every backend is chosen, and none far too often.
func TestSpread(t *testing.T) {
	b := open(t, lb.Config{})
	var addrs []netip.AddrPort
	for i := range 4 {
		addrs = append(addrs, serveTCP(t, "127.0.0.1:0", fmt.Sprint(i)))
	}
	upsert(t, b, service("s", vip, lb.TCP, addrs...))
	seen := map[string]int{}
	for range 400 {
		got, _, err := ask(vip)
		if err != nil {
			t.Fatal(err)
		}
		seen[got]++
	}
	for i := range 4 {
		if n := seen[fmt.Sprint(i)]; n < 50 || n > 170 {
			t.Errorf("backend %d got %d of 400, want about 100", i, n)
		}
	}
}

func TestAffinity(t *testing.T) {
	b := open(t, lb.Config{})
	var addrs []netip.AddrPort
	for i := range 4 {
		addrs = append(addrs, serveTCP(t, "127.0.0.1:0", fmt.Sprint(i)))
	}
	s := service("s", vip, lb.TCP, addrs...)
	s.Affinity = time.Hour
	upsert(t, b, s)
	first, _, err := ask(vip)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		mustAsk(t, vip, first)
	}
	// Its backend goes: another one is kept from then on.
	for i := range s.Backends {
		if fmt.Sprint(i) == first {
			s.Backends = append(s.Backends[:i:i], s.Backends[i+1:]...)
			break
		}
	}
	upsert(t, b, s)
	second, _, err := ask(vip)
	if err != nil || second == first {
		t.Fatalf("after its backend went: %q, %v", second, err)
	}
	for range 30 {
		mustAsk(t, vip, second)
	}
}

// Affinity ends with its time, and is one client's own: a network namespace is
// a client, as a pod is.
func TestAffinityOfClients(t *testing.T) {
	b := open(t, lb.Config{})
	addAddr(t, "10.9.9.9/32")
	s := service("s", vip, lb.TCP)
	s.Affinity = time.Hour
	for i := range 8 {
		s.Backends = append(s.Backends, lb.Backend{Addr: serveTCP(t, "10.9.9.9:0", fmt.Sprint(i))})
	}
	upsert(t, b, s)
	var clients []*testenv.Netns
	for i := range 12 {
		c := testenv.NewNetns(t, "client")
		outer := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), 24)
		c.Link(fmt.Sprintf("c%d", i), outer, "eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 2}), 24))
		c.Route(netip.MustParsePrefix("10.9.9.9/32"), outer.Addr())
		clients = append(clients, c)
	}
	round := func() (got [12]string) {
		for i, c := range clients {
			c.Do(func() (err error) {
				got[i], _, err = ask(vip)
				return err
			})
		}
		return got
	}
	first := round()
	if again := round(); again != first {
		t.Errorf("clients moved from %v to %v", first, again)
	}
	distinct := map[string]bool{}
	for _, x := range first {
		distinct[x] = true
	}
	if len(distinct) < 2 {
		t.Errorf("12 clients share %v", distinct)
	}
	// The shortest time that there is ends while nobody asks.
	s.Affinity = time.Second
	upsert(t, b, s)
	for end := time.Now().Add(30 * time.Second); ; {
		time.Sleep(s.Affinity + 100*time.Millisecond)
		if round() != first {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("all of 12 clients kept %v after the time", first)
		}
	}
}

// IPv4 written as IPv6 (::ffff:a.b.c.d), as many runtimes do with one socket
// for both.
func TestMappedTCP(t *testing.T) {
	b := open(t, lb.Config{})
	upsert(t, b, service("s", vip, lb.TCP, serveTCP(t, "127.0.0.1:0", "one")))
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("::ffff:10.96.0.20").As16()}
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := peer.(*unix.SockaddrInet6); !ok || p.Addr != to.Addr || p.Port != 80 {
		t.Errorf("getpeername says %+v, want the service", peer)
	}
	buf := make([]byte, 8)
	if n, err := unix.Read(fd, buf); err != nil || string(buf[:n]) != "one" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

// A socket that was connected to a service and then elsewhere names elsewhere.
func TestConnectAgain(t *testing.T) {
	b := open(t, lb.Config{})
	one, two := serveUDP(t, "127.0.0.1:0", "one"), serveUDP(t, "127.0.0.1:0", "two")
	upsert(t, b, service("s", vip, lb.UDP, one))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, want := range []netip.AddrPort{netip.MustParseAddrPort(vip), two, netip.MustParseAddrPort(vip), one} {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: want.Addr().As4(), Port: int(want.Port())}); err != nil {
			t.Fatal(err)
		}
		peer, err := unix.Getpeername(fd)
		if err != nil {
			t.Fatal(err)
		}
		p := peer.(*unix.SockaddrInet4)
		got := netip.AddrPortFrom(netip.AddrFrom4(p.Addr), uint16(p.Port))
		if want == one {
			// The socket still knows the service that it got this backend
			// for; naming it is as right as naming the backend.
			continue
		}
		if got != want {
			t.Errorf("connected to %s, getpeername says %s", want, got)
		}
	}
}

// An unconnected socket hears its answers from the service, keeps its backend,
// and gets another one when that is gone.
func TestUnconnectedUDP(t *testing.T) {
	for _, tc := range []struct{ name, network, listen string }{
		{"IPv4", "udp4", "127.0.0.1:0"},
		{"mapped", "udp", "[::]:0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := open(t, lb.Config{})
			addrs := map[string]netip.AddrPort{}
			s := service("s", vip, lb.UDP)
			for i := range 4 {
				name := fmt.Sprint(i)
				addrs[name] = serveUDP(t, "127.0.0.1:0", name)
				s.Backends = append(s.Backends, lb.Backend{Addr: addrs[name]})
			}
			upsert(t, b, s)
			c, err := net.ListenPacket(tc.network, tc.listen)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			send := func() string {
				t.Helper()
				if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(vip))); err != nil {
					t.Fatal(err)
				}
				if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 8)
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					t.Fatal(err)
				}
				if from.String() != vip {
					t.Fatalf("answer from %s, want %s", from, vip)
				}
				return string(buf[:n])
			}
			first := send()
			for range 20 {
				if got := send(); got != first {
					t.Fatalf("moved from backend %s to %s", first, got)
				}
			}
			s.Backends = nil
			for name, a := range addrs {
				if name != first {
					s.Backends = append(s.Backends, lb.Backend{Addr: a})
				}
			}
			upsert(t, b, s)
			second := send()
			if second == first {
				t.Fatalf("backend %s answers although it is gone", first)
			}
			for range 20 {
				if got := send(); got != second {
					t.Fatalf("moved from backend %s to %s", second, got)
				}
			}
		})
	}
}

func TestConnectedUDP(t *testing.T) {
	b := open(t, lb.Config{})
	upsert(t, b, service("s", vip, lb.UDP, serveUDP(t, "127.0.0.1:0", "one")))
	c, err := net.Dial("udp4", vip)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != vip {
		t.Errorf("peer %s, want %s", got, vip)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	n, from, err := c.(*net.UDPConn).ReadFrom(buf)
	if err != nil || string(buf[:n]) != "one" || from.String() != vip {
		t.Errorf("read %q from %v, %v; want one from %s", buf[:n], from, err, vip)
	}
}

// A node port answers on every address of the node, and on its loopback; the
// loopback of a pod is the pod's own.
func TestNodePort(t *testing.T) {
	b := open(t, lb.Config{})
	addAddr(t, "192.0.2.1/32")
	addAddr(t, "10.9.9.9/32")
	pod := testenv.NewNetns(t, "pod")
	pod.Link("pod0", netip.MustParsePrefix("10.1.0.1/24"), "eth0", netip.MustParsePrefix("10.1.0.2/24"))
	for _, dst := range []string{"10.9.9.9/32", "192.0.2.0/24"} {
		pod.Route(netip.MustParsePrefix(dst), netip.MustParseAddr("10.1.0.1"))
	}
	upsert(t, b, service("s", "0.0.0.0:30080", lb.TCP, serveTCP(t, "10.9.9.9:0", "one")))
	if err := b.Addresses.SetNodeAddrs([]netip.Addr{netip.MustParseAddr("192.0.2.1")}); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, "127.0.0.1:30080", "one")
	mustAsk(t, "127.8.8.8:30080", "one")
	mustAsk(t, "192.0.2.1:30080", "one")
	if got, _, err := ask("0.0.0.0:30080"); err != nil || got != "one" {
		t.Errorf("0.0.0.0: %q, %v", got, err)
	}
	pod.Do(func() error {
		got, peer, err := ask("192.0.2.1:30080")
		if err == nil && (got != "one" || peer != "192.0.2.1:30080") {
			err = fmt.Errorf("answer %q from %s", got, peer)
		}
		return err
	})
	for _, a := range []string{"127.0.0.1:30080", "0.0.0.0:30080"} {
		if err := pod.Try(func() error { _, _, err := ask(a); return err }); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s from a pod: %v, want %v", a, err, unix.ECONNREFUSED)
		}
	}
	if err := b.Addresses.SetNodeAddrs(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ask("192.0.2.1:30080"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("no longer an address of the node: %v, want %v", err, unix.ECONNREFUSED)
	}
}

// A pod that is the backend of the service that it asks.
func TestHairpin(t *testing.T) {
	b := open(t, lb.Config{})
	pod := testenv.NewNetns(t, "pod")
	pod.Link("pod0", netip.MustParsePrefix("10.1.0.1/24"), "eth0", netip.MustParsePrefix("10.1.0.2/24"))
	var l net.Listener
	pod.Do(func() (err error) {
		l, err = net.Listen("tcp4", "10.1.0.2:8080")
		return err
	})
	defer l.Close()
	go answer(l, "myself")
	upsert(t, b, service("s", vip, lb.TCP, netip.MustParseAddrPort("10.1.0.2:8080")))
	pod.Do(func() error {
		got, _, err := ask(vip)
		if err == nil && got != "myself" {
			err = fmt.Errorf("answer %q", got)
		}
		return err
	})
	mustAsk(t, vip, "myself")
}

// A process outside the cgroup is left alone; one below it is not.
func TestCgroupPath(t *testing.T) {
	other := testenv.NewCgroup(t)
	b, err := lb.Open(lb.Config{CgroupPath: other})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Sockets.Attach(); err != nil {
		t.Fatal(err)
	}
	upsert(t, b, service("s", vip, lb.TCP, serveTCP(t, "127.0.0.1:0", "one")))
	if _, _, err := ask(vip); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("outside the cgroup: %v, want %v", err, unix.ENETUNREACH)
	}
	// Two balancers, one above the other, as two programs may: each with its
	// own services.
	above := open(t, lb.Config{})
	upsert(t, above, service("s", "10.96.0.21:80", lb.TCP, serveTCP(t, "127.0.0.1:0", "two")))
	mustAsk(t, "10.96.0.21:80", "two")
}
