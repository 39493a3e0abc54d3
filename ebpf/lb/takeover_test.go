package lb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/ebpf/lbtest"
	"github.com/pintle-io/pintle/internal/testenv"
)

// echo serves at addr in ns: what comes is sent back with a name before it, on
// connections that stay and by datagrams.
func echo(t *testing.T, ns *testenv.Netns, addr, name string) netip.AddrPort {
	t.Helper()
	var (
		l net.Listener
		p net.PacketConn
	)
	listen := func() (err error) {
		if l, err = net.Listen("tcp4", addr); err != nil {
			return err
		}
		p, err = net.ListenPacket("udp4", l.Addr().String())
		return err
	}
	if ns != nil {
		ns.Do(listen)
	} else if err := listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(append([]byte(name), buf[:n]...)); err != nil {
						return
					}
				}
			}()
		}
	}()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(append([]byte(name), buf[:n]...), from)
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// exchange sends one byte and returns the answer's name.
func exchange(c net.Conn) (string, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n-1]), nil
}

// sendTo does the same by a socket that is not connected, and wants the answer
// from where it asked.
func sendTo(c *net.UDPConn, addr string) (string, error) {
	to := netip.MustParseAddrPort(addr)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), to); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		return "", err
	}
	if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); from != to {
		return "", fmt.Errorf("answer from %s, want %s", from, to)
	}
	return string(buf[:n-1]), nil
}

// traffic runs until stop, which reports what went wrong.
type traffic struct {
	t    *testing.T
	ctx  context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
	done []*atomic.Int64 // exchanges, of each
}

func newTraffic(t *testing.T) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	return &traffic{t: t, ctx: ctx, end: cancel}
}

// run calls f again and again in ns (nil: here).
func (x *traffic) run(ns *testenv.Netns, what string, f func() error) {
	done := new(atomic.Int64)
	x.done = append(x.done, done)
	x.wg.Go(func() {
		loop := func() error {
			for x.ctx.Err() == nil {
				if err := f(); err != nil {
					return err
				}
				done.Add(1)
				time.Sleep(time.Millisecond) // leaves the machine to the others
			}
			return nil
		}
		var err error
		if ns != nil {
			err = ns.Try(loop)
		} else {
			err = loop()
		}
		if err != nil {
			x.t.Errorf("%s: %v", what, err)
			x.end()
		}
	})
}

// more waits for n exchanges of each.
func (x *traffic) more(n int64) {
	x.t.Helper()
	for _, done := range x.done {
		for want := done.Load() + n; done.Load() < want; time.Sleep(time.Millisecond) {
			if x.ctx.Err() != nil {
				return // its error is told
			}
		}
	}
}

func (x *traffic) stop() { x.end(); x.wg.Wait() }

// stay wants the same answer each time: a connection that is lost or moved fails.
func stay(f func() (string, error)) func() error {
	first := ""
	return func() error {
		got, err := f()
		if err != nil {
			return err
		}
		if first == "" {
			first = got
		}
		if got != first {
			return fmt.Errorf("answered by %q after %q", got, first)
		}
		return nil
	}
}

// open4 makes a connection in ns.
func open4(t *testing.T, ns *testenv.Netns, network, addr string) net.Conn {
	t.Helper()
	var c net.Conn
	dial := func() (err error) { c, err = net.DialTimeout(network, addr, 5*time.Second); return err }
	if ns != nil {
		ns.Do(dial)
	} else if err := dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// again makes a new connection for each exchange.
func again(network, addr string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, addr, 10*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = exchange(c)
		return err
	}
}

// loaded is a node that the old version serves, with traffic of all sorts.
type loaded struct {
	*traffic
	cfg     lb.Config
	devices []lb.Device
	tcp     net.Conn // to the cluster IP
	udp     net.Conn
	all     []lb.Service
}

const (
	clusterIP = "10.96.0.20"
	sticky    = "10.96.0.21:80"
)

