package service

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// endpoint is one address and port that a service port leads to.
type endpoint struct {
	addr        netip.AddrPort
	ready       bool
	terminating bool // and still serving
	local       bool
	zones       []discoveryv1.ForZone
	nodes       []discoveryv1.ForNode
}

// endpointsOf lists the IPv4 endpoints of one service port, in the order of the
// slices. An address that two slices hold, as happens while the controller moves
// it, counts once, and is ready if either says so.
func (r Rules) endpointsOf(port corev1.ServicePort, slices []*discoveryv1.EndpointSlice) []endpoint {
	var out []endpoint
	at := map[netip.AddrPort]int{}
	for _, s := range slices {
		if s.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, p := range s.Ports {
			if !samePort(p, port) {
				continue
			}
			for i := range s.Endpoints {
				for _, e := range r.endpoints(&s.Endpoints[i], uint16(*p.Port)) {
					if j, ok := at[e.addr]; ok {
						out[j].ready = out[j].ready || e.ready
						out[j].terminating = out[j].terminating || e.terminating
						continue
					}
					at[e.addr] = len(out)
					out = append(out, e)
				}
			}
		}
	}
	return out
}

func samePort(p discoveryv1.EndpointPort, want corev1.ServicePort) bool {
	name, proto := "", corev1.ProtocolTCP
	if p.Name != nil {
		name = *p.Name
	}
	if p.Protocol != nil {
		proto = *p.Protocol
	}
	return p.Port != nil && name == want.Name && proto == protocolOf(want)
}

func protocolOf(p corev1.ServicePort) corev1.Protocol {
	if p.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return p.Protocol
}

func (r Rules) endpoints(e *discoveryv1.Endpoint, port uint16) []endpoint {
	var out []endpoint
	for _, a := range e.Addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil || !addr.Is4() {
			continue
		}
		x := endpoint{
			addr:  netip.AddrPortFrom(addr, port),
			local: e.NodeName != nil && *e.NodeName == r.Node,
		}
		x.ready, x.terminating = r.condition(addr, e.Conditions)
		if e.Hints != nil {
			x.zones, x.nodes = e.Hints.ForZones, e.Hints.ForNodes
		}
		out = append(out, x)
	}
	return out
}

// condition reads an endpoint's conditions, whose absence means ready, as the API
// says; what the node agent knows of its own pods overrules them.
func (r Rules) condition(addr netip.Addr, c discoveryv1.EndpointConditions) (ready, terminating bool) {
	yes := func(p *bool, absent bool) bool {
		if p == nil {
			return absent
		}
		return *p
	}
	ready = yes(c.Ready, true)
	serving := yes(c.Serving, ready)
	terminating = serving && yes(c.Terminating, false)
	if r.Draining[addr] {
		return false, ready || serving
	}
	return ready, terminating
}

// choose applies the rule of traffic policies: ready endpoints, and only if
// there are none, those that still serve while they terminate.
func choose(all []endpoint, keep func(endpoint) bool) []endpoint {
	var ready, late []endpoint
	for _, e := range all {
		switch {
		case !keep(e):
		case e.ready:
			ready = append(ready, e)
		case e.terminating:
			late = append(late, e)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return late
}

func anywhere(endpoint) bool  { return true }
func local(e endpoint) bool   { return e.local }
func isReady(e endpoint) bool { return e.ready }

// near keeps the endpoints that hints give to this node, else those given to its
// zone. Hints count only if every ready endpoint has them and one is for us:
// otherwise traffic would gather on few.
func (r Rules) near(all []endpoint) []endpoint {
	chosen := choose(all, anywhere)
	if len(chosen) == 0 || !isReady(chosen[0]) {
		return chosen
	}
	forNode := func(e endpoint) (has, us bool) {
		for _, n := range e.nodes {
			us = us || n.Name == r.Node
		}
		return len(e.nodes) > 0, us
	}
	forZone := func(e endpoint) (has, us bool) {
		for _, z := range e.zones {
			us = us || z.Name == r.Zone
		}
		return len(e.zones) > 0, us && r.Zone != ""
	}
	for _, hint := range []func(endpoint) (bool, bool){forNode, forZone} {
		var ours []endpoint
		complete := true
		for _, e := range chosen {
			has, us := hint(e)
			complete = complete && has
			if us {
				ours = append(ours, e)
			}
		}
		if complete && len(ours) > 0 {
			return ours
		}
	}
	return chosen
}
