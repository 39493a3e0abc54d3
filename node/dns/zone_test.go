package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	mdns "github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/dns"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) }

// source is a Source out of plain lists.
type source struct {
	synced   chan struct{}
	services []*corev1.Service
	slices   []*discoveryv1.EndpointSlice
	// namespaces without Services; others have some.
	namespaces []string
}

func (s *source) Synced() <-chan struct{} { return s.synced }

func (s *source) Service(n types.NamespacedName) *corev1.Service {
	for _, svc := range s.services {
		if svc.Namespace == n.Namespace && svc.Name == n.Name {
			return svc
		}
	}
	return nil
}

func (s *source) Slices(n types.NamespacedName) []*discoveryv1.EndpointSlice {
	var out []*discoveryv1.EndpointSlice
	for _, sl := range s.slices {
		if sl.Namespace == n.Namespace && sl.Labels[discoveryv1.LabelServiceName] == n.Name {
			out = append(out, sl)
		}
	}
	return out
}

func (s *source) At(a netip.Addr) []types.NamespacedName {
	var out []types.NamespacedName
	for _, sl := range s.slices {
		for _, e := range sl.Endpoints {
			if slices.Contains(e.Addresses, a.String()) {
				out = append(out, types.NamespacedName{Namespace: sl.Namespace, Name: sl.Labels[discoveryv1.LabelServiceName]})
			}
		}
	}
	return out
}

func (s *source) AtClusterIP(a netip.Addr) []*corev1.Service {
	var out []*corev1.Service
	for _, svc := range s.services {
		if slices.Contains(append(svc.Spec.ClusterIPs, svc.Spec.ClusterIP), a.String()) {
			out = append(out, svc)
		}
	}
	return out
}

func (s *source) HasNamespace(ns string) bool {
	return slices.Contains(s.namespaces, ns) || slices.ContainsFunc(s.services, func(svc *corev1.Service) bool { return svc.Namespace == ns })
}

func service(name, clusterIP string, ports ...corev1.ServicePort) *corev1.Service {
	ns, name, _ := strings.Cut(name, "/")
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: clusterIP, Ports: ports}}
}

func external(name, target string) *corev1.Service {
	s := service(name, "")
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, target
	return s
}

func port(name string, proto corev1.Protocol, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: proto, Port: number}
}

// endpoints of a service, with port http = 8080/TCP: "address [hostname]", with
// "!" before those that are not ready.
func endpoints(svc string, list ...string) *discoveryv1.EndpointSlice {
	ns, name, _ := strings.Cut(svc, "/")
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		Ports:      []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, e := range list {
		addr, hostname, _ := strings.Cut(strings.TrimPrefix(e, "!"), " ")
		ep := discoveryv1.Endpoint{Addresses: []string{addr}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(e[0] != '!')}}
		if hostname != "" {
			ep.Hostname = &hostname
		}
		s.Endpoints = append(s.Endpoints, ep)
	}
	return s
}

func cluster() *source {
	patient := service("default/patient", "None", port("http", corev1.ProtocolTCP, 80))
	patient.Spec.PublishNotReadyAddresses = true
	dual := service("default/dual", "10.96.0.30")
	dual.Spec.ClusterIPs = []string{"10.96.0.30", "fd00::30"}
	s := &source{
		synced: make(chan struct{}), namespaces: []string{"bare"},
		services: []*corev1.Service{
			service("default/web", "10.96.0.20", port("http", corev1.ProtocolTCP, 80), port("dns", corev1.ProtocolUDP, 53)),
			service("default/db", "None", port("http", corev1.ProtocolTCP, 5432)),
			service("default/empty", "None", port("http", corev1.ProtocolTCP, 80)),
			patient, dual,
			external("default/ext", "example.org"),
			external("default/inside", "web.default.svc.cluster.local"),
			external("default/chain", "ext.default.svc.cluster.local"),
			external("default/circle", "circle.default.svc.cluster.local"),
			external("default/literal", "203.0.113.7"),
			external("default/bad", "bad..name"),
			service("kube-system/kube-dns", "10.96.0.10", port("dns", corev1.ProtocolUDP, 53)),
		},
		slices: []*discoveryv1.EndpointSlice{
			endpoints("default/web", "10.244.1.4"),
			endpoints("default/db", "10.244.1.5 db-0", "10.244.2.6", "!10.244.1.7 db-2"),
			endpoints("default/patient", "!10.244.1.8 patient-0"),
		},
	}
	close(s.synced)
	return s
}

