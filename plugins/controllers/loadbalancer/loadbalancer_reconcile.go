package loadbalancer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// service is what counts of a Service.
type service struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Type                  corev1.ServiceType   `json:"type"`
		Ports                 []corev1.ServicePort `json:"ports"`
		Class                 *string              `json:"loadBalancerClass"`
		LoadBalancerIP        string               `json:"loadBalancerIP"`
		SourceRanges          []string             `json:"loadBalancerSourceRanges"`
		ExternalTrafficPolicy string               `json:"externalTrafficPolicy"`
	} `json:"spec"`
	Status struct {
		LoadBalancer corev1.LoadBalancerStatus `json:"loadBalancer"`
		Conditions   []metav1.Condition        `json:"conditions"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*service) APIResource() string { return services }

// GetObjectMeta implements metav1.Accessor.
func (s *service) GetObjectMeta() *metav1.ObjectMeta { return &s.Metadata }

// local tells that only nodes with endpoints of the Service serve it.
func (s *service) local() bool { return s.Spec.ExternalTrafficPolicy == "Local" }

// has are the addresses in the Service's status.
func (s *service) has() []netip.Addr {
	var out []netip.Addr
	for _, in := range s.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(in.IP); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// Annotations by which people ask for addresses: ours, and those of other
// implementations, of which manifests exist.
var requests = []string{"pintle.dev/load-balancer-ips", "metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs", "kube-vip.io/loadbalancerIPs"}

// wishes are the addresses that are asked for, of IPv4; none: any.
func (s *service) wishes() ([]netip.Addr, error) {
	text, from := s.Spec.LoadBalancerIP, "spec.loadBalancerIP"
	for _, key := range requests {
		if v := s.Metadata.Annotations[key]; v != "" {
			text, from = v, "annotation "+key
			break
		}
	}
	var out []netip.Addr
	for _, t := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		a, err := netip.ParseAddr(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no IP address", from, t)
		}
		if !a.Is4() {
			return nil, fmt.Errorf("%s: %s is not of IPv4, which is all that nodes serve", from, a)
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// sourceRangesKey is the older form of spec.loadBalancerSourceRanges.
const sourceRangesKey = "service.beta.kubernetes.io/load-balancer-source-ranges"

// restricted tells that not everybody may reach the Service: nodes cannot keep others
// out, so that it gets no address.
func (s *service) restricted() bool {
	ranges := s.Spec.SourceRanges
	if len(ranges) == 0 {
		ranges = strings.Split(s.Metadata.Annotations[sourceRangesKey], ",")
	}
	for _, r := range ranges {
		if r = strings.TrimSpace(r); r == "0.0.0.0/0" {
			return false
		} else if r != "" {
			return true
		}
	}
	return len(s.Spec.SourceRanges) > 0
}

// before orders Services by who was there first.
func before(a, b *service) bool {
	x, y := &a.Metadata, &b.Metadata
	return cmp.Or(x.CreationTimestamp.Time().Compare(y.CreationTimestamp.Time()), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name)) < 0
}

// yields tells that self gives way to another Service that has what self wants: who has
// it keeps it, and of two that have it the older does.
func yields(self, other *service, selfHas bool) bool { return !selfHas || before(other, self) }

// fromPool are the addresses of a Service: those that it asks for, the one that it has,
// or the first that is free. others are all other Services of the type, of whatever
// class: no address is given twice.
func (c *settings) fromPool(s *service, others []*service) ([]netip.Addr, error) {
	has := s.has()
	taken := map[netip.Addr]*service{}
	for _, o := range others {
		for _, a := range o.has() {
			if yields(s, o, slices.Contains(has, a)) {
				taken[a] = o
			}
		}
	}
	want, err := s.wishes()
	if err != nil {
		return nil, err
	}
	for _, a := range want {
		if !c.inPool(a) {
			return nil, fmt.Errorf("%s is not in the pool of this cluster", a)
		}
		if o := taken[a]; o != nil {
			return nil, fmt.Errorf("%s is the address of service %s/%s", a, o.Metadata.Namespace, o.Metadata.Name)
		}
	}
	if len(want) > 0 {
		return want, nil
	}
	for _, a := range has {
		if c.inPool(a) && taken[a] == nil {
			return []netip.Addr{a}, nil
		}
	}
	for _, r := range c.pool {
		for a := r.first; ; a = a.Next() {
			if taken[a] == nil {
				return []netip.Addr{a}, nil
			}
			if a == r.last {
				break
			}
		}
	}
	return nil, fmt.Errorf("no address of the pool is free: %d services have them; add to spec.config.pool of plugin load-balancer", len(taken))
}

// maxNodes is how many nodes' addresses a Service gets.
const maxNodes = 100

// fromNodes are the nodes' addresses, for a Service whose ports nobody else has there.
// here are the nodes with endpoints of it, which matter to one of local traffic; nil
// stands for all.
func (c *settings) fromNodes(s *service, others []*service, nodes []*node, here map[string]bool) ([]netip.Addr, error) {
	want, err := s.wishes()
	if err != nil {
		return nil, err
	}
	for _, p := range s.Spec.Ports {
		if c.isReserved(p.Port) {
			return nil, fmt.Errorf("port %d is reserved at the nodes' addresses: take another, or give plugin load-balancer a pool of addresses", p.Port)
		}
	}
	all := addressesOf(nodes)
	if o, port := clash(s, others, all); o != nil {
		return nil, fmt.Errorf("port %s is that of service %s/%s at the nodes' addresses", port, o.Metadata.Namespace, o.Metadata.Name)
	}
	for _, a := range want {
		if !slices.Contains(all, a) {
			return nil, fmt.Errorf("%s is not the address of a node", a)
		}
	}
	if len(want) > 0 {
		return want, nil
	}
	if here != nil {
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return !here[n.Metadata.Name] })
	}
	all = addressesOf(nodes)
	return all[:min(len(all), maxNodes)], nil
}

// clash is another Service that has a port of this one at the nodes' addresses.
func clash(s *service, others []*service, nodes []netip.Addr) (*service, string) {
	atNodes := func(x *service) bool {
		return slices.ContainsFunc(x.has(), func(a netip.Addr) bool { return slices.Contains(nodes, a) })
	}
	has := atNodes(s)
	for _, o := range others {
		if !yields(s, o, has) || !atNodes(o) {
			continue
		}
		for _, p := range s.Spec.Ports {
			for _, q := range o.Spec.Ports {
				if p.Port == q.Port && protocol(p) == protocol(q) {
					return o, fmt.Sprintf("%d/%s", p.Port, protocol(p))
				}
			}
		}
	}
	return nil, ""
}

func protocol(p corev1.ServicePort) corev1.Protocol { return cmp.Or(p.Protocol, "TCP") }

// status is what a Service's status says of the addresses.
func status(addresses []netip.Addr) []corev1.LoadBalancerIngress {
	vip := corev1.LoadBalancerIPMode("VIP")
	out := make([]corev1.LoadBalancerIngress, 0, len(addresses))
	for _, a := range addresses {
		out = append(out, corev1.LoadBalancerIngress{IP: a.String(), IPMode: &vip})
	}
	return out
}

// same tells that a status says already what it is to say.
func same(have, want []corev1.LoadBalancerIngress) bool {
	return slices.EqualFunc(have, want, func(a, b corev1.LoadBalancerIngress) bool {
		return a.IP == b.IP && a.Hostname == b.Hostname && len(a.Ports) == 0 && a.IPMode != nil && *a.IPMode == *b.IPMode
	})
}
