package lbtest_test

import (
	"bytes"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/ebpf/lbtest"
	"github.com/pintle-io/pintle/internal/testenv"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

// The node under test: an uplink with 192.0.2.1, a pod bridge with 10.244.1.1;
// pods 10.244.1.0/24 are here, those of other nodes are behind 192.0.2.2.
const (
	nodeIP  = "192.0.2.1"
	bridge  = "10.244.1.1"
	here    = "10.244.1.5:8080"
	there   = "10.244.2.7:8080"
	outside = "198.51.100.9:40000"
	pod     = "10.244.1.9:41000"
)

type node struct {
	*lb.Balancer
	t      *testing.T
	uplink int
	bridge int
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

func newNode(t *testing.T) *node {
	t.Helper()
	testenv.RequireNetwork(t)
	peer := testenv.NewNetns(t, "peer")
	n := &node{t: t}
	n.uplink = peer.Link("up0", netip.MustParsePrefix(nodeIP+"/24"), "eth0", netip.MustParsePrefix("192.0.2.2/24"))
	pods := testenv.NewNetns(t, "pods")
	n.bridge = pods.Link("br0", netip.MustParsePrefix(bridge+"/24"), "eth0", netip.MustParsePrefix("10.244.1.5/24"))
	ip(t, "route", "add", "default", "via", "192.0.2.2")
	if err := testenv.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	b, err := lb.Open(lb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	n.Balancer = b
	for _, d := range []lb.Device{
		{Index: n.uplink, Kind: lb.Uplink, Addr: netip.MustParseAddr(nodeIP)},
		{Index: n.bridge, Kind: lb.Bridge, Addr: netip.MustParseAddr(bridge)},
	} {
		if err := b.Packets.AttachDevice(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Addresses.SetNodeAddrs([]netip.Addr{netip.MustParseAddr(nodeIP), netip.MustParseAddr(bridge)}); err != nil {
		t.Fatal(err)
	}
	return n
}

func front(addr string, proto lb.Protocol, scope lb.Scope) lb.Frontend {
	return lb.Frontend{Addr: netip.MustParseAddrPort(addr), Proto: proto, Scope: scope}
}

func (n *node) upsert(s lb.Service) {
	n.t.Helper()
	if err := n.Table.Upsert(s); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) pass(way attach.Direction, dev int, p lbtest.Packet) (lb.Verdict, lbtest.Packet) {
	n.t.Helper()
	v, out, err := n.Packets.Try(way, dev, p.Frame())
	if err != nil {
		n.t.Fatal(err)
	}
	got, err := lbtest.Parse(out)
	if err != nil {
		n.t.Fatalf("packet %+v comes out broken: %v", p, err)
	}
	return v, got
}

func packet(src, dst string, udp bool, flags uint8) lbtest.Packet {
	return lbtest.Packet{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), UDP: udp, Flags: flags, Payload: "hello"}
}

// The four ways of a flow, in nat.h's words, each forth and back, for TCP and
// UDP. A source port of 0 is any of the balancer's range.
func TestFlow(t *testing.T) {
	type step struct {
		way      attach.Direction
		bridge   bool
		src, dst string
		verdict  lb.Verdict
		wantSrc  string
		wantDst  string
		wantTTL  uint8
		fromSNAT bool // dst's port is the one that the first step chose
	}
	for _, tc := range []struct {
		name    string
		front   string
		scope   lb.Scope
		backend lb.Backend
		steps   []step
	}{
		{
			name: "from outside to a pod here", front: "0.0.0.0:30080",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(here), Local: true},
			steps: []step{
				{way: attach.Ingress, src: outside, dst: nodeIP + ":30080", verdict: lb.Pass, wantSrc: outside, wantDst: here, wantTTL: 64},
				{way: attach.Egress, src: here, dst: outside, verdict: lb.Pass, wantSrc: nodeIP + ":30080", wantDst: outside, wantTTL: 64},
				{way: attach.Ingress, bridge: true, src: here, dst: outside, verdict: lb.Pass, wantSrc: here, wantDst: outside, wantTTL: 64},
			},
		},
		{
			name: "from outside to a pod elsewhere", front: "0.0.0.0:30080",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(there)},
			steps: []step{
				{way: attach.Ingress, src: outside, dst: nodeIP + ":30080", verdict: lb.Redirect, wantSrc: nodeIP + ":0", wantDst: there, wantTTL: 63},
				{way: attach.Ingress, src: there, dst: nodeIP, fromSNAT: true, verdict: lb.Redirect, wantSrc: nodeIP + ":30080", wantDst: outside, wantTTL: 63},
			},
		},
		{
			name: "from outside to a process of this node", front: "0.0.0.0:30080",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(nodeIP + ":9000"), Local: true},
			steps: []step{
				{way: attach.Ingress, src: outside, dst: nodeIP + ":30080", verdict: lb.Pass, wantSrc: outside, wantDst: nodeIP + ":9000", wantTTL: 64},
				{way: attach.Egress, src: nodeIP + ":9000", dst: outside, verdict: lb.Pass, wantSrc: nodeIP + ":30080", wantDst: outside, wantTTL: 64},
			},
		},
		{
			name: "external address, asked from outside", front: "203.0.113.1:80", scope: lb.External,
			backend: lb.Backend{Addr: netip.MustParseAddrPort(here), Local: true},
			steps: []step{
				{way: attach.Ingress, src: outside, dst: "203.0.113.1:80", verdict: lb.Pass, wantSrc: outside, wantDst: here, wantTTL: 64},
				{way: attach.Ingress, bridge: true, src: pod, dst: "203.0.113.1:80", verdict: lb.Pass, wantSrc: pod, wantDst: "203.0.113.1:80", wantTTL: 64},
			},
		},
		{
			name: "from a pod to a pod on the same bridge", front: "10.96.0.20:80",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(here), Local: true},
			steps: []step{
				{way: attach.Ingress, bridge: true, src: pod, dst: "10.96.0.20:80", verdict: lb.Redirect, wantSrc: bridge + ":0", wantDst: here, wantTTL: 63},
				{way: attach.Ingress, bridge: true, src: here, dst: bridge, fromSNAT: true, verdict: lb.Redirect, wantSrc: "10.96.0.20:80", wantDst: pod, wantTTL: 63},
			},
		},
		{
			name: "from a pod to itself (hairpin)", front: "10.96.0.20:80",
			backend: lb.Backend{Addr: netip.MustParseAddrPort("10.244.1.9:8080"), Local: true},
			steps: []step{
				{way: attach.Ingress, bridge: true, src: pod, dst: "10.96.0.20:80", verdict: lb.Redirect, wantSrc: bridge + ":0", wantDst: "10.244.1.9:8080", wantTTL: 63},
				{way: attach.Ingress, bridge: true, src: "10.244.1.9:8080", dst: bridge, fromSNAT: true, verdict: lb.Redirect, wantSrc: "10.96.0.20:80", wantDst: pod, wantTTL: 63},
			},
		},
		{
			name: "from a pod to a pod elsewhere", front: "10.96.0.20:80",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(there)},
			steps: []step{
				{way: attach.Ingress, bridge: true, src: pod, dst: "10.96.0.20:80", verdict: lb.Pass, wantSrc: pod, wantDst: there, wantTTL: 64},
				{way: attach.Ingress, src: there, dst: pod, verdict: lb.Pass, wantSrc: there, wantDst: pod, wantTTL: 64},
				{way: attach.Egress, bridge: true, src: there, dst: pod, verdict: lb.Pass, wantSrc: "10.96.0.20:80", wantDst: pod, wantTTL: 64},
			},
		},
		{
			name: "from a pod to a process of this node", front: "10.96.0.20:80",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(nodeIP + ":9000"), Local: true},
			steps: []step{
				{way: attach.Ingress, bridge: true, src: pod, dst: "10.96.0.20:80", verdict: lb.Pass, wantSrc: pod, wantDst: nodeIP + ":9000", wantTTL: 64},
				{way: attach.Egress, bridge: true, src: nodeIP + ":9000", dst: pod, verdict: lb.Pass, wantSrc: "10.96.0.20:80", wantDst: pod, wantTTL: 64},
			},
		},
		{
			name: "no backend: to the stack, which refuses", front: "0.0.0.0:30080",
			steps: []step{
				{way: attach.Ingress, src: outside, dst: nodeIP + ":30080", verdict: lb.Pass, wantSrc: outside, wantDst: nodeIP + ":30080", wantTTL: 64},
			},
		},
		{
			name: "an address that is not this node's", front: "0.0.0.0:30080",
			backend: lb.Backend{Addr: netip.MustParseAddrPort(here), Local: true},
			steps: []step{
				{way: attach.Ingress, src: outside, dst: "192.0.2.77:30080", verdict: lb.Pass, wantSrc: outside, wantDst: "192.0.2.77:30080", wantTTL: 64},
			},
		},
	} {
		for _, proto := range []lb.Protocol{lb.TCP, lb.UDP} {
			t.Run(tc.name+"/"+proto.String(), func(t *testing.T) {
				n := newNode(t)
				s := lb.Service{Key: "s", Frontends: []lb.Frontend{front(tc.front, proto, tc.scope)}}
				if tc.backend.Addr.IsValid() {
					s.Backends = []lb.Backend{tc.backend}
				}
				n.upsert(s)
				var chosen uint16
				for i, st := range tc.steps {
					flags := uint8(lbtest.SYN)
					if i > 0 {
						flags = lbtest.SYN | lbtest.ACK
					}
					dst := st.dst
					if st.fromSNAT {
						dst = netip.AddrPortFrom(netip.MustParseAddr(st.dst), chosen).String()
					}
					dev := n.uplink
					if st.bridge {
						dev = n.bridge
					}
					verdict, got := n.pass(st.way, dev, packet(st.src, dst, proto == lb.UDP, flags))
					want := packet(st.wantSrc, st.wantDst, proto == lb.UDP, flags)
					if want.Src.Port() == 0 {
						chosen = got.Src.Port()
						if chosen < 61000 {
							t.Errorf("step %d: source port %d, want one from 61000 up", i, chosen)
						}
						want.Src = netip.AddrPortFrom(want.Src.Addr(), chosen)
					}
					want.TTL = st.wantTTL
					if proto == lb.UDP {
						want.Flags = 0
					}
					if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || verdict != st.verdict {
						t.Fatalf("step %d: verdict %d, want %d; packet (-want +got):\n%s", i, verdict, st.verdict, diff)
					}
				}
			})
		}
	}
}

