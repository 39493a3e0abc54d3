package ipaddressrepair

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// allocator is who makes the IPAddresses of Services, as their label says.
const allocator = "ipallocator.k8s.io"

// service is what counts of a Service.
type service struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Type       corev1.ServiceType `json:"type"`
		ClusterIP  string             `json:"clusterIP"`
		ClusterIPs []string           `json:"clusterIPs"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*service) APIResource() string { return services }

// GetObjectMeta implements metav1.Accessor.
func (s *service) GetObjectMeta() *metav1.ObjectMeta { return &s.Metadata }

// addresses are the cluster IPs of a Service, as it names them.
func (s *service) addresses() []string {
	if s.Spec.Type == corev1.ServiceTypeExternalName || s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	return s.Spec.ClusterIPs
}

// finding is what is to be done about a claim. The zero value: nothing.
type finding struct {
	note   client.Note // "" as its reason: nothing is said
	claim  bool        // it is to be made, in place of the one that there is
	remove bool
	after  time.Duration // look again
}

func warn(reason, format string, args ...any) client.Note {
	return client.Note{Warning: true, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func family(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// check decides about the claim of one address of a Service: have is the one that
// there is, or nil, and owner the Service that it names, or nil if that does not
// exist.
func check(s *service, a netip.Addr, have *networkingv1.IPAddress, owner *service, now time.Time) finding {
	if have == nil {
		return finding{claim: true, note: warn("ClusterIPNotAllocated", "Cluster IP [%v]: %s is not allocated; repairing", family(a), a)}
	}
	m := &s.Metadata
	wrong := finding{claim: true, note: warn("ClusterIPNotAllocated", "the ClusterIP [%v]: %s for Service %s/%s has a wrong reference; repairing", family(a), a, m.Namespace, m.Name)}
	switch p := have.Spec.ParentRef; {
	case !ofService(have):
		return wrong
	case p.Namespace == m.Namespace && p.Name == m.Name:
		if !labelled(have, a) {
			return finding{claim: true}
		}
		return finding{}
	case owner == nil:
		// Who was written with it in one transaction may not have been heard of.
		if age := now.Sub(have.CreationTimestamp.Time()); age < unsettled {
			return finding{after: unsettled - age}
		}
		return wrong
	case slices.Contains(owner.addresses(), have.Name):
		// Nothing of this Service changes when the other one gives it up.
		return finding{after: unwritten, note: warn("ClusterIPAlreadyAllocated", "Cluster IP [%v]:%s was assigned to multiple services; please recreate service", family(a), a)}
	}
	// The Service that it names has another address: it goes, and is made for this one
	// then. What goes no longer names this one, which is why it looks again.
	return finding{after: unsettled}
}

// ofService tells that an IPAddress names a Service.
func ofService(x *networkingv1.IPAddress) bool {
	p := x.Spec.ParentRef
	return p != nil && p.Group == "" && p.Resource == "services"
}

func labelled(x *networkingv1.IPAddress, a netip.Addr) bool {
	return x.Labels[networkingv1.LabelManagedBy] == allocator && x.Labels[networkingv1.LabelIPAddressFamily] == string(family(a))
}

// newClaim is the IPAddress that a Service has of an address.
func newClaim(s *service, a netip.Addr) *networkingv1.IPAddress {
	x := &networkingv1.IPAddress{}
	x.Name = a.String()
	x.Labels = map[string]string{networkingv1.LabelIPAddressFamily: string(family(a)), networkingv1.LabelManagedBy: allocator}
	x.Spec.ParentRef = &networkingv1.ParentReference{Resource: "services", Namespace: s.Metadata.Namespace, Name: s.Metadata.Name}
	return x
}

// How long an IPAddress may be without its Service: a server may yet write that one.
// Both are upstream's; it waits shortly when the Service is older than the claim.
const (
	unwritten = 60 * time.Second
	unsettled = 5 * time.Second
)

// judge decides about an IPAddress of the allocator; owner is the Service that it
// names, or nil if there is none.
func judge(x *networkingv1.IPAddress, owner *service, now time.Time) finding {
	if !ofService(x) {
		return finding{remove: true, note: warn("IPAddressNotAllocated", "IPAddress %s appears to have been modified, not referencing a Service %v: cleaning up", x.Name, reference(x))}
	}
	p := x.Spec.ParentRef
	age := now.Sub(x.CreationTimestamp.Time())
	if owner == nil {
		if age <= unwritten {
			return finding{after: unwritten - age + time.Second}
		}
		return finding{remove: true, note: warn("IPAddressNotAllocated", "IPAddress: %s for Service %s/%s appears to have leaked: cleaning up", x.Name, p.Namespace, p.Name)}
	}
	if slices.Contains(owner.addresses(), x.Name) {
		return finding{}
	}
	if owner.Spec.Type == corev1.ServiceTypeExternalName && age < unwritten {
		return finding{after: unwritten - age} // it may be given an address this moment
	}
	if owner.Metadata.CreationTimestamp.Before(x.CreationTimestamp) && age < unsettled {
		return finding{after: unsettled}
	}
	return finding{remove: true, note: warn("IPAddressWrongReference", "IPAddress: %s for Service %s/%s has a wrong reference; cleaning up", x.Name, p.Namespace, p.Name)}
}

// reference is what an IPAddress names, for people.
func reference(x *networkingv1.IPAddress) string {
	p := x.Spec.ParentRef
	if p == nil {
		return "nothing"
	}
	return fmt.Sprintf("{%s %s %s %s}", p.Group, p.Resource, p.Namespace, p.Name)
}

// inRange tells that a Service may have the address by one of the ranges. Before there
// are any, nothing is said against an address.
func inRange(a netip.Addr, all []*networkingv1.ServiceCIDR) bool {
	if len(all) == 0 {
		return true
	}
	for _, r := range all {
		for _, s := range r.Spec.CIDRs {
			p, err := netip.ParsePrefix(s)
			if err == nil && p.Contains(a) && a != p.Masked().Addr() && (!a.Is4() || p.Contains(a.Next())) {
				return true
			}
		}
	}
	return false
}
