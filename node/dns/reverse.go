package dns

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// reverse answers names of addresses: sections 2.3.3 and 2.4.3.
type reverse struct {
	zone   zone
	ranges []netip.Prefix
}

// reverseAddr reads an address out of in-addr.arpa or ip6.arpa.
func reverseAddr(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		labels := strings.Split(s, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		var b [4]byte
		for i, l := range labels {
			n, err := strconv.ParseUint(l, 10, 8)
			if err != nil || len(l) > 1 && l[0] == '0' {
				return netip.Addr{}, false
			}
			b[3-i] = byte(n)
		}
		return netip.AddrFrom4(b), true
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa.")
	labels := strings.Split(s, ".")
	if !ok || len(labels) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(labels)
	b, err := hex.DecodeString(strings.Join(labels, ""))
	if err != nil || len(b) != 16 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(b)), true
}

// find returns the address of a reverse name, and whether it is the cluster's:
// in one of its ranges, or of an endpoint anywhere.
func (r reverse) find(name string) (a netip.Addr, ours bool) {
	a, ok := reverseAddr(name)
	if !ok {
		return a, r.below(name)
	}
	if slices.ContainsFunc(r.ranges, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return a, true
	}
	return a, len(r.names(a)) > 0
}

// below reports whether a name that is no whole address is inside a range of
// whole octets: 96.10.in-addr.arpa of 10.96.0.0/16.
func (r reverse) below(name string) bool {
	return slices.ContainsFunc(r.ranges, func(p netip.Prefix) bool {
		return p.Addr().Is4() && p.Bits() >= 8 && dns.IsSubDomain(apexOf(p), name)
	})
}

// apexOf is the reverse name of a range's whole octets.
func apexOf(p netip.Prefix) string {
	b := p.Addr().As4()
	name := "in-addr.arpa."
	for i := range p.Bits() / 8 {
		name = strconv.Itoa(int(b[i])) + "." + name
	}
	return name
}

// apex is the owner of the SOA in negative answers.
func (r reverse) apex(a netip.Addr) string {
	for _, p := range r.ranges {
		if p.Addr().Is4() && p.Contains(a) {
			return apexOf(p)
		}
	}
	if a.Is6() {
		return "ip6.arpa."
	}
	return "in-addr.arpa."
}

// names lists whom an address belongs to: Services by their cluster IP, and
// endpoints of headless ones.
func (r reverse) names(a netip.Addr) []string {
	var out []string
	for _, svc := range r.zone.source.AtClusterIP(a) {
		out = append(out, r.zone.serviceName(svc))
	}
	for _, name := range r.zone.source.At(a) {
		svc := r.zone.source.Service(name)
		if svc == nil || !headless(svc) {
			continue
		}
		for _, h := range r.zone.hosts(svc) {
			if h.addr == a {
				out = append(out, h.name+"."+r.zone.serviceName(svc))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r reverse) answer(qname string, qtype uint16, a netip.Addr) result {
	names := r.names(a)
	if len(names) == 0 {
		return nothing
	}
	out := result{exists: true}
	if qtype == dns.TypePTR {
		for _, n := range names {
			out.answer = append(out.answer, &dns.PTR{Hdr: r.zone.head(qname, dns.TypePTR), Ptr: n})
		}
	}
	return out
}