// External frontends win for packets from outside, and only for those.
func TestScope(t *testing.T) {
	n := newNode(t)
	n.upsert(lb.Service{Key: "all", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.Cluster)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(there)}}})
	n.upsert(lb.Service{Key: "local", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.External)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(here), Local: true}}})
	if _, got := n.pass(attach.Ingress, n.uplink, packet(outside, nodeIP+":30080", false, lbtest.SYN)); got.Dst.String() != here {
		t.Errorf("from outside: to %s, want %s", got.Dst, here)
	}
	if _, got := n.pass(attach.Ingress, n.bridge, packet(pod, nodeIP+":30080", false, lbtest.SYN)); got.Dst.String() != there {
		t.Errorf("from a pod: to %s, want %s", got.Dst, there)
	}
}

// Packets that are passed on as they are, and packets that are rewritten
// although they are unusual.
func TestUnusual(t *testing.T) {
	n := newNode(t)
	for _, proto := range []lb.Protocol{lb.TCP, lb.UDP} {
		n.upsert(lb.Service{Key: proto.String(), Frontends: []lb.Frontend{front("0.0.0.0:30080", proto, lb.Cluster)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(here), Local: true}}})
	}
	for _, tc := range []struct {
		name       string
		change     func(*lbtest.Packet)
		translated bool
	}{
		{"no SYN, no flow", func(p *lbtest.Packet) { p.Flags = lbtest.ACK }, false},
		{"first fragment", func(p *lbtest.Packet) { p.Flags, p.Fragment = lbtest.SYN, 0x2000 }, false},
		{"later fragment", func(p *lbtest.Packet) { p.Flags, p.Fragment = lbtest.SYN, 0x0010 }, false},
		{"don't fragment", func(p *lbtest.Packet) { p.Flags, p.Fragment = lbtest.SYN, 0x4000 }, true},
		{"IP options", func(p *lbtest.Packet) { p.Flags, p.Options = lbtest.SYN, []byte{1, 1, 1, 0} }, true},
		{"UDP without checksum", func(p *lbtest.Packet) { p.UDP, p.NoSum = true, true }, true},
		{"odd payload", func(p *lbtest.Packet) { p.Flags, p.Payload = lbtest.SYN, "odd" }, true},
		{"no payload", func(p *lbtest.Packet) { p.Flags, p.Payload = lbtest.SYN, "" }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := packet("198.51.100.9:50000", nodeIP+":30080", false, 0)
			p.TTL = 64
			tc.change(&p)
			_, out, err := n.Packets.Try(attach.Ingress, n.uplink, p.Frame())
			if err != nil {
				t.Fatal(err)
			}
			if !tc.translated {
				if !bytes.Equal(out, p.Frame()) {
					t.Fatalf("changed from %x to %x", p.Frame(), out)
				}
				return
			}
			got, err := lbtest.Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			p.Dst = netip.MustParseAddrPort(here)
			if diff := cmp.Diff(p, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("packet (-want +got):\n%s", diff)
			}
		})
	}
	// ARP, a runt, and IPv6 go by.
	for _, frame := range [][]byte{
		append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6}, make([]byte, 28)...),
		append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, make([]byte, 20)...),
		append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd}, make([]byte, 40)...),
	} {
		v, out, err := n.Packets.Try(attach.Ingress, n.uplink, frame)
		if err != nil || v != lb.Pass || !bytes.Equal(out, frame) {
			t.Errorf("frame %x: verdict %d, %x, %v", frame, v, out, err)
		}
	}
}

