package service

import (
	"errors"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/ebpf/lb"
)

// Drain takes the pod of this address out of every service, unless nobody else
// serves it. When Drain returns no new connection of this node goes to the pod;
// other nodes learn from the API. It is undone by the EndpointSlices themselves,
// when they say so too.
//
// # Errors
//
// After an error the change is tried again by Run.
func (p *Proxy) Drain(pod netip.Addr) error {
	pod = pod.Unmap()
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.cfg.Catalog.At(pod)
	if len(names) == 0 {
		return nil
	}
	p.rules.Draining[pod] = true
	return p.writeNow(names)
}

// writeNow writes services at once, by the caller's goroutine. p.mu is held.
func (p *Proxy) writeNow(names []types.NamespacedName) error {
	if !p.complete {
		return nil // Run is about to write everything
	}
	var errs []error
	for _, name := range names {
		if err := p.write(name); err != nil {
			errs = append(errs, err)
			p.complete = false
			p.mark(name)
		}
	}
	return errors.Join(errs...)
}

// forgetDrained drops pods of which every slice says itself that they end: the
// API has caught up, and the address may be another pod's one day. p.mu is held.
func (p *Proxy) forgetDrained() {
	for pod := range p.rules.Draining {
		said := true
		for _, s := range p.cfg.Catalog.lookup(byAddress, pod.String()) {
			for i := range s.Endpoints {
				if e := &s.Endpoints[i]; hasAddr(e, pod) && (e.Conditions.Terminating == nil || !*e.Conditions.Terminating) {
					said = false
				}
			}
		}
		if said {
			delete(p.rules.Draining, pod)
		}
	}
}

func hasAddr(e *discoveryv1.Endpoint, a netip.Addr) bool {
	for _, s := range e.Addresses {
		if x, err := netip.ParseAddr(s); err == nil && x == a {
			return true
		}
	}
	return false
}

// A HostPort is a port of the node that leads to a container of one of its pods.
type HostPort struct {
	// Host is the node's address; an invalid or unspecified one means all.
	Host     netip.Addr
	HostPort uint16
	Proto    lb.Protocol
	Pod      netip.AddrPort
}

// SetHostPorts makes ports the only host ports of owner, a name of the caller's
// choice such as a pod's UID. No ports means none. When it returns they work.
func (p *Proxy) SetHostPorts(owner string, ports []HostPort) error {
	var want []lb.Service
	for _, hp := range ports {
		host := hp.Host
		if !host.IsValid() || host.IsUnspecified() {
			host = netip.IPv4Unspecified()
		}
		want = append(want, lb.Service{
			Key:       fmt.Sprintf("host port %s %s:%d/%s", owner, host, hp.HostPort, hp.Proto),
			Frontends: []lb.Frontend{{Addr: netip.AddrPortFrom(host, hp.HostPort), Proto: hp.Proto}},
			Backends:  []lb.Backend{{Addr: hp.Pod, Local: true}},
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.hosts[owner]
	keep := map[string]bool{}
	var errs []error
	for _, s := range want {
		keep[s.Key] = true
		errs = append(errs, p.cfg.Table.Upsert(s))
	}
	for _, s := range old {
		if !keep[s.Key] {
			errs = append(errs, p.cfg.Table.Delete(s.Key))
		}
	}
	if len(want) > 0 {
		p.hosts[owner] = want
	} else {
		delete(p.hosts, owner)
	}
	return errors.Join(errs...)
}
