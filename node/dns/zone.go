package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// schemaVersion is the DNS specification that the zone follows.
const schemaVersion = "1.1.0"

// zone answers names of the cluster's domain. It has no state.
type zone struct {
	source Source
	domain string // canonical: lower case, with the last dot
	ttl    uint32
}

// result is what a zone knows about a question. exists tells NODATA from
// NXDOMAIN. alias is set when the answer ends with a CNAME to a name that the
// zone does not hold.
type result struct {
	answer []dns.RR
	extra  []dns.RR
	exists bool
	alias  string
}

var nothing = result{}
var noData = result{exists: true}

// has reports whether name, canonical, is the domain or below it.
func (z zone) has(name string) bool { return dns.IsSubDomain(z.domain, name) }

// answer answers a question about a name below the domain. Owners of records
// are written as the question writes them.
func (z zone) answer(qname string, qtype uint16) result {
	name := dns.CanonicalName(qname)
	if name == z.domain {
		return z.apex(qname, qtype)
	}
	labels := dns.SplitDomainName(strings.TrimSuffix(name, "."+z.domain))
	n := len(labels)
	switch labels[n-1] {
	case "dns-version":
		if n == 1 {
			return z.only(qtype, &dns.TXT{Hdr: z.head(qname, dns.TypeTXT), Txt: []string{schemaVersion}})
		}
	case "svc":
		return z.services(qname, qtype, labels[:n-1])
	case "pod":
		return z.pods(qname, qtype, labels[:n-1])
	}
	return nothing
}

func (z zone) head(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: z.ttl}
}

// only answers with those records that are of the asked type; the name exists.
func (z zone) only(qtype uint16, rrs ...dns.RR) result {
	r := result{exists: true}
	for _, rr := range rrs {
		if rr.Header().Rrtype == qtype {
			r.answer = append(r.answer, rr)
		}
	}
	return r
}

func (z zone) apex(qname string, qtype uint16) result {
	soa := z.soa(z.domain)
	soa.Hdr.Name = qname
	return z.only(qtype, soa, &dns.NS{Hdr: z.head(qname, dns.TypeNS), Ns: "ns.dns." + z.domain})
}

// soa is the record that goes with negative answers; its minimum is their TTL.
func (z zone) soa(apex string) *dns.SOA {
	return &dns.SOA{
		Hdr: z.head(apex, dns.TypeSOA), Ns: "ns.dns." + z.domain, Mbox: "hostmaster." + z.domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: z.ttl,
	}
}

