package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// allocator gives Services their addresses and ports. It keeps no state: what
// is taken is read from the cache, and a race is decided by the store, after
// which the kernel asks again.
type allocator struct {
	prefixes []netip.Prefix // primary family first
	ports    utilnet.PortRange
	random   func(n uint64) uint64 // below n
}

func newAllocator(o Options) *allocator {
	return &allocator{prefixes: o.ServiceCIDRs, ports: o.NodePorts, random: rand.Uint64N}
}

// claims are what a Service holds.
// RATIONALE.md: "Why are node ports and addresses objects of their own?"
type claims struct {
	addresses []string
	ports     []int32
}

func claimsOf(s *corev1.Service) claims {
	var c claims
	if s == nil {
		return c
	}
	if hasClusterIP(s) && !headless(s) {
		for _, ip := range s.Spec.ClusterIPs {
			if a, err := netip.ParseAddr(ip); err == nil {
				c.addresses = append(c.addresses, a.String())
			}
		}
	}
	if hasNodePorts(s) {
		for _, p := range nodePorts(s) {
			if !slices.Contains(c.ports, p) {
				c.ports = append(c.ports, p)
			}
		}
	}
	if p := s.Spec.HealthCheckNodePort; needsHealthPort(s) && p != 0 && !slices.Contains(c.ports, p) {
		c.ports = append(c.ports, p)
	}
	return c
}

