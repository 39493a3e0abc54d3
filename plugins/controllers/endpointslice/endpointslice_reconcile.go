package endpointslice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
)

// maxEndpoints of one slice, upstream's default.
const maxEndpoints = 100

// group is the endpoints that share a family and resolved ports: what one or
// several slices hold.
type group struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

// want computes the groups of a Service. Pods whose named port resolves to
// different numbers fall into different groups. A Service without pods has one
// empty group for each family, so that its slices say so.
func want(svc *corev1.Service, pods []*backends.Pod) []*group {
	groups := map[string]*group{}
	for _, family := range families(svc) {
		for _, p := range pods {
			address := p.Address(corev1.IPFamily(family))
			if address == "" || p.Finished() || p.Spec.NodeName == "" {
				continue
			}
			ports := portsOf(svc, p)
			key := string(family) + portKey(ports)
			g := groups[key]
			if g == nil {
				g = &group{family: family, ports: ports}
				groups[key] = g
			}
			g.endpoints = append(g.endpoints, endpointOf(svc, p, address))
		}
	}
	var out []*group
	for _, g := range groups {
		slices.SortFunc(g.endpoints, func(a, b discoveryv1.Endpoint) int { return cmp.Compare(identity(a), identity(b)) })
		out = append(out, g)
	}
	for _, family := range families(svc) {
		if !slices.ContainsFunc(out, func(g *group) bool { return g.family == family }) {
			out = append(out, &group{family: family})
		}
	}
	slices.SortFunc(out, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(portKey(a.ports), portKey(b.ports)))
	})
	return out
}

// identity tells endpoints apart: pods in the network of their node share an
// address.
func identity(e discoveryv1.Endpoint) string {
	if len(e.Addresses) == 0 {
		return "" // another writer's; it matches none of ours
	}
	id := e.Addresses[0]
	if e.TargetRef != nil {
		id += "/" + e.TargetRef.Name + "/" + e.TargetRef.UID
	}
	return id
}

func families(svc *corev1.Service) []discoveryv1.AddressType {
	var out []discoveryv1.AddressType
	for _, f := range svc.Spec.IPFamilies {
		out = append(out, discoveryv1.AddressType(f))
	}
	if len(out) == 0 {
		out = append(out, discoveryv1.AddressTypeIPv4)
	}
	return out
}

func portsOf(svc *corev1.Service, p *backends.Pod) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, sp := range svc.Spec.Ports {
		number, ok := p.Port(sp)
		if !ok {
			continue
		}
		name, protocol := sp.Name, sp.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		out = append(out, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number, AppProtocol: sp.AppProtocol})
	}
	return out
}

func portKey(ports []discoveryv1.EndpointPort) string {
	var b strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&b, "/%s:%s:%d:%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol))
	}
	return b.String()
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func endpointOf(svc *corev1.Service, p *backends.Pod, address string) discoveryv1.Endpoint {
	terminating := p.DeletionTimestamp != nil
	serving := p.Ready()
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	node := p.Spec.NodeName
	e := discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		NodeName:   &node,
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
	}
	if name := p.Hostname(svc.Name); name != "" {
		e.Hostname = &name
	}
	return e
}

// labelsOf are the Service's labels and those that say whose slice it is.
func labelsOf(svc *corev1.Service) map[string]string {
	out := map[string]string{}
	for k, v := range svc.Labels {
		if k != serviceLabel && k != managedLabel && k != backends.HeadlessLabel {
			out[k] = v
		}
	}
	out[serviceLabel], out[managedLabel] = svc.Name, managedBy
	if backends.Headless(svc) {
		out[backends.HeadlessLabel] = ""
	}
	return out
}