// load starts it. The sockets of all namespaces of a test are of one cgroup, so
// either they are translated or packets are.
func load(t *testing.T, how string) *loaded {
	t.Helper()
	n := newNetwork(t)
	w := &loaded{traffic: newTraffic(t), cfg: lb.Config{PinDir: filepath.Join(t.TempDir(), "bpf"), Classic: how == "clsact"}}
	if how == "sockets" {
		w.cfg.CgroupPath = testenv.RequireNetwork(t)
	} else {
		w.devices = []lb.Device{
			{Index: n.uplink, Kind: lb.Uplink, Addr: netip.MustParseAddr(nodeIP)},
			{Index: n.bridge, Kind: lb.Bridge, Addr: netip.MustParseAddr("10.244.1.1")},
		}
	}
	dir := w.cfg.PinDir
	old := lbtest.StartOld(t, dir, w.cfg.CgroupPath, w.cfg.Classic, w.devices...)
	t.Cleanup(func() { remove(t, dir) })
	one, two := echo(t, nil, "127.0.0.1:0", "one"), echo(t, nil, "127.0.0.1:0", "two")
	echo(t, n.pod, podIP+":8080", "here")
	echo(t, n.podThere, thereIP+":8080", "there")
	for _, proto := range []lb.Protocol{lb.TCP, lb.UDP} {
		s := service("cluster", clusterIP+":80", proto, one, two)
		s.Key += proto.String()
		kept := service("sticky", sticky, proto, one, two)
		kept.Key, kept.Affinity = kept.Key+proto.String(), time.Hour
		node := service("node", "0.0.0.0:30001", proto)
		node.Key += proto.String()
		node.Backends = []lb.Backend{{Addr: netip.MustParseAddrPort(podIP + ":8080"), Local: true}, {Addr: netip.MustParseAddrPort(thereIP + ":8080")}}
		for _, x := range []lb.Service{s, kept, node} {
			old.Serve(x)
			w.all = append(w.all, x)
		}
	}
	if how == "sockets" {
		w.sockets(t)
	} else {
		w.packets(t, n)
	}
	t.Cleanup(w.stop) // before anything that it uses ends
	w.more(10)
	return w
}

func (w *loaded) sockets(t *testing.T) {
	w.tcp, w.udp = open4(t, nil, "tcp4", clusterIP+":80"), open4(t, nil, "udp4", clusterIP+":80")
	w.run(nil, "TCP connection to a cluster IP", stay(func() (string, error) { return exchange(w.tcp) }))
	w.run(nil, "connected UDP to a cluster IP", stay(func() (string, error) { return exchange(w.udp) }))
	w.run(nil, "new TCP connections to a cluster IP", again("tcp4", clusterIP+":80"))
	w.run(nil, "new TCP connections with affinity", stay(func() (string, error) {
		c, err := net.DialTimeout("tcp4", sticky, 10*time.Second)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return exchange(c)
	}))
	free, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { free.Close() })
	w.run(nil, "unconnected UDP to a cluster IP", stay(func() (string, error) { return sendTo(free, clusterIP+":80") }))
}

func (w *loaded) packets(t *testing.T, n network) {
	for i := range 8 { // to both backends, whatever the dice say
		c := open4(t, n.client, "tcp4", nodeIP+":30001")
		w.run(nil, fmt.Sprint("TCP connection to a node port ", i), stay(func() (string, error) { return exchange(c) }))
	}
	u := open4(t, n.client, "udp4", nodeIP+":30001")
	w.run(nil, "UDP to a node port", stay(func() (string, error) { return exchange(u) }))
	p := open4(t, n.pod, "tcp4", nodeIP+":30001")
	w.run(nil, "TCP connection of a pod to a node port", stay(func() (string, error) { return exchange(p) }))
	w.run(n.client, "new TCP connections to a node port", again("tcp4", nodeIP+":30001"))
}

// upgrade does what an agent does when it starts.
func (w *loaded) upgrade(t *testing.T) *lb.Balancer {
	t.Helper()
	b, err := lb.Open(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	w.more(3)
	if err := b.Sockets.Attach(); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.devices {
		if err := b.Packets.AttachDevice(d); err != nil {
			t.Fatal(err)
		}
	}
	w.more(10)
	return b
}

// taken checks that the new version serves alone, with all that the old one had.
func (w *loaded) taken(t *testing.T, b *lb.Balancer) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(w.cfg.PinDir, "maps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old maps: %v", err)
	}
	if w.tcp != nil {
		if got := peerName(t, w.tcp); got != clusterIP+":80" {
			t.Errorf("peer of the old TCP connection: %s", got)
		}
		if got := udpPeer(t, w.udp.(*net.UDPConn)); got != clusterIP+":80" {
			t.Errorf("peer of the old UDP socket: %s", got)
		}
	}
	if beside, err := filepath.Glob(filepath.Join(w.cfg.PinDir, "links", "*-beside")); err != nil || len(beside) > 0 {
		t.Errorf("left of the takeover: %v, %v", beside, err)
	}
	before, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	w.more(10)
	if after, err := b.Stats(); err != nil || after.PacketsTranslated == before.PacketsTranslated && after.SocketsTranslated == before.SocketsTranslated {
		t.Errorf("the new programs do not run: %+v, then %+v, %v", before, after, err)
	}
}