// companions fills in what a Service needs, and answers what is claimed and
// released by the write: the difference between its old and its new claims.
func (a *allocator) companions(ctx context.Context, r resource.Reader, obj, old runtime.Object) ([]resource.Companion, error) {
	var before, after *corev1.Service
	if old != nil {
		before = kind.Hub[corev1.Service](old)
	}
	if obj != nil {
		after = kind.Hub[corev1.Service](obj)
	}
	if before != nil && after != nil && equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		return nil, nil // a change of status, or of metadata
	}
	had := claimsOf(before)
	alloc := &allocation{allocator: a, ctx: ctx, r: r, svc: after, had: had}
	if after != nil {
		if err := a.initFamilies(after, before); err != nil {
			return nil, err
		}
		if err := alloc.addresses(); err != nil {
			return nil, err
		}
		if err := alloc.nodePorts(before == nil); err != nil {
			return nil, err
		}
	}
	has := claimsOf(after)
	for _, ip := range had.addresses {
		if !slices.Contains(has.addresses, ip) {
			if err := alloc.releaseAddress(before, ip); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range had.ports {
		if !slices.Contains(has.ports, p) {
			if err := alloc.releasePort(before, p); err != nil {
				return nil, err
			}
		}
	}
	return alloc.out, nil
}

// family of an address or prefix.
func family(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func (a *allocator) configured(f corev1.IPFamily) bool {
	return slices.ContainsFunc(a.prefixes, func(p netip.Prefix) bool { return family(p.Addr()) == f })
}

func otherFamily(f corev1.IPFamily) corev1.IPFamily {
	if f == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// initFamilies decides ipFamilyPolicy and ipFamilies where the client left
// them open, and refuses what the cluster cannot give. old is nil on creation.
func (a *allocator) initFamilies(s, old *corev1.Service) error {
	if !hasClusterIP(s) || keepsPreferDual(s, old) {
		return nil
	}
	spec := &s.Spec
	selectorless := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		switch {
		case old != nil && old.Spec.IPFamilyPolicy != nil:
			policy = *old.Spec.IPFamilyPolicy
		case selectorless:
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	if err := checkAddressFields(s, old); err != nil {
		return err
	}
	var errs field.ErrorList
	if old != nil {
		errs = append(errs, shrinkFamilies(s, old)...)
	}
	errs = append(errs, a.familiesOfAddresses(s)...)
	if len(errs) > 0 {
		return invalidService(s, errs)
	}
	dual := *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack
	if !selectorless {
		// Endpoints of a service without selector may have any family; of all
		// others the cluster must be able to give the address.
		if errs = a.familiesAvailable(s); len(errs) > 0 {
			return invalidService(s, errs)
		}
		dual = dual && len(a.prefixes) == 2
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{family(a.prefixes[0].Addr())}
	}
	if dual && len(spec.IPFamilies) == 1 {
		spec.IPFamilies = append(slices.Clip(spec.IPFamilies), otherFamily(spec.IPFamilies[0]))
	}
	return nil
}

// completeStored fills in what servers before dual-stack did not store.
func (a *allocator) completeStored(s *corev1.Service) {
	spec := &s.Spec
	if !hasClusterIP(s) {
		spec.InternalTrafficPolicy = nil
		return
	}
	if spec.ClusterIP != "" && len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if len(spec.IPFamilies) > 0 {
		return
	}
	primary := family(a.prefixes[0].Addr())
	switch {
	case headless(s) && len(spec.Selector) == 0:
		spec.IPFamilies = []corev1.IPFamily{primary, otherFamily(primary)}
	case headless(s):
		spec.IPFamilies = []corev1.IPFamily{primary}
	default:
		for _, ip := range spec.ClusterIPs {
			if addr, err := netip.ParseAddr(ip); err == nil {
				spec.IPFamilies = append(spec.IPFamilies, family(addr))
			}
		}
	}
	policy := corev1.IPFamilyPolicySingleStack
	switch len(spec.IPFamilies) {
	case 0:
		return
	case 2:
		policy = corev1.IPFamilyPolicyRequireDualStack
	}
	spec.IPFamilyPolicy = &policy
}

// keepsPreferDual: a service that prefers two families keeps what it has until
// its owner says otherwise, also when the cluster changes.
func keepsPreferDual(s, old *corev1.Service) bool {
	prefers := func(p *corev1.IPFamilyPolicy) bool { return p != nil && *p == corev1.IPFamilyPolicyPreferDualStack }
	return old != nil && s.Spec.Type == old.Spec.Type && prefers(s.Spec.IPFamilyPolicy) &&
		(old.Spec.IPFamilyPolicy == nil || prefers(old.Spec.IPFamilyPolicy)) &&
		slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) && slices.Equal(s.Spec.IPFamilies, old.Spec.IPFamilies)
}

// checkAddressFields is upstream's validation of the linked fields, which the
// steps after it rest on.
func checkAddressFields(s, old *corev1.Service) error {
	in, oldIn := &core.Service{}, (*core.Service)(nil)
	if err := legacyscheme.Scheme.Convert(s, in, nil); err != nil {
		return apierrors.NewInternalError(err)
	}
	if old != nil {
		oldIn = &core.Service{}
		if err := legacyscheme.Scheme.Convert(old, oldIn, nil); err != nil {
			return apierrors.NewInternalError(err)
		}
	}
	if errs := validation.ValidateServiceClusterIPsRelatedFields(in, oldIn); len(errs) > 0 {
		return invalidService(s, errs)
	}
	return nil
}

// shrinkFamilies: asking for a single family releases the second; anything
// else that takes it away is an error.
func shrinkFamilies(s, old *corev1.Service) field.ErrorList {
	spec, path := &s.Spec, field.NewPath("spec", "ipFamilyPolicy")
	sameIPs, sameFamilies := slices.Equal(spec.ClusterIPs, old.Spec.ClusterIPs), slices.Equal(spec.IPFamilies, old.Spec.IPFamilies)
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		if sameIPs && len(spec.ClusterIPs) > 1 {
			spec.ClusterIPs = slices.Clone(spec.ClusterIPs[:1])
		}
		if sameFamilies && len(spec.IPFamilies) > 1 {
			spec.IPFamilies = slices.Clone(spec.IPFamilies[:1])
		}
		return nil
	}
	var errs field.ErrorList
	if n := len(spec.ClusterIPs); n > 0 && n < len(old.Spec.ClusterIPs) {
		errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"))
	}
	if n := len(spec.IPFamilies); n > 0 && n < len(old.Spec.IPFamilies) {
		errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"))
	}
	return errs
}

// familiesOfAddresses checks the number of families against the policy and
// adds the families of the addresses that the client chose.
func (a *allocator) familiesOfAddresses(s *corev1.Service) field.ErrorList {
	spec, path := &s.Spec, field.NewPath("spec", "ipFamilyPolicy")
	var errs field.ErrorList
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		const must = "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
		if len(spec.ClusterIPs) == 2 {
			errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy, must+"cluster IPs are specified"))
		}
		if len(spec.IPFamilies) == 2 {
			errs = append(errs, field.Invalid(path, spec.IPFamilyPolicy, must+"IP families are specified"))
		}
	}
	for i, ip := range spec.ClusterIPs {
		addr, err := netip.ParseAddr(ip)
		if err != nil || i < len(spec.IPFamilies) {
			continue // "None", or a family that validation compared
		}
		if f := family(addr); a.configured(f) {
			spec.IPFamilies = append(slices.Clip(spec.IPFamilies), f)
		} else {
			errs = append(errs, field.Invalid(field.NewPath("spec", "clusterIPs").Index(i), spec.ClusterIPs, fmt.Sprintf("%s is not configured on this cluster", f)))
		}
	}
	return errs
}

func (a *allocator) familiesAvailable(s *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	if *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack && len(a.prefixes) < 2 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), s.Spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
	}
	for i, f := range s.Spec.IPFamilies {
		if !a.configured(f) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilies").Index(i), f, "not configured on this cluster"))
		}
	}
	return errs
}

func invalidService(s *corev1.Service, errs field.ErrorList) error {
	return apierrors.NewInvalid(core.Kind("Service"), s.Name, errs)
}
