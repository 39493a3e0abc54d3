package backends

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// AddressKey tells addresses apart: pods in the network of their node share an IP.
type AddressKey struct{ ip, uid string }

// KeyOf is the key of an address.
func KeyOf(a corev1.EndpointAddress) AddressKey {
	k := AddressKey{ip: a.IP}
	if a.TargetRef != nil {
		k.uid = a.TargetRef.UID
	}
	return k
}

func (k AddressKey) compare(o AddressKey) int {
	return cmp.Or(cmp.Compare(k.ip, o.ip), cmp.Compare(k.uid, o.uid))
}

// portKey is a port by its value; none is no port at all.
type portKey struct {
	name, protocol, app string
	number              int32
	hasApp, none        bool
}

func keyOfPort(p corev1.EndpointPort) portKey {
	k := portKey{name: p.Name, protocol: string(p.Protocol), number: p.Port, hasApp: p.AppProtocol != nil}
	if k.hasApp {
		k.app = *p.AppProtocol
	}
	return k
}

func (k portKey) port() corev1.EndpointPort {
	p := corev1.EndpointPort{Name: k.name, Protocol: corev1.Protocol(k.protocol), Port: k.number}
	if k.hasApp {
		p.AppProtocol = &k.app
	}
	return p
}

func (k portKey) compare(o portKey) int {
	return cmp.Or(cmp.Compare(k.number, o.number), strings.Compare(k.protocol, o.protocol), strings.Compare(k.name, o.name), strings.Compare(k.app, o.app))
}

// Repack brings subsets into the one form in which they are stored and compared:
// addresses that serve the same ports stand in one subset, in order; what is not
// ready anywhere at a port is not ready there. It is upstream's form
// (pkg/api/v1/endpoints, RepackSubsets) but for the order of subsets and ports,
// which there follows from hashes of Go values and says nothing. What it answers shares
// no slice with what it was given.
func Repack(subsets []corev1.EndpointSubset) []corev1.EndpointSubset {
	known := map[AddressKey]corev1.EndpointAddress{}
	byPort := map[portKey]map[AddressKey]bool{} // whether it is ready
	for _, s := range subsets {
		ports := []portKey{{none: true}}
		if len(s.Ports) > 0 {
			ports = nil
			for _, p := range s.Ports {
				ports = append(ports, keyOfPort(p))
			}
		}
		for _, p := range ports {
			if byPort[p] == nil {
				byPort[p] = map[AddressKey]bool{}
			}
			note(known, byPort[p], s.Addresses, true)
			note(known, byPort[p], s.NotReadyAddresses, false)
		}
	}
	portsOf := map[string][]portKey{} // by the addresses that serve them
	for _, p := range slices.SortedFunc(maps.Keys(byPort), portKey.compare) {
		set := setKey(byPort[p])
		portsOf[set] = append(portsOf[set], p)
	}
	var out []corev1.EndpointSubset
	for _, ports := range portsOf {
		out = append(out, subset(known, byPort[ports[0]], ports))
	}
	slices.SortFunc(out, compareSubsets)
	return out
}

// note adds addresses to those of a port. The first of one key counts; what is once
// not ready stays so.
func note(known map[AddressKey]corev1.EndpointAddress, at map[AddressKey]bool, addresses []corev1.EndpointAddress, ready bool) {
	for _, a := range addresses {
		k := KeyOf(a)
		if _, ok := known[k]; !ok {
			if a.TargetRef != nil && a.TargetRef.ResourceVersion != "" {
				ref := *a.TargetRef
				ref.ResourceVersion = "" // what changes with every status of the pod
				a.TargetRef = &ref
			}
			known[k] = a
		}
		if was, ok := at[k]; !ok || was {
			at[k] = ready
		}
	}
}

// setKey is a set of addresses as one value.
func setKey(set map[AddressKey]bool) string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(set), AddressKey.compare) {
		fmt.Fprintf(&b, "%s %s %v\n", k.ip, k.uid, set[k])
	}
	return b.String()
}

func subset(known map[AddressKey]corev1.EndpointAddress, at map[AddressKey]bool, ports []portKey) (s corev1.EndpointSubset) {
	for _, k := range slices.SortedFunc(maps.Keys(at), AddressKey.compare) {
		if at[k] {
			s.Addresses = append(s.Addresses, known[k])
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, known[k])
		}
	}
	for _, p := range ports {
		if !p.none {
			s.Ports = append(s.Ports, p.port())
		}
	}
	return s
}

// compareSubsets orders by ports; two subsets never share one.
func compareSubsets(a, b corev1.EndpointSubset) int {
	return slices.CompareFunc(a.Ports, b.Ports, func(p, q corev1.EndpointPort) int { return keyOfPort(p).compare(keyOfPort(q)) })
}