// addresses makes A or AAAA records of those addresses that fit the type.
func (z zone) addresses(name string, qtype uint16, addrs []netip.Addr) []dns.RR {
	var out []dns.RR
	for _, a := range addrs {
		switch {
		case a.Is4() && qtype == dns.TypeA:
			out = append(out, &dns.A{Hdr: z.head(name, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && qtype == dns.TypeAAAA:
			out = append(out, &dns.AAAA{Hdr: z.head(name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return out
}

// services answers below svc.<domain>; labels are what stands before it.
func (z zone) services(qname string, qtype uint16, labels []string) result {
	n := len(labels)
	if n == 0 {
		return noData
	}
	ns := labels[n-1]
	if n == 1 {
		return result{exists: z.source.HasNamespace(ns)}
	}
	svc := z.source.Service(types.NamespacedName{Namespace: ns, Name: labels[n-2]})
	if svc == nil {
		return nothing
	}
	switch rest := labels[:n-2]; {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		if len(rest) > 0 {
			return nothing
		}
		return z.external(qname, qtype, svc)
	case len(rest) == 0:
		return z.service(qname, qtype, svc)
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_") && strings.HasPrefix(rest[1], "_"):
		return z.ports(qname, qtype, svc, rest[0][1:], rest[1][1:])
	case len(rest) == 1 && strings.HasPrefix(rest[0], "_"):
		return result{exists: hasProtocol(svc, rest[0][1:])}
	case len(rest) == 1 && headless(svc):
		return z.host(qname, qtype, svc, rest[0])
	}
	return nothing
}

func headless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }

func hasProtocol(svc *corev1.Service, proto string) bool {
	return slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return strings.EqualFold(string(p.Protocol), proto) })
}

// external is section 2.6: a CNAME. A name that is written as an address is
// answered as one, because a CNAME to it leads nowhere.
func (z zone) external(qname string, qtype uint16, svc *corev1.Service) result {
	if a, err := netip.ParseAddr(svc.Spec.ExternalName); err == nil {
		return result{answer: z.addresses(qname, qtype, []netip.Addr{a.Unmap()}), exists: true}
	}
	target := dns.CanonicalName(svc.Spec.ExternalName)
	if _, ok := dns.IsDomainName(target); !ok || target == "." {
		return noData
	}
	r := result{exists: true, alias: target, answer: []dns.RR{&dns.CNAME{Hdr: z.head(qname, dns.TypeCNAME), Target: target}}}
	if qtype == dns.TypeCNAME {
		r.alias = ""
	}
	return r
}

// service is sections 2.3.1 and 2.4.1: the cluster IPs, or the ready endpoints.
func (z zone) service(qname string, qtype uint16, svc *corev1.Service) result {
	var addrs []netip.Addr
	if headless(svc) {
		for _, h := range z.hosts(svc) {
			if !slices.Contains(addrs, h.addr) {
				addrs = append(addrs, h.addr)
			}
		}
		rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	} else {
		addrs = clusterIPs(svc)
	}
	return result{answer: z.addresses(qname, qtype, addrs), exists: true}
}

func clusterIPs(svc *corev1.Service) []netip.Addr {
	var out []netip.Addr
	list := svc.Spec.ClusterIPs
	if len(list) == 0 {
		list = []string{svc.Spec.ClusterIP}
	}
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// host is one endpoint of a headless service.
type host struct {
	name  string // its label
	addr  netip.Addr
	ports []discoveryv1.EndpointPort
}

// hosts lists the endpoints that a headless service shows: the ready ones, or
// all if it publishes those that are not.
func (z zone) hosts(svc *corev1.Service) []host {
	var out []host
	for _, s := range z.source.Slices(types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}) {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if e.Conditions.Ready != nil && !*e.Conditions.Ready && !svc.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, a := range e.Addresses {
				if addr, err := netip.ParseAddr(a); err == nil {
					out = append(out, host{hostLabel(e, addr), addr.Unmap(), s.Ports})
				}
			}
		}
	}
	return out
}

// hostLabel is the endpoint's hostname, or one made from its address.
func hostLabel(e *discoveryv1.Endpoint, a netip.Addr) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return strings.ToLower(*e.Hostname)
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

// host is section 2.4.1: <hostname>.<service>.<ns>.svc.<domain>.
func (z zone) host(qname string, qtype uint16, svc *corev1.Service, label string) result {
	var addrs []netip.Addr
	for _, h := range z.hosts(svc) {
		if h.name == label && !slices.Contains(addrs, h.addr) {
			addrs = append(addrs, h.addr)
		}
	}
	return result{answer: z.addresses(qname, qtype, addrs), exists: len(addrs) > 0}
}

func (z zone) serviceName(svc *corev1.Service) string {
	return svc.Name + "." + svc.Namespace + ".svc." + z.domain
}

// ports is sections 2.3.2 and 2.4.2: SRV records of a named port.
func (z zone) ports(qname string, qtype uint16, svc *corev1.Service, port, proto string) result {
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Name == port && strings.EqualFold(string(p.Protocol), proto)
	})
	if i < 0 || port == "" {
		return nothing
	}
	if qtype != dns.TypeSRV {
		return noData
	}
	r := result{exists: true}
	add := func(target string, number uint16, addrs []netip.Addr) {
		r.answer = append(r.answer, &dns.SRV{Hdr: z.head(qname, dns.TypeSRV), Priority: 0, Weight: 100, Port: number, Target: target})
		r.extra = append(r.extra, z.addresses(target, dns.TypeA, addrs)...)
		r.extra = append(r.extra, z.addresses(target, dns.TypeAAAA, addrs)...)
	}
	if !headless(svc) {
		add(z.serviceName(svc), uint16(svc.Spec.Ports[i].Port), clusterIPs(svc))
		return r
	}
	for _, h := range z.hosts(svc) {
		for _, p := range h.ports {
			if p.Port != nil && p.Name != nil && *p.Name == port && p.Protocol != nil && strings.EqualFold(string(*p.Protocol), proto) {
				add(h.name+"."+z.serviceName(svc), uint16(*p.Port), []netip.Addr{h.addr})
			}
		}
	}
	return r
}

// pods answers a-b-c-d.<ns>.pod.<domain> with a.b.c.d, for a namespace that is
// there: the name says the address, whose pod nobody looks up.
func (z zone) pods(qname string, qtype uint16, labels []string) result {
	switch n := len(labels); {
	case n == 0:
		return noData
	case n > 2 || !z.source.HasNamespace(labels[n-1]):
		return nothing
	case n == 1:
		return noData
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(labels[0], "-", "."))
	if err != nil {
		a, err = netip.ParseAddr(strings.ReplaceAll(labels[0], "-", ":"))
	}
	if err != nil || a.Zone() != "" {
		return nothing
	}
	return result{answer: z.addresses(qname, qtype, []netip.Addr{a}), exists: true}
}