// serve starts a Server on the loopback and returns its address.
func serve(t testing.TB, cfg dns.Config) netip.AddrPort {
	t.Helper()
	testenv.RequireNetwork(t)
	if cfg.Source == nil {
		cfg.Source = cluster()
	}
	cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	cfg.Ranges = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16")}
	s, err := dns.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return s.Addrs()[0]
}

func query(t testing.TB, server netip.AddrPort, network, name string, qtype uint16, change ...func(*mdns.Msg)) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg)
	m.SetQuestion(name, qtype)
	for _, f := range change {
		f(m)
	}
	c := mdns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(m, server.String())
	if err != nil {
		t.Fatalf("%s %s: %v", name, mdns.TypeToString[qtype], err)
	}
	return r
}

// lines writes records as zone files do, with single spaces.
func lines(rrs []mdns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != mdns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	slices.Sort(out)
	return out
}

// The paragraphs of the Kubernetes DNS specification, and what CoreDNS users
// know beside them.
func TestCluster(t *testing.T) {
	server := serve(t, dns.Config{})
	const z = "cluster.local."
	for _, tc := range []struct {
		name   string
		qname  string
		qtype  uint16
		rcode  int
		answer []string
		extra  []string
	}{
		{name: "2.2 schema version", qname: "dns-version." + z, qtype: mdns.TypeTXT, answer: []string{`dns-version.cluster.local. 5 IN TXT "1.1.0"`}},
		{name: "2.3.1 A of a cluster IP", qname: "web.default.svc." + z, qtype: mdns.TypeA, answer: []string{"web.default.svc.cluster.local. 5 IN A 10.96.0.20"}},
		{name: "2.3.1 AAAA of an IPv4 service: no data", qname: "web.default.svc." + z, qtype: mdns.TypeAAAA},
		{name: "2.3.1 A of a dual-stack service", qname: "dual.default.svc." + z, qtype: mdns.TypeA, answer: []string{"dual.default.svc.cluster.local. 5 IN A 10.96.0.30"}},
		{name: "2.3.1 AAAA of a dual-stack service", qname: "dual.default.svc." + z, qtype: mdns.TypeAAAA, answer: []string{"dual.default.svc.cluster.local. 5 IN AAAA fd00::30"}},
		{
			name: "2.3.2 SRV of a cluster IP", qname: "_http._tcp.web.default.svc." + z, qtype: mdns.TypeSRV,
			answer: []string{"_http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local."},
			extra:  []string{"web.default.svc.cluster.local. 5 IN A 10.96.0.20"},
		},
		{
			name: "2.3.2 SRV by UDP", qname: "_dns._udp.web.default.svc." + z, qtype: mdns.TypeSRV,
			answer: []string{"_dns._udp.web.default.svc.cluster.local. 5 IN SRV 0 100 53 web.default.svc.cluster.local."},
			extra:  []string{"web.default.svc.cluster.local. 5 IN A 10.96.0.20"},
		},
		{name: "2.3.2 a port by the wrong protocol", qname: "_http._udp.web.default.svc." + z, qtype: mdns.TypeSRV, rcode: mdns.RcodeNameError},
		{name: "2.3.2 no such port", qname: "_https._tcp.web.default.svc." + z, qtype: mdns.TypeSRV, rcode: mdns.RcodeNameError},
		{name: "2.3.2 the name above a port exists", qname: "_tcp.web.default.svc." + z, qtype: mdns.TypeA},
		{name: "2.3.3 PTR of a cluster IP", qname: "20.0.96.10.in-addr.arpa.", qtype: mdns.TypePTR, answer: []string{"20.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local."}},
		{name: "2.3.3 PTR by IPv6", qname: "0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", qtype: mdns.TypePTR,
			answer: []string{"0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 5 IN PTR dual.default.svc.cluster.local."}},
		{name: "2.4.1 headless: the ready endpoints", qname: "db.default.svc." + z, qtype: mdns.TypeA,
			answer: []string{"db.default.svc.cluster.local. 5 IN A 10.244.1.5", "db.default.svc.cluster.local. 5 IN A 10.244.2.6"}},
		{name: "2.4.1 headless without endpoints: no data", qname: "empty.default.svc." + z, qtype: mdns.TypeA},
		{name: "2.4.1 headless that publishes those not ready", qname: "patient.default.svc." + z, qtype: mdns.TypeA, answer: []string{"patient.default.svc.cluster.local. 5 IN A 10.244.1.8"}},
		{name: "2.4.1 an endpoint by its hostname", qname: "db-0.db.default.svc." + z, qtype: mdns.TypeA, answer: []string{"db-0.db.default.svc.cluster.local. 5 IN A 10.244.1.5"}},
		{name: "2.4.1 an endpoint by its made-up name", qname: "10-244-2-6.db.default.svc." + z, qtype: mdns.TypeA, answer: []string{"10-244-2-6.db.default.svc.cluster.local. 5 IN A 10.244.2.6"}},
		{name: "2.4.1 an endpoint that is not ready", qname: "db-2.db.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "2.4.1 an endpoint that publishes anyway", qname: "patient-0.patient.default.svc." + z, qtype: mdns.TypeA, answer: []string{"patient-0.patient.default.svc.cluster.local. 5 IN A 10.244.1.8"}},
		{name: "endpoints of a cluster IP have no names", qname: "10-244-1-4.web.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{
			name: "2.4.2 SRV of a headless service", qname: "_http._tcp.db.default.svc." + z, qtype: mdns.TypeSRV,
			answer: []string{
				"_http._tcp.db.default.svc.cluster.local. 5 IN SRV 0 100 8080 10-244-2-6.db.default.svc.cluster.local.",
				"_http._tcp.db.default.svc.cluster.local. 5 IN SRV 0 100 8080 db-0.db.default.svc.cluster.local.",
			},
			extra: []string{"10-244-2-6.db.default.svc.cluster.local. 5 IN A 10.244.2.6", "db-0.db.default.svc.cluster.local. 5 IN A 10.244.1.5"},
		},
		{name: "2.4.3 PTR of an endpoint", qname: "5.1.244.10.in-addr.arpa.", qtype: mdns.TypePTR, answer: []string{"5.1.244.10.in-addr.arpa. 5 IN PTR db-0.db.default.svc.cluster.local."}},
		{name: "2.4.3 PTR of an endpoint that is not ready", qname: "7.1.244.10.in-addr.arpa.", qtype: mdns.TypePTR, rcode: mdns.RcodeNameError},
		{name: "PTR of nobody in our range", qname: "9.9.244.10.in-addr.arpa.", qtype: mdns.TypePTR, rcode: mdns.RcodeNameError},
		{name: "half a reverse name of our range", qname: "96.10.in-addr.arpa.", qtype: mdns.TypePTR, rcode: mdns.RcodeNameError},
		{name: "2.6 external name, no upstream to follow it", qname: "ext.default.svc." + z, qtype: mdns.TypeA, answer: []string{"ext.default.svc.cluster.local. 5 IN CNAME example.org."}},
		{name: "2.6 external name, asked for the alias itself", qname: "ext.default.svc." + z, qtype: mdns.TypeCNAME, answer: []string{"ext.default.svc.cluster.local. 5 IN CNAME example.org."}},
		{name: "external name of an inside one", qname: "inside.default.svc." + z, qtype: mdns.TypeA,
			answer: []string{"inside.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.", "web.default.svc.cluster.local. 5 IN A 10.96.0.20"}},
		{name: "external name of an external name", qname: "chain.default.svc." + z, qtype: mdns.TypeA,
			answer: []string{"chain.default.svc.cluster.local. 5 IN CNAME ext.default.svc.cluster.local.", "ext.default.svc.cluster.local. 5 IN CNAME example.org."}},
		{name: "external name of itself", qname: "circle.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeServerFailure},
		{name: "external name that is an address", qname: "literal.default.svc." + z, qtype: mdns.TypeA, answer: []string{"literal.default.svc.cluster.local. 5 IN A 203.0.113.7"}},
		{name: "external name that is none", qname: "bad.default.svc." + z, qtype: mdns.TypeA},
		{name: "pod", qname: "10-244-1-9.default.pod." + z, qtype: mdns.TypeA, answer: []string{"10-244-1-9.default.pod.cluster.local. 5 IN A 10.244.1.9"}},
		{name: "pod by IPv6", qname: "fd00--9.default.pod." + z, qtype: mdns.TypeAAAA, answer: []string{"fd00--9.default.pod.cluster.local. 5 IN AAAA fd00::9"}},
		{name: "pod of no namespace", qname: "10-244-1-9.nowhere.pod." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "pod of a namespace without services", qname: "10-1-2-3.bare.pod." + z, qtype: mdns.TypeA, answer: []string{"10-1-2-3.bare.pod.cluster.local. 5 IN A 10.1.2.3"}},
		{name: "pod, another type", qname: "10-1-2-3.bare.pod." + z, qtype: mdns.TypeAAAA},
		{name: "namespace of pods without services", qname: "bare.pod." + z, qtype: mdns.TypeA},
		{name: "no such namespace of pods", qname: "nowhere.pod." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "pod that is no address", qname: "10-244-1-999.default.pod." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "case does not matter, and is kept", qname: "WEB.Default.SVC.Cluster.Local.", qtype: mdns.TypeA, answer: []string{"WEB.Default.SVC.Cluster.Local. 5 IN A 10.96.0.20"}},
		{name: "no such service", qname: "nope.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "search path: a short name in our namespace", qname: "example.org.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "search path: a name below svc", qname: "example.org.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "search path: a name below the domain", qname: "example.org." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "a namespace", qname: "default.svc." + z, qtype: mdns.TypeA},
		{name: "a namespace without services", qname: "bare.svc." + z, qtype: mdns.TypeA},
		{name: "no such service in it", qname: "web.bare.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "no such namespace", qname: "nowhere.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
		{name: "svc", qname: "svc." + z, qtype: mdns.TypeA},
		{name: "pod itself", qname: "pod." + z, qtype: mdns.TypeA},
		{name: "the domain's servers", qname: z, qtype: mdns.TypeNS, answer: []string{"cluster.local. 5 IN NS ns.dns.cluster.local."}},
		{name: "too deep", qname: "a.b.c.web.default.svc." + z, qtype: mdns.TypeA, rcode: mdns.RcodeNameError},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(tc.name+"/"+network, func(t *testing.T) {
				m := query(t, server, network, tc.qname, tc.qtype)
				if m.Rcode != tc.rcode {
					t.Errorf("code %s, want %s", mdns.RcodeToString[m.Rcode], mdns.RcodeToString[tc.rcode])
				}
				if diff := cmp.Diff(tc.answer, lines(m.Answer), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.extra, lines(m.Extra), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("additional (-want +got):\n%s", diff)
				}
				if !m.Authoritative && tc.rcode != mdns.RcodeServerFailure {
					t.Error("not authoritative")
				}
				negative := len(tc.answer) == 0 && tc.rcode != mdns.RcodeServerFailure
				if soa := len(m.Ns) == 1 && m.Ns[0].Header().Rrtype == mdns.TypeSOA; soa != negative {
					t.Errorf("authority %v, want an SOA: %v", m.Ns, negative)
				}
			})
		}
	}
}

// Until the watch knows everything, a name that it lacks is not said to be absent.
func TestNotSynced(t *testing.T) {
	src := cluster()
	src.synced = make(chan struct{})
	server := serve(t, dns.Config{Source: src})
	if m := query(t, server, "udp", "web.default.svc.cluster.local.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
		t.Errorf("code %s, want SERVFAIL", mdns.RcodeToString[m.Rcode])
	}
	close(src.synced)
	if m := query(t, server, "udp", "web.default.svc.cluster.local.", mdns.TypeA); len(m.Answer) != 1 {
		t.Errorf("after the watch is complete: %v", m)
	}
}

// Many endpoints: cut to what the client takes by UDP, whole by TCP.
func TestTruncation(t *testing.T) {
	src := cluster()
	var list []string
	for i := range 400 {
		list = append(list, netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}).String())
	}
	src.slices = append(src.slices, endpoints("default/empty", list...))
	server := serve(t, dns.Config{Source: src})
	const name = "empty.default.svc.cluster.local."
	for _, tc := range []struct {
		size uint16
		max  int
	}{{0, 512}, {100, 512}, {1232, 1232}, {65535, 4096}} {
		m := query(t, server, "udp", name, mdns.TypeA, func(m *mdns.Msg) {
			if tc.size > 0 {
				m.SetEdns0(tc.size, false)
			}
		})
		m.Compress = true
		if !m.Truncated || m.Len() > tc.max || len(m.Answer) == 0 {
			t.Errorf("size %d: truncated %v, %d bytes, %d records; want at most %d bytes", tc.size, m.Truncated, m.Len(), len(m.Answer), tc.max)
		}
		if (m.IsEdns0() != nil) != (tc.size > 0) {
			t.Errorf("size %d: EDNS in the answer: %v", tc.size, m.IsEdns0())
		}
	}
	if m := query(t, server, "tcp", name, mdns.TypeA); m.Truncated || len(m.Answer) != 400 {
		t.Errorf("by TCP: truncated %v, %d records", m.Truncated, len(m.Answer))
	}
}

func TestOddQuestions(t *testing.T) {
	server := serve(t, dns.Config{})
	const name = "web.default.svc.cluster.local."
	for what, tc := range map[string]struct {
		change func(*mdns.Msg)
		rcode  int
	}{
		"another class":    {func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, mdns.RcodeRefused},
		"another opcode":   {func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }, mdns.RcodeNotImplemented},
		"two questions":    {func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }, mdns.RcodeFormatError},
		"everything":       {func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeANY }, mdns.RcodeNotImplemented},
		"a zone transfer":  {func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAXFR }, mdns.RcodeNotImplemented},
		"EDNS version one": {func(m *mdns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, mdns.RcodeBadVers},
	} {
		t.Run(what, func(t *testing.T) {
			m := query(t, server, "tcp", name, mdns.TypeA, tc.change)
			if m.Rcode != tc.rcode || len(m.Answer) != 0 {
				t.Errorf("code %s with %d records, want %s", mdns.RcodeToString[m.Rcode], len(m.Answer), mdns.RcodeToString[tc.rcode])
			}
		})
	}
	// Noise is dropped, and the server lives.
	c, err := net.Dial("udp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, noise := range []string{"", "x", strings.Repeat("\xff", 600), "\x00\x01\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"} {
		if _, err := c.Write([]byte(noise)); err != nil {
			t.Fatal(err)
		}
	}
	if m := query(t, server, "udp", name, mdns.TypeA); len(m.Answer) != 1 {
		t.Errorf("after noise: %v", m)
	}
}

