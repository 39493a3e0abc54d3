package lb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
)

// network is a node (the namespace of the test process) between a client
// outside, another node, and pods on both. Sockets are not translated.
type network struct {
	client, other, pod, podThere *testenv.Netns
	uplink, bridge               int
}

const (
	clientIP = "198.51.100.9"
	nodeIP   = "192.0.2.1"
	podIP    = "10.244.1.5"
	thereIP  = "10.244.2.7"
)

func newNetwork(t testing.TB) network {
	t.Helper()
	testenv.RequireNetwork(t)
	prefix := netip.MustParsePrefix
	n := network{
		client: testenv.NewNetns(t, "client"), other: testenv.NewNetns(t, "other"),
		pod: testenv.NewNetns(t, "pod"), podThere: testenv.NewNetns(t, "there"),
	}
	// A bridge is the wire between the node, the other node and the client's
	// router, so that all of them come in by one uplink.
	run(t, "ip", "link", "add", "wire", "type", "bridge")
	t.Cleanup(func() { run(t, "ip", "link", "del", "wire") })
	run(t, "ip", "link", "set", "wire", "up", "addrgenmode", "none")
	n.other.Link("w2", netip.Prefix{}, "eth0", prefix("192.0.2.2/24"))
	n.client.Link("w3", netip.Prefix{}, "eth0", prefix(clientIP+"/24"))
	for _, w := range []string{"w2", "w3"} {
		run(t, "ip", "link", "set", w, "master", "wire")
	}
	run(t, "ip", "addr", "add", nodeIP+"/24", "dev", "wire")
	run(t, "ip", "route", "add", "198.51.100.0/24", "dev", "wire")
	n.uplink = index(t, "wire")
	n.client.Do(func() error { return runErr("ip", "route", "add", "192.0.2.0/24", "dev", "eth0") })

	n.bridge = n.pod.Link("pods", prefix("10.244.1.1/24"), "eth0", prefix(podIP+"/24"))
	n.pod.Route(prefix("0.0.0.0/0"), netip.MustParseAddr("10.244.1.1"))

	n.other.Do(func() error {
		return errors.Join(
			runErr("ip", "link", "add", "pods", "type", "veth", "peer", "name", "eth0", "netns", n.podThere.Path()),
			runErr("ip", "addr", "add", "10.244.2.1/24", "dev", "pods"), runErr("ip", "link", "set", "pods", "up"),
			runErr("ip", "route", "add", "10.244.1.0/24", "via", nodeIP), testenv.Sysctl("net.ipv4.ip_forward", "1"))
	})
	n.podThere.Do(func() error {
		return errors.Join(runErr("ip", "addr", "add", thereIP+"/24", "dev", "eth0"), runErr("ip", "link", "set", "eth0", "up"),
			runErr("ip", "route", "add", "default", "via", "10.244.2.1"))
	})
	run(t, "ip", "route", "add", "10.244.2.0/24", "via", "192.0.2.2")
	sysctl(t, "net.ipv4.ip_forward", "1")
	sysctl(t, "net.ipv4.conf.all.rp_filter", "1")
	sysctl(t, "net.ipv4.conf.wire.rp_filter", "1")
	t.Cleanup(func() { sysctl(t, "net.ipv4.conf.all.rp_filter", "0") })
	return n
}

// serve answers TCP and UDP at addr in ns: with a name and the client's address.
func serve(t testing.TB, ns *testenv.Netns, addr, name string) {
	t.Helper()
	var (
		l net.Listener
		p net.PacketConn
	)
	listen := func() (err error) {
		if l, err = net.Listen("tcp4", addr); err != nil {
			return err
		}
		p, err = net.ListenPacket("udp4", addr)
		return err
	}
	if ns == nil {
		if err := listen(); err != nil {
			t.Fatal(err)
		}
	} else {
		ns.Do(listen)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprint(c, name, " ", host)
			c.Close()
		}
	}()
	go func() {
		buf := make([]byte, 16)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(from.String())
			_, _ = p.WriteTo([]byte(name+" "+host), from)
		}
	}()
}

