package dns_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/dns"
)

// upstream is a DNS server that answers every name with answer, and counts.
type upstream struct {
	addr  netip.AddrPort
	asked atomic.Int64
	names sync.Map
}

func newUpstream(t *testing.T, answer func(*mdns.Msg, bool) *mdns.Msg) *upstream {
	t.Helper()
	testenv.RequireNetwork(t)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: udp.LocalAddr().(*net.UDPAddr).AddrPort()}
	tcp, err := net.Listen("tcp", u.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	h := mdns.HandlerFunc(func(w mdns.ResponseWriter, ask *mdns.Msg) {
		u.asked.Add(1)
		u.names.Store(ask.Question[0].Name, true)
		_, isTCP := w.RemoteAddr().(*net.TCPAddr)
		if m := answer(ask, isTCP); m != nil {
			_ = w.WriteMsg(m)
		}
	})
	for _, s := range []*mdns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return u
}

// reply answers an A question with one address and this TTL.
func reply(ttl int) func(*mdns.Msg, bool) *mdns.Msg {
	return func(ask *mdns.Msg, _ bool) *mdns.Msg {
		m := new(mdns.Msg)
		m.SetReply(ask)
		rr, err := mdns.NewRR(fmt.Sprintf("%s %d IN A 203.0.113.1", ask.Question[0].Name, ttl))
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
		m.SetEdns0(4096, false)
		return m
	}
}

func code(rcode int) func(*mdns.Msg, bool) *mdns.Msg {
	return func(ask *mdns.Msg, _ bool) *mdns.Msg { return new(mdns.Msg).SetRcode(ask, rcode) }
}

func silent(*mdns.Msg, bool) *mdns.Msg { return nil }

func TestForward(t *testing.T) {
	up := newUpstream(t, reply(300))
	clock := testclock.NewFakePassiveClock(time.Now())
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{up.addr}, Clock: clock, Metrics: prometheus.NewRegistry()})
	ask := func(name string) *mdns.Msg { return query(t, server, "udp", name, mdns.TypeA) }
	m := ask("Example.org.")
	if diff := cmp.Diff([]string{"example.org. 300 IN A 203.0.113.1"}, lines(m.Answer)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if !m.RecursionAvailable || m.Authoritative || m.IsEdns0() != nil || m.Question[0].Name != "Example.org." {
		t.Errorf("header and question: %v", m)
	}
	clock.SetTime(clock.Now().Add(10 * time.Second))
	if diff := cmp.Diff([]string{"example.org. 290 IN A 203.0.113.1"}, lines(ask("example.org.").Answer)); diff != "" {
		t.Errorf("from the cache (-want +got):\n%s", diff)
	}
	if n := up.asked.Load(); n != 1 {
		t.Errorf("upstream was asked %d times, want 1", n)
	}
	clock.SetTime(clock.Now().Add(30 * time.Second))
	ask("example.org.")
	if n := up.asked.Load(); n != 2 {
		t.Errorf("after the time to keep, upstream was asked %d times in all, want 2", n)
	}
	// Cluster names and reverse names of our ranges stay here.
	for _, name := range []string{"nope.default.svc.cluster.local.", "example.org.cluster.local.", "cluster.local.", "9.9.244.10.in-addr.arpa.", "244.10.in-addr.arpa."} {
		ask(name)
		if _, leaked := up.names.Load(name); leaked {
			t.Errorf("%s was asked of the upstream", name)
		}
	}
	// An alias out of the cluster is followed.
	m = ask("ext.default.svc.cluster.local.")
	want := []string{"example.org. 300 IN A 203.0.113.1", "ext.default.svc.cluster.local. 5 IN CNAME example.org."}
	if diff := cmp.Diff(want, lines(m.Answer)); diff != "" {
		t.Errorf("alias (-want +got):\n%s", diff)
	}
}

func TestNoUpstream(t *testing.T) {
	server := serve(t, dns.Config{})
	start := time.Now()
	m := query(t, server, "udp", "example.org.", mdns.TypeA)
	if m.Rcode != mdns.RcodeRefused || m.RecursionAvailable || time.Since(start) > time.Second {
		t.Errorf("code %s after %v, want REFUSED at once", mdns.RcodeToString[m.Rcode], time.Since(start))
	}
}

// Servers that fail or keep silent give way to the next one, and are asked last
// for a while.
func TestUpstreamsFail(t *testing.T) {
	mute, broken, good := newUpstream(t, silent), newUpstream(t, code(mdns.RcodeServerFailure)), newUpstream(t, reply(0))
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{mute.addr, broken.addr, good.addr}, Timeout: 200 * time.Millisecond})
	for range 3 {
		if m := query(t, server, "udp", "example.org.", mdns.TypeA); len(m.Answer) != 1 {
			t.Fatalf("no answer: %v", m)
		}
	}
	if n := mute.asked.Load(); n != 1 {
		t.Errorf("the silent one was asked %d times, want 1", n)
	}
	bad := serve(t, dns.Config{Upstreams: []netip.AddrPort{broken.addr}, Timeout: 200 * time.Millisecond})
	for _, name := range []string{"example.org.", "ext.default.svc.cluster.local."} {
		if m := query(t, bad, "udp", name, mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
			t.Errorf("%s: code %s, want SERVFAIL", name, mdns.RcodeToString[m.Rcode])
		}
	}
}

