package core

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Upstream's words.
var (
	errIPTaken = errors.New("provided IP is already allocated")
	errIPRange = errors.New("the provided network does not match the current range")
	errIPFull  = errors.New("range is full")
)

// ipController is what upstream's allocator calls itself in labels.
const ipController = "ipallocator.k8s.io"

// allocation is the work for one write of one Service.
type allocation struct {
	*allocator
	ctx context.Context
	r   resource.Reader
	svc *corev1.Service
	had claims
	out []resource.Companion

	ours map[int32]bool // ports claimed by this write
	used map[int32]bool // node ports of all other Services; nil until asked for
}

// addresses claims a cluster IP for each family.
func (a *allocation) addresses() error {
	s := a.svc
	if !hasClusterIP(s) || headless(s) {
		return nil
	}
	ips := slices.Clone(s.Spec.ClusterIPs)
	for i, f := range s.Spec.IPFamilies {
		if i == len(ips) {
			ips = append(ips, "")
		}
		if ips[i] == "" {
			ip, err := a.freeAddress(f)
			if errors.Is(err, errIPFull) {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", s.Name, err))
			} else if err != nil {
				return err
			}
			ips[i] = ip.String()
			a.claimAddress(ip)
			continue
		}
		if err := a.requestAddress(ips[i]); err != nil {
			return invalidService(s, field.ErrorList{field.Invalid(field.NewPath("spec", "clusterIPs"), s.Spec.ClusterIPs,
				fmt.Sprintf("failed to allocate IP %v: %v", ips[i], err))})
		}
	}
	s.Spec.ClusterIPs = ips
	if len(ips) > 0 {
		s.Spec.ClusterIP = ips[0]
	}
	return nil
}

func (a *allocation) requestAddress(ip string) error {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	if slices.Contains(a.had.addresses, addr.String()) {
		return nil
	}
	prefixes, err := a.ranges(family(addr))
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return usable(p, addr) }) {
		return errIPRange
	}
	if free, err := a.addressFree(addr); err != nil {
		return err
	} else if !free {
		return errIPTaken
	}
	a.claimAddress(addr)
	return nil
}

// ranges are the prefixes of a family that addresses are taken from: those of
// ServiceCIDRs that are ready and stay, and those configured, unless the ServiceCIDRs
// that have one are all going or said not to be ready.
func (a *allocation) ranges(f corev1.IPFamily) ([]netip.Prefix, error) {
	cidrs, err := a.r.List(a.ctx, serviceCIDRResource, "")
	if err != nil {
		return nil, err
	}
	var ready []netip.Prefix
	shut := map[netip.Prefix]bool{} // whether no ServiceCIDR of the prefix speaks for it
	for _, obj := range cidrs {
		c := kind.Hub[networkingv1.ServiceCIDR](obj)
		is := meta.FindStatusCondition(c.Status.Conditions, networkingv1.ServiceCIDRConditionReady)
		against := c.DeletionTimestamp != nil || is != nil && is.Status == metav1.ConditionFalse
		usable := !against && is != nil && is.Status == metav1.ConditionTrue
		for _, s := range c.Spec.CIDRs {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				continue
			}
			p = p.Masked()
			if before, seen := shut[p]; !seen || before {
				shut[p] = against
			}
			if usable {
				ready = append(ready, p)
			}
		}
	}
	configured := slices.DeleteFunc(slices.Clone(a.prefixes), func(p netip.Prefix) bool { return shut[p] })
	var out []netip.Prefix
	for _, p := range append(configured, ready...) {
		if family(p.Addr()) == f && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// size is the number of addresses of a prefix beside its first, at most 2^62;
// the last one of IPv4 is the broadcast address and does not count.
func size(p netip.Prefix) uint64 {
	bits := min(p.Addr().BitLen()-p.Bits(), 62)
	n := uint64(1)<<bits - 1
	if p.Addr().Is4() {
		n--
	}
	return n
}

func usable(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) || a == p.Addr() {
		return false
	}
	return !a.Is4() || p.Contains(a.Next())
}

// nth is the address n behind the first of a prefix.
func nth(p netip.Prefix, n uint64) netip.Addr {
	b := p.Addr().As16()
	low := binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[8:], low+n)
	if p.Addr().Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// reserved is the number of low addresses that are given out last, so that
// people may choose from them: a sixteenth, 16 to 256.
func reserved(n uint64) uint64 {
	if n+1 < 16 {
		return 0
	}
	return min(max(n/16, 16), 256, n)
}

// freeAddress looks for a free address from a random place on, outside the
// reserved part first.
func (a *allocation) freeAddress(f corev1.IPFamily) (netip.Addr, error) {
	prefixes, err := a.ranges(f)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, p := range prefixes {
		n := size(p)
		low := reserved(n)
		for _, part := range [][2]uint64{{low, n - low}, {0, low}} {
			ip, err := a.scan(p, part[0], part[1])
			if err == nil || !errors.Is(err, errIPFull) {
				return ip, err
			}
		}
	}
	return netip.Addr{}, errIPFull
}

// maxProbes bounds the search in a nearly full range of IPv6.
const maxProbes = 1 << 20

func (a *allocation) scan(p netip.Prefix, first, n uint64) (netip.Addr, error) {
	if n == 0 {
		return netip.Addr{}, errIPFull
	}
	start := a.random(n)
	for i := range min(n, maxProbes) {
		ip := nth(p, 1+first+(start+i)%n)
		if free, err := a.addressFree(ip); err != nil {
			return ip, err
		} else if free {
			return ip, nil
		}
	}
	return netip.Addr{}, errIPFull
}

func (a *allocation) addressFree(ip netip.Addr) (bool, error) {
	_, err := a.r.Get(a.ctx, ipAddressesResource, "", ip.String())
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

// claimAddress makes the object that upstream's allocator would make.
func (a *allocation) claimAddress(ip netip.Addr) {
	a.out = append(a.out, resource.Companion{Resource: ipAddressesResource, Name: ip.String(), Object: &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: ip.String(), Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: string(family(ip)),
			networkingv1.LabelManagedBy:       ipController,
		}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: a.svc.Namespace, Name: a.svc.Name}},
	}})
}

func (a *allocation) releaseAddress(s *corev1.Service, ip string) error {
	return a.release(ipAddressesResource, ip, func(claim runtime.Object) bool {
		p := kind.Hub[networkingv1.IPAddress](claim).Spec.ParentRef
		return p != nil && p.Resource == "services" && p.Namespace == s.Namespace && p.Name == s.Name
	})
}

// release gives up a claim, if it is ours. Whichever way that is decided, the
// claim must still be as it was read: another server may have made it with the
// Service a moment ago.
func (a *allocation) release(gr schema.GroupResource, name string, ours func(claim runtime.Object) bool) error {
	x := resource.Companion{Resource: gr, Name: name}
	claim, err := a.r.Get(a.ctx, gr, "", name)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case ours(claim):
		x.Old = claim
	default:
		x.Old, x.Keep = claim, true
	}
	a.out = append(a.out, x)
	return nil
}
