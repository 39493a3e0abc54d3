package endpointslice

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
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

// diff turns the wanted groups into writes. An existing slice of the same
// family and ports keeps its name and as many of its endpoints as it can, so
// that a change of one pod writes one slice.
func diff(svc *corev1.Service, groups []*group, have []*discoveryv1.EndpointSlice) []client.Op {
	var ops []client.Op
	left := slices.Clone(have)
	for _, g := range groups {
		var mine []*discoveryv1.EndpointSlice
		left = slices.DeleteFunc(left, func(s *discoveryv1.EndpointSlice) bool {
			if s.AddressType != g.family || portKey(s.Ports) != portKey(g.ports) || !metav1.IsControlledBy(s, svc) {
				return false // that of a Service of the same name before is not ours either
			}
			mine = append(mine, s)
			return true
		})
		ops = append(ops, fill(svc, g, mine)...)
	}
	for _, s := range left {
		ops = append(ops, client.Op{Verb: client.VerbDelete, Object: s, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(s.UID)}})
	}
	return ops
}

// fill spreads the endpoints of a group over its slices.
func fill(svc *corev1.Service, g *group, mine []*discoveryv1.EndpointSlice) []client.Op {
	todo := map[string]discoveryv1.Endpoint{}
	for _, e := range g.endpoints {
		todo[identity(e)] = e
	}
	kept := make([][]discoveryv1.Endpoint, len(mine))
	for i, s := range mine { // what is in a slice stays there
		for _, e := range s.Endpoints {
			if now, ok := todo[identity(e)]; ok && len(kept[i]) < maxEndpoints {
				kept[i] = append(kept[i], now)
				delete(todo, identity(e))
			}
		}
	}
	var fresh []discoveryv1.Endpoint
	for _, e := range g.endpoints {
		if _, ok := todo[identity(e)]; ok {
			fresh = append(fresh, e)
		}
	}
	for i := range kept {
		n := min(maxEndpoints-len(kept[i]), len(fresh))
		if n > 0 {
			kept[i], fresh = append(kept[i], fresh[:n]...), fresh[n:]
		}
	}
	var ops []client.Op
	used := 0
	for i, s := range mine {
		if len(kept[i]) == 0 && (len(g.endpoints) > 0 || used > 0) {
			ops = append(ops, client.Op{Verb: client.VerbDelete, Object: s, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(s.UID)}})
			continue
		}
		used++
		if op, changed := update(svc, s, g, kept[i]); changed {
			ops = append(ops, op)
		}
	}
	for used == 0 || len(fresh) > 0 {
		n := min(maxEndpoints, len(fresh))
		ops = append(ops, client.Op{Verb: client.VerbCreate, Object: newSlice(svc, g, fresh[:n])})
		fresh = fresh[n:]
		used++
	}
	return ops
}

func update(svc *corev1.Service, s *discoveryv1.EndpointSlice, g *group, endpoints []discoveryv1.Endpoint) (client.Op, bool) {
	next := client.Clone(s)
	next.Endpoints, next.Ports = endpoints, g.ports
	next.Labels = labelsOf(svc)
	if sameEndpoints(s.Endpoints, endpoints) && reflect.DeepEqual(s.Labels, next.Labels) {
		return client.Op{}, false
	}
	return client.Op{Verb: client.VerbUpdate, Object: next}, true
}

func sameEndpoints(a, b []discoveryv1.Endpoint) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func newSlice(svc *corev1.Service, g *group, endpoints []discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: g.family, Endpoints: slices.Clone(endpoints), Ports: g.ports}
	s.Namespace, s.GenerateName = svc.Namespace, svc.Name+"-"
	s.Labels = labelsOf(svc)
	s.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(svc, "v1", "Service")}
	return s
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
