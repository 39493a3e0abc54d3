package servicecidr

import (
	"net/netip"
	"slices"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
)

// allocator is who makes the IPAddresses of Services, as their label says.
const allocator = "ipallocator.k8s.io"

// address is what counts of an IPAddress.
type address struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
}

// APIResource implements client.Object.
func (*address) APIResource() string { return addresses }

// The conditions, in upstream's words.
var (
	ready       = metav1.Condition{Type: networkingv1.ServiceCIDRConditionReady, Status: "True", Message: "Kubernetes Service CIDR is ready"}
	terminating = metav1.Condition{Type: networkingv1.ServiceCIDRConditionReady, Status: "False", Reason: networkingv1.ServiceCIDRReasonTerminating,
		Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"}
)

// conditions are those there are with want in place of the one of its type. changed is
// false when want is among them.
func conditions(have []metav1.Condition, want metav1.Condition, now time.Time) (next []metav1.Condition, changed bool) {
	want.LastTransitionTime = metav1.NewTime(now)
	i := slices.IndexFunc(have, func(c metav1.Condition) bool { return c.Type == want.Type })
	if i < 0 {
		return append(slices.Clone(have), want), true
	}
	is := have[i]
	if is.Status == want.Status && is.Reason == want.Reason && is.Message == want.Message {
		return have, false
	}
	if is.Status == want.Status {
		want.LastTransitionTime = is.LastTransitionTime
	}
	next = slices.Clone(have)
	next[i] = want
	return next, true
}

// remaining are the prefixes of the ranges that stay when r goes. One that is being
// deleted itself does not count: of two equal ranges that are deleted, each would let
// the other go.
func remaining(all []*networkingv1.ServiceCIDR, r *networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range all {
		if x.Name != r.Name && x.DeletionTimestamp == nil {
			out = append(out, prefixes(x)...)
		}
	}
	return out
}

func prefixes(r *networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range r.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil { // the API lets nothing else in
			out = append(out, p.Masked())
		}
	}
	return out
}

// covered tells that every prefix of r is part of one of the others.
func covered(r *networkingv1.ServiceCIDR, others []netip.Prefix) bool {
	for _, p := range prefixes(r) {
		if !slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Overlaps(p) && o.Bits() <= p.Bits() }) {
			return false
		}
	}
	return true
}

// orphan is an address that r has and no other; "" is none.
func orphan(used []*address, r *networkingv1.ServiceCIDR, others []netip.Prefix) string {
	own := prefixes(r)
	for _, u := range used {
		a, err := netip.ParseAddr(u.Metadata.Name)
		if err != nil {
			continue // the API lets no such name in
		}
		has := func(p netip.Prefix) bool { return contains(p, a) }
		if slices.ContainsFunc(own, has) && !slices.ContainsFunc(others, has) {
			return u.Metadata.Name
		}
	}
	return ""
}

// contains tells that a Service may have the address by the prefix: neither its first,
// nor the last of IPv4, is given to any.
func contains(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Addr() && (!a.Is4() || p.Contains(a.Next()))
}