// Whatever comes in: no panic, and what goes out is a packet that fits the
// question.
func FuzzPacket(f *testing.F) {
	for _, name := range []string{"web.default.svc.cluster.local.", "_http._tcp.db.default.svc.cluster.local.", "5.1.244.10.in-addr.arpa.", "ext.default.svc.cluster.local.", "example.org."} {
		for _, qtype := range []uint16{mdns.TypeA, mdns.TypeSRV, mdns.TypePTR, mdns.TypeTXT} {
			m := new(mdns.Msg)
			m.SetQuestion(name, qtype)
			m.SetEdns0(1232, true)
			b, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	respond := dns.Responder(cluster())
	f.Fuzz(func(t *testing.T, packet []byte) {
		ask := new(mdns.Msg)
		if ask.Unpack(packet) != nil {
			return
		}
		m := respond(t.Context(), ask)
		if m == nil {
			return
		}
		if m.Id != ask.Id || !m.Response {
			t.Errorf("answer %d to question %d, response %v", m.Id, ask.Id, m.Response)
		}
		out, err := m.Pack()
		if err != nil {
			t.Fatalf("answer to %v does not pack: %v", ask.Question, err)
		}
		if len(out) > 4096 {
			t.Errorf("%d bytes by UDP", len(out))
		}
	})
}

func BenchmarkCluster(b *testing.B) {
	respond := dns.Responder(cluster())
	for _, name := range []string{"web.default.svc.cluster.local.", "example.org.default.svc.cluster.local."} {
		b.Run(name, func(b *testing.B) {
			ask := new(mdns.Msg)
			ask.SetQuestion(name, mdns.TypeA)
			for b.Loop() {
				if m := respond(b.Context(), ask); m == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}