// An agent with another layout of the maps starts: nothing is dropped, nothing
// refused, nothing changes its backend, and at the end nothing of the old one is
// left.
func TestTakeover(t *testing.T) {
	for _, how := range []string{"sockets", "tcx", "clsact"} {
		t.Run(how, func(t *testing.T) {
			w := load(t, how)
			b := w.upgrade(t)
			if b.Fresh() || b.Sockets.Stale() {
				t.Errorf("fresh %v, stale %v", b.Fresh(), b.Sockets.Stale())
			}
			w.taken(t, b)
			got, err := b.Table.Services()
			if err != nil || len(got) != len(w.all) {
				t.Errorf("services: %v, %v", got, err)
			}
			if err := b.Table.Replace(w.all); err != nil {
				t.Fatal(err)
			}
			w.more(10)
			if err := errors.Join(b.Sockets.Attach(), b.Close()); err != nil {
				t.Fatal(err)
			}
			// And a restart without an upgrade.
			b = w.upgrade(t)
			w.taken(t, b)
			w.stop()

			if how != "sockets" {
				return
			}
			// What was copied with the sockets serves to move them, too.
			quiet(t, b)
			three := echo(t, nil, "127.0.0.1:0", "three")
			for i := range w.all {
				if w.all[i].Key == "clusterUDP" {
					w.all[i].Backends = []lb.Backend{{Addr: three}}
				}
			}
			if err := b.Table.Replace(w.all); err != nil {
				t.Fatal(err)
			}
			moveStrays(t, b, lb.Moved{Connected: 1})
			if got, err := exchange(w.udp); err != nil || got != "three" {
				t.Errorf("after its backend went, the old UDP socket: %q, %v", got, err)
			}
		})
	}
}

// The agent is killed after each step of a takeover; the next one completes it.
func TestTakeoverIsCutOff(t *testing.T) {
	for _, how := range []string{"sockets", "tcx", "clsact"} {
		steps := 1
		for n := 0; n < steps; n++ {
			t.Run(fmt.Sprintf("%s,after=%d", how, n), func(t *testing.T) {
				w := load(t, how)
				b, err := lb.Open(w.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if steps, err = b.TakeOverPartly(n); err != nil {
					t.Fatal(err)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				w.more(10) // whoever serves now
				w.taken(t, w.upgrade(t))
			})
		}
	}
}

// An old version that is started again after an upgrade puts its programs in
// place of ours, from maps of its own; a second upgrade begins from those, not
// from what it left itself.
func TestDowngrade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bpf")
	cgroup := testenv.RequireNetwork(t)
	one, two := serveTCP(t, "127.0.0.1:0", "one"), serveTCP(t, "127.0.0.1:0", "two")
	b := open(t, lb.Config{PinDir: dir})
	t.Cleanup(func() { remove(t, dir) })
	upsert(t, b, service("s", vip, lb.TCP, one))
	upsert(t, b, service("gone", "10.96.0.30:80", lb.TCP, one))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	old := lbtest.StartOld(t, dir, cgroup, false)
	old.Serve(service("s", vip, lb.TCP, two))
	mustAsk(t, vip, "two")

	b = open(t, lb.Config{PinDir: dir})
	mustAsk(t, vip, "two")
	if got, err := b.Table.Services(); err != nil || len(got) != 1 {
		t.Errorf("services: %v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "maps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old maps: %v", err)
	}
}

// Maps that are neither layout are left alone until everything is written anew.
func TestTakeoverOfTheUnknown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bpf")
	cgroup := testenv.RequireNetwork(t)
	old := lbtest.StartOld(t, dir, cgroup, false)
	t.Cleanup(func() { remove(t, dir) })
	one := serveTCP(t, "127.0.0.1:0", "one")
	old.Serve(service("s", vip, lb.TCP, one))
	if err := os.Remove(filepath.Join(dir, "maps", "flows")); err != nil {
		t.Fatal(err)
	}
	b, err := lb.Open(lb.Config{PinDir: dir, CgroupPath: cgroup})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !b.Fresh() || !b.Sockets.Stale() {
		t.Errorf("fresh %v, stale %v", b.Fresh(), b.Sockets.Stale())
	}
	mustAsk(t, vip, "one")
	if err := errors.Join(b.Table.Replace([]lb.Service{service("s", vip, lb.TCP, one)}), b.Sockets.Attach()); err != nil {
		t.Fatal(err)
	}
	mustAsk(t, vip, "one")
	if _, err := os.Stat(filepath.Join(dir, "maps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old maps: %v", err)
	}
}