// A retransmitted SYN stays with its backend; one after the end chooses anew,
// and so does one whose backend is gone.
func TestReopen(t *testing.T) {
	n := newNode(t)
	other := "10.244.1.6:8080"
	service := func(addrs ...string) {
		s := lb.Service{Key: "s", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.Cluster)}}
		for _, a := range addrs {
			s.Backends = append(s.Backends, lb.Backend{Addr: netip.MustParseAddrPort(a), Local: true})
		}
		n.upsert(s)
	}
	send := func(flags uint8) string {
		t.Helper()
		_, got := n.pass(attach.Ingress, n.uplink, packet(outside, nodeIP+":30080", false, flags))
		return got.Dst.String()
	}
	service(here)
	if got := send(lbtest.SYN); got != here {
		t.Fatalf("SYN: to %s, want %s", got, here)
	}
	service(here, other)
	for range 20 {
		if got := send(lbtest.SYN); got != here {
			t.Fatalf("retransmitted SYN: to %s, want %s", got, here)
		}
	}
	service(other)
	if got := send(lbtest.ACK); got != here {
		t.Errorf("ACK after the backend left: to %s, want still %s", got, here)
	}
	if got := send(lbtest.SYN); got != other {
		t.Errorf("SYN after the backend left: to %s, want %s", got, other)
	}
	// The end, seen from the backend's side.
	_, _ = n.pass(attach.Egress, n.uplink, packet(other, outside, false, lbtest.FIN|lbtest.ACK))
	service(here, other)
	seen := map[string]bool{}
	for range 200 {
		send(lbtest.FIN | lbtest.ACK)
		seen[send(lbtest.SYN)] = true
	}
	if len(seen) != 2 {
		t.Errorf("SYNs after the end went to %v, want both backends", seen)
	}
}