// askUDP sends one datagram by a connected socket, which hears nobody but addr.
func askUDP(addr string) (string, error) {
	c, err := net.Dial("udp4", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	k, err := c.Read(buf)
	return string(buf[:k]), err
}

// Real packets on real devices with reverse path filters on, by tcx and by
// clsact: who serves, and whom the server sees as client.
func TestPacketsOnDevices(t *testing.T) {
	for _, classic := range []bool{false, true} {
		t.Run(fmt.Sprintf("classic=%v", classic), func(t *testing.T) {
			n := newNetwork(t)
			dir := filepath.Join(t.TempDir(), "bpf")
			b, err := lb.Open(lb.Config{PinDir: dir, Classic: classic})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			t.Cleanup(func() { remove(t, dir) })
			for _, d := range []lb.Device{{Index: n.uplink, Kind: lb.Uplink, Addr: netip.MustParseAddr(nodeIP)}, {Index: n.bridge, Kind: lb.Bridge, Addr: netip.MustParseAddr("10.244.1.1")}} {
				if err := errors.Join(b.Packets.AttachDevice(d), b.Packets.AttachDevice(d)); err != nil { // twice does no harm
					t.Fatal(err)
				}
			}
			if err := b.Addresses.SetNodeAddrs([]netip.Addr{netip.MustParseAddr(nodeIP), netip.MustParseAddr("10.244.1.1")}); err != nil {
				t.Fatal(err)
			}
			serve(t, n.pod, podIP+":8080", "here")
			serve(t, n.podThere, thereIP+":8080", "there")
			serve(t, nil, nodeIP+":9000", "host")
			for _, proto := range []lb.Protocol{lb.TCP, lb.UDP} {
				for port, be := range map[string]lb.Backend{
					"30001": {Addr: netip.MustParseAddrPort(podIP + ":8080"), Local: true},
					"30002": {Addr: netip.MustParseAddrPort(thereIP + ":8080")},
					"30003": {Addr: netip.MustParseAddrPort(nodeIP + ":9000"), Local: true},
				} {
					for _, addr := range []string{"0.0.0.0:" + port, "10.96.0.1:" + port} {
						s := service(addr+proto.String(), addr, proto)
						s.Backends = []lb.Backend{be}
						upsert(t, b, s)
					}
				}
			}
			for _, tc := range []struct {
				from       *testenv.Netns
				addr, want string
			}{
				{n.client, nodeIP + ":30001", "here " + clientIP},
				{n.client, nodeIP + ":30002", "there " + nodeIP},
				{n.client, nodeIP + ":30003", "host " + clientIP},
				{n.pod, nodeIP + ":30001", "here 10.244.1.1"}, // itself: hairpin
				{n.pod, nodeIP + ":30002", "there " + podIP},
				{n.pod, nodeIP + ":30003", "host " + podIP},
				{n.pod, "10.96.0.1:30001", "here 10.244.1.1"},
				{n.pod, "10.96.0.1:30002", "there " + podIP},
				{n.pod, "10.96.0.1:30003", "host " + podIP},
				{n.podThere, nodeIP + ":30001", "here " + thereIP},
				{n.podThere, nodeIP + ":30002", "there " + nodeIP}, // itself, by another node
			} {
				var got string
				err := tc.from.Try(func() (err error) { got, _, err = ask(tc.addr); return err })
				if err != nil || got != tc.want {
					t.Errorf("TCP to %s: %q, %v; want %q", tc.addr, got, err, tc.want)
				}
				err = tc.from.Try(func() (err error) { got, err = askUDP(tc.addr); return err })
				if err != nil || got != tc.want {
					t.Errorf("UDP to %s: %q, %v; want %q", tc.addr, got, err, tc.want)
				}
			}
			// Much data, both segmented and coalesced by the devices.
			n.client.Do(func() error { return bulk(t, n.podThere, thereIP+":8081", b, nodeIP+":30004") })

			if err := errors.Join(b.Packets.DetachDevice(n.uplink), b.Packets.DetachDevice(n.bridge), b.Packets.DetachDevice(n.bridge)); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Packets.Devices(); err != nil || len(got) > 0 {
				t.Errorf("devices left: %v, %v", got, err)
			}
			err = n.client.Try(func() error { _, _, err := ask(nodeIP + ":30001"); return err })
			if err == nil {
				t.Error("translated after the devices were given up")
			}
		})
	}
}

// bulk sends four mebibytes through a service at front to addr in ns.
func bulk(t *testing.T, ns *testenv.Netns, addr string, b *lb.Balancer, front string) error {
	_, port, _ := strings.Cut(front, ":")
	s := service("bulk", "0.0.0.0:"+port, lb.TCP, netip.MustParseAddrPort(addr))
	s.Backends[0].Local = false
	if err := b.Table.Upsert(s); err != nil {
		return err
	}
	var l net.Listener
	ns.Do(func() (err error) { l, err = net.Listen("tcp4", addr); return err })
	defer l.Close()
	const size = 4 << 20
	total := make(chan int, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			total <- -1
			return
		}
		defer c.Close()
		buf, n := make([]byte, 1<<16), 0
		for {
			k, err := c.Read(buf)
			n += k
			if err != nil {
				total <- n
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp4", front)
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	_, err = c.Write(make([]byte, size))
	c.Close()
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	select {
	case n := <-total:
		if n != size {
			return fmt.Errorf("%d of %d bytes arrived", n, size)
		}
		return nil
	case <-ctx.Done():
		return errors.New("the data does not arrive")
	}
}

func index(t testing.TB, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return i.Index
}

func TestBadDevices(t *testing.T) {
	b := open(t, lb.Config{})
	for _, d := range []lb.Device{{}, {Index: 1}, {Index: 1 << 20, Addr: netip.MustParseAddr(nodeIP)}, {Index: 1, Addr: netip.MustParseAddr("fd00::1")}} {
		if err := b.Packets.AttachDevice(d); err == nil {
			t.Errorf("%+v: accepted", d)
		}
	}
	if err := lb.Remove(filepath.Join(os.TempDir(), "no such directory")); err != nil {
		t.Errorf("remove nothing: %v", err)
	}
}