// An answer that does not fit into UDP is fetched by TCP; a negative one is
// kept for as long as its SOA says, and one without SOA not at all.
func TestForwardedKinds(t *testing.T) {
	big := newUpstream(t, func(ask *mdns.Msg, tcp bool) *mdns.Msg {
		m := reply(300)(ask, tcp)
		m.Truncated = !tcp
		return m
	})
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{big.addr}})
	if m := query(t, server, "udp", "big.example.", mdns.TypeA); m.Truncated || len(m.Answer) != 1 {
		t.Errorf("truncated upstream: %v", m)
	}
	for _, tc := range []struct {
		soa  string
		want int64
	}{{"example. 60 IN SOA a. b. 1 2 3 4 20", 1}, {"", 3}} {
		up := newUpstream(t, func(ask *mdns.Msg, tcp bool) *mdns.Msg {
			m := code(mdns.RcodeNameError)(ask, tcp)
			if tc.soa != "" {
				rr, err := mdns.NewRR(tc.soa)
				if err != nil {
					panic(err)
				}
				m.Ns = append(m.Ns, rr)
			}
			return m
		})
		server := serve(t, dns.Config{Upstreams: []netip.AddrPort{up.addr}})
		for range 3 {
			if m := query(t, server, "udp", "nope.example.", mdns.TypeA); m.Rcode != mdns.RcodeNameError {
				t.Errorf("code %s, want NXDOMAIN", mdns.RcodeToString[m.Rcode])
			}
		}
		if n := up.asked.Load(); n != tc.want {
			t.Errorf("SOA %q: upstream asked %d times, want %d", tc.soa, n, tc.want)
		}
	}
}

// Two servers that name each other as upstream: the question fails, and they do
// not keep each other busy.
func TestLoop(t *testing.T) {
	var second atomic.Pointer[netip.AddrPort]
	relay := newUpstream(t, func(ask *mdns.Msg, _ bool) *mdns.Msg {
		c := mdns.Client{Timeout: 5 * time.Second}
		m, _, err := c.Exchange(ask, second.Load().String())
		if err != nil {
			return nil
		}
		m.Id = ask.Id
		return m
	})
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{relay.addr}, Timeout: 300 * time.Millisecond})
	second.Store(&server)
	if m := query(t, server, "udp", "example.org.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
		t.Errorf("code %s, want SERVFAIL", mdns.RcodeToString[m.Rcode])
	}
	time.Sleep(700 * time.Millisecond)
	if n := relay.asked.Load(); n > 2 {
		t.Errorf("the question went round %d times", n)
	}
}

// Beyond the limits a question is refused at once instead of waiting.
func TestLimits(t *testing.T) {
	mute := newUpstream(t, silent)
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{mute.addr}, MaxQueries: 8, Timeout: time.Second})
	codes := make(chan int, 40)
	for i := range 40 {
		go func() {
			c := mdns.Client{Timeout: 5 * time.Second}
			m, _, err := c.Exchange(new(mdns.Msg).SetQuestion(fmt.Sprintf("n%d.example.", i), mdns.TypeA), server.String())
			if err != nil {
				codes <- -1
				return
			}
			codes <- m.Rcode
		}()
	}
	got := map[int]int{}
	for range 40 {
		got[<-codes]++
	}
	if got[mdns.RcodeRefused] < 38 || got[mdns.RcodeServerFailure] > 2 || got[-1] > 0 {
		t.Errorf("codes %v, want 38 refused and 2 failed", got)
	}
	if m := query(t, server, "udp", "web.default.svc.cluster.local.", mdns.TypeA); len(m.Answer) != 1 {
		t.Errorf("cluster name afterwards: %v", m)
	}
}

// Equal questions at once are asked once.
func TestEqualQuestions(t *testing.T) {
	up := newUpstream(t, func(ask *mdns.Msg, tcp bool) *mdns.Msg {
		time.Sleep(300 * time.Millisecond)
		return reply(0)(ask, tcp)
	})
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{up.addr}})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c := mdns.Client{Timeout: 5 * time.Second}
			m, _, err := c.Exchange(new(mdns.Msg).SetQuestion("example.org.", mdns.TypeA), server.String())
			if err != nil || len(m.Answer) != 1 {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
	wg.Wait()
	if n := up.asked.Load(); n > 2 {
		t.Errorf("asked %d times, want about 1", n)
	}
}

// The cache holds no more than it may.
func TestCacheBound(t *testing.T) {
	up := newUpstream(t, reply(300))
	server := serve(t, dns.Config{Upstreams: []netip.AddrPort{up.addr}, CacheEntries: 10})
	ask := func(i int) { query(t, server, "udp", fmt.Sprintf("n%d.example.", i), mdns.TypeA) }
	for i := range 30 {
		ask(i)
		ask(0) // used all the time
	}
	if n := up.asked.Load(); n != 30 {
		t.Errorf("asked %d times, want 30", n)
	}
	ask(1)
	if n := up.asked.Load(); n != 31 {
		t.Errorf("an old entry is still there: asked %d times, want 31", n)
	}
}

func TestUpstreams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# nameserver 192.0.2.9\nsearch example.org\nnameserver 10.96.0.10\nnameserver 192.0.2.1\n\nnameserver   fd00::1 \nnameserver nonsense\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := dns.Upstreams(path, netip.MustParseAddr("10.96.0.10"))
	want := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[fd00::1]:53"), netip.MustParseAddrPort("192.0.2.2:53")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("%v; upstreams (-want +got):\n%s", err, diff)
	}
	if got, err := dns.Upstreams(path + ".missing"); err != nil || len(got) > 0 {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestBadConfig(t *testing.T) {
	for name, cfg := range map[string]dns.Config{
		"no source":  {Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}},
		"no address": {Source: cluster()},
		"bad domain": {Source: cluster(), Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Domain: "a..b"},
	} {
		if _, err := dns.Listen(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