func TestAffinityByClientAddress(t *testing.T) {
	n := newNode(t)
	s := lb.Service{Key: "s", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.Cluster)}, Affinity: 1}
	for i := range 8 {
		s.Backends = append(s.Backends, lb.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(10 + i)}), 80), Local: true})
	}
	n.upsert(s)
	seen := map[netip.AddrPort]bool{}
	for port := range uint16(100) {
		p := packet(outside, nodeIP+":30080", false, lbtest.SYN)
		p.Src = netip.AddrPortFrom(p.Src.Addr(), 20000+port)
		_, got := n.pass(attach.Ingress, n.uplink, p)
		seen[got.Dst] = true
	}
	if len(seen) != 1 {
		t.Errorf("one client got %d backends, want 1", len(seen))
	}
}

// Two nodes choose alike, and one backend less moves few flows.
func TestMaglev(t *testing.T) {
	backends := func(skip int) []lb.Backend {
		var out []lb.Backend
		for i := range 10 {
			if i != skip {
				out = append(out, lb.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(10 + i)}), 80), Local: true})
			}
		}
		return out
	}
	choices := func(n *node, from uint16) []netip.AddrPort {
		var out []netip.AddrPort
		for i := range uint16(500) {
			p := packet(outside, nodeIP+":30080", false, lbtest.SYN)
			p.Src = netip.AddrPortFrom(p.Src.Addr(), from+i)
			_, got := n.pass(attach.Ingress, n.uplink, p)
			out = append(out, got.Dst)
		}
		return out
	}
	service := lb.Service{Key: "s", Maglev: true, Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.Cluster)}}
	var nodes [][]netip.AddrPort
	for range 2 {
		t.Run("node", func(t *testing.T) {
			n := newNode(t)
			service.Backends = backends(-1)
			n.upsert(service)
			nodes = append(nodes, choices(n, 10000))
		})
	}
	if diff := cmp.Diff(nodes[0], nodes[1], cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Fatalf("two nodes choose differently:\n%s", diff)
	}
	n := newNode(t)
	service.Backends = backends(3)
	n.upsert(service)
	moved := 0
	for i, got := range choices(n, 10000) {
		if was := nodes[0][i]; was != got && was.Addr().As4()[3] != 13 {
			moved++
		}
	}
	if moved > 50 {
		t.Errorf("%d of 500 flows moved although their backend stayed, want at most 50", moved)
	}
}

