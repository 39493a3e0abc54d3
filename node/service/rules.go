package service

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pintle-io/pintle/ebpf/lb"
)

// Rules turn Services into what the balancer does. They depend on nothing but
// their fields, and Services changes none of its arguments.
type Rules struct {
	// Node and Zone are where this is. An empty zone has no hints.
	Node, Zone string
	// Draining are the addresses of pods that are told to end, which the node
	// agent knows before the API does: they serve, but only if nobody else does.
	Draining map[netip.Addr]bool
	// Reserved frontends are served otherwise (see Config.Static).
	Reserved map[lb.Frontend]bool
}

// defaultAffinity is the API's default for sessionAffinityConfig.
const defaultAffinity = 3 * time.Hour

// Services returns what the balancer must hold for svc: per port one service
// over all endpoints, and one over those of this node if a traffic policy asks
// for it. What another proxy serves (service.kubernetes.io/service-proxy-name)
// is left to it. Headless Services and ExternalName have none; nor have IPv6
// addresses, SCTP ports, and load balancer addresses with source ranges, which
// the data path cannot keep out.
func (r Rules) Services(svc *corev1.Service, slices []*discoveryv1.EndpointSlice) []lb.Service {
	if svc == nil || svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	foreign := svc.Labels["service.kubernetes.io/service-proxy-name"] != ""
	var out []lb.Service
	for _, port := range svc.Spec.Ports {
		proto, ok := protocols[protocolOf(port)]
		if !ok {
			continue
		}
		key := fmt.Sprintf("%s/%s:%s/%s", svc.Namespace, svc.Name, port.Name, proto)
		if foreign {
			out = r.appendForeign(out, svc, port, proto, key)
			continue
		}
		everywhere, here := r.frontends(svc, port, proto)
		all := r.endpointsOf(port, slices)
		out = appendService(out, svc, key, everywhere, r.near(all))
		out = appendService(out, svc, key+"/local", here, choose(all, local))
	}
	return out
}

var protocols = map[corev1.Protocol]lb.Protocol{corev1.ProtocolTCP: lb.TCP, corev1.ProtocolUDP: lb.UDP}

// appendForeign marks the cluster IPs of a port that another proxy serves:
// without, they would be refused as addresses that no Service has.
func (r Rules) appendForeign(out []lb.Service, svc *corev1.Service, port corev1.ServicePort, proto lb.Protocol, key string) []lb.Service {
	s := lb.Service{Key: key, Foreign: true}
	for _, a := range parse(svc.Spec.ClusterIPs, svc.Spec.ClusterIP) {
		if f := (lb.Frontend{Addr: netip.AddrPortFrom(a, uint16(port.Port)), Proto: proto}); !r.Reserved[f] {
			s.Frontends = append(s.Frontends, f)
		}
	}
	if len(s.Frontends) == 0 {
		return out
	}
	return append(out, s)
}

func appendService(out []lb.Service, svc *corev1.Service, key string, fronts []lb.Frontend, eps []endpoint) []lb.Service {
	if len(fronts) == 0 {
		return out
	}
	s := lb.Service{Key: key, Frontends: fronts, Affinity: affinity(svc)}
	for _, e := range eps {
		s.Backends = append(s.Backends, lb.Backend{Addr: e.addr, Local: e.local})
	}
	return append(out, s)
}

func affinity(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return defaultAffinity
}

// frontends returns the addresses of one port, by whether all endpoints or only
// those of this node may serve them.
func (r Rules) frontends(svc *corev1.Service, port corev1.ServicePort, proto lb.Protocol) (everywhere, here []lb.Frontend) {
	add := func(to *[]lb.Frontend, addr netip.Addr, port int32, scope lb.Scope) {
		f := lb.Frontend{Addr: netip.AddrPortFrom(addr, uint16(port)), Proto: proto, Scope: scope}
		if port > 0 && !r.Reserved[f] && !slices.Contains(*to, f) {
			*to = append(*to, f)
		}
	}
	internal := &everywhere
	if p := svc.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		internal = &here
	}
	for _, a := range parse(svc.Spec.ClusterIPs, svc.Spec.ClusterIP) {
		add(internal, a, port.Port, lb.Cluster)
	}
	// Whoever asks an outside address from within the cluster gets any endpoint:
	// the policy is about the last hop of outside traffic.
	outside := func(a netip.Addr, port int32) {
		add(&everywhere, a, port, lb.Cluster)
		if svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
			add(&here, a, port, lb.External)
		}
	}
	for _, a := range parse(svc.Spec.ExternalIPs) {
		outside(a, port.Port)
	}
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		outside(netip.IPv4Unspecified(), port.NodePort)
	}
	for _, a := range ingress(svc) {
		outside(a, port.Port)
	}
	return everywhere, here
}

// ingress returns the load balancer's addresses whose packets arrive unchanged.
func ingress(svc *corev1.Service) []netip.Addr {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer || len(svc.Spec.LoadBalancerSourceRanges) > 0 {
		return nil
	}
	var ips []string
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
			ips = append(ips, in.IP)
		}
	}
	return parse(ips)
}

// parse returns the usable IPv4 addresses among list and more, each once.
func parse(list []string, more ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range slices.Concat(list, more) {
		a, err := netip.ParseAddr(s)
		if err == nil && a.Is4() && !a.IsUnspecified() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