func TestTimeToLiveUsedUp(t *testing.T) {
	n := newNode(t)
	n.upsert(lb.Service{Key: "s", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.TCP, lb.Cluster)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(there)}}})
	p := packet(outside, nodeIP+":30080", false, lbtest.SYN)
	p.TTL = 1
	if v, _ := n.pass(attach.Ingress, n.uplink, p); v != lb.Drop {
		t.Errorf("verdict %d, want %d", v, lb.Drop)
	}
}

// More clients than source ports: the last ones are not translated, and that is
// counted.
func TestSourcePortsUsedUp(t *testing.T) {
	n := newNode(t)
	n.upsert(lb.Service{Key: "s", Frontends: []lb.Frontend{front("0.0.0.0:30080", lb.UDP, lb.Cluster)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(there)}}})
	ports := map[uint16]bool{}
	for i := range 6000 {
		p := packet(outside, nodeIP+":30080", true, 0)
		p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i / 1000)}), uint16(10000+i%1000))
		v, got := n.pass(attach.Ingress, n.uplink, p)
		if v == lb.Redirect {
			if ports[got.Src.Port()] {
				t.Fatalf("source port %d given twice", got.Src.Port())
			}
			ports[got.Src.Port()] = true
		}
	}
	st, err := n.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if len(ports) < 4000 || st.FlowsWithoutPort != uint64(6000-len(ports)) {
		t.Errorf("%d flows opened, %d counted as without port", len(ports), st.FlowsWithoutPort)
	}
}

func FuzzIngress(f *testing.F) {
	f.Add(packet(outside, nodeIP+":30080", false, lbtest.SYN).Frame())
	f.Add(packet(outside, nodeIP+":30080", true, 0).Frame())
	f.Add(packet(outside, "10.96.9.9:80", false, lbtest.SYN).Frame())
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 1500 {
			return
		}
		b := fuzzed(t)
		v, out, err := b.Packets.Try(attach.Ingress, 1, frame)
		if err != nil {
			return // the kernel refuses the frame itself
		}
		if len(out) != len(frame) {
			t.Errorf("verdict %d, %d bytes out of %d", v, len(out), len(frame))
		}
	})
}

var fuzzBalancer *lb.Balancer

func fuzzed(t *testing.T) *lb.Balancer {
	testenv.RequireNetwork(t)
	if fuzzBalancer == nil {
		b, err := lb.Open(lb.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Table.Upsert(lb.Service{Key: "s", Frontends: []lb.Frontend{front(nodeIP+":30080", lb.TCP, lb.Cluster)}, Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(here), Local: true}}}); err != nil {
			t.Fatal(err)
		}
		if err := b.Addresses.SetServiceRanges([]netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}); err != nil {
			t.Fatal(err)
		}
		if err := b.Packets.AttachDevice(lb.Device{Index: 1, Kind: lb.Uplink, Addr: netip.MustParseAddr(nodeIP)}); err != nil {
			t.Fatal(err)
		}
		fuzzBalancer = b
	}
	return fuzzBalancer
}

// A SYN to an address of the service range that nothing serves is answered by
// the program itself, whatever the kernel's limit on ICMP errors; everything
// else is left to the stack.
func TestUnserved(t *testing.T) {
	n := newNode(t)
	if err := n.Addresses.SetServiceRanges([]netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}); err != nil {
		t.Fatal(err)
	}
	n.upsert(lb.Service{Key: "empty", Frontends: []lb.Frontend{front("10.96.0.30:80", lb.TCP, lb.Cluster)}})
	n.upsert(lb.Service{Key: "foreign", Foreign: true, Frontends: []lb.Frontend{front("10.96.0.40:80", lb.TCP, lb.Cluster)}})
	n.upsert(lb.Service{Key: "served", Frontends: []lb.Frontend{front("10.96.0.20:80", lb.TCP, lb.Cluster)},
		Backends: []lb.Backend{{Addr: netip.MustParseAddrPort(here), Local: true}}})
	options := []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7}
	for _, tc := range []struct {
		name, src, dst string
		bridge, udp    bool
		flags          uint8
		tcp, ip        []byte
		refused        bool
	}{
		{name: "from a pod", src: pod, dst: "10.96.9.9:80", bridge: true, flags: lbtest.SYN, refused: true},
		{name: "with options", src: pod, dst: "10.96.9.9:80", bridge: true, flags: lbtest.SYN, tcp: options, ip: []byte{1, 1, 1, 1}, refused: true},
		{name: "from outside", src: outside, dst: "10.96.9.9:80", flags: lbtest.SYN, refused: true},
		{name: "unknown port", src: pod, dst: "10.96.0.20:81", bridge: true, flags: lbtest.SYN, refused: true},
		{name: "no endpoints", src: pod, dst: "10.96.0.30:80", bridge: true, flags: lbtest.SYN, refused: true},
		{name: "another proxy's", src: pod, dst: "10.96.0.40:80", bridge: true, flags: lbtest.SYN},
		{name: "not the first packet", src: pod, dst: "10.96.9.9:80", bridge: true, flags: lbtest.ACK},
		{name: "an RST is not answered", src: pod, dst: "10.96.9.9:80", bridge: true, flags: lbtest.RST},
		{name: "UDP", src: pod, dst: "10.96.9.9:80", bridge: true, udp: true},
		{name: "outside the range", src: pod, dst: "10.97.9.9:80", bridge: true, flags: lbtest.SYN},
		{name: "the node's own address", src: pod, dst: nodeIP + ":81", bridge: true, flags: lbtest.SYN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dev := n.uplink
			if tc.bridge {
				dev = n.bridge
			}
			p := packet(tc.src, tc.dst, tc.udp, tc.flags)
			p.TTL, p.TCPOptions, p.Options = 17, tc.tcp, tc.ip
			if !tc.udp {
				p.Seq = 0xfffffffe
			}
			want, wantVerdict := p, lb.Pass
			if tc.refused {
				wantVerdict = lb.Redirect
				want.Src, want.Dst, want.TTL = p.Dst, p.Src, 64
				want.Flags, want.Seq, want.Ack = lbtest.RST|lbtest.ACK, 0, 0xffffffff
				want.TCPOptions = bytes.Repeat([]byte{1}, len(tc.tcp))
			}
			v, got := n.pass(attach.Ingress, dev, p)
			if v != wantVerdict {
				t.Errorf("verdict %d, want %d", v, wantVerdict)
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("packet (-want +got):\n%s", diff)
			}
		})
	}
	st, err := n.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if st.PacketsUnserved != 5 {
		t.Errorf("counted %d, want 5", st.PacketsUnserved)
	}
}
