package endpointslicemirroring

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// maxPerSubset is how many addresses of a subset are mirrored.
const maxPerSubset = 1000

// mirrored tells that Endpoints are to be mirrored: unless they say no, or are no
// endpoints but a lock.
func mirrored(e *corev1.Endpoints) bool {
	_, lock := e.Annotations["control-plane.alpha.kubernetes.io/leader"]
	return !lock && e.Labels["endpointslice.kubernetes.io/skip-mirror"] != "true"
}

// group is the endpoints that share a family and ports: one slice.
type group struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

func (g *group) key() string { return groupKey(g.family, g.ports) }

func groupKey(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) string {
	var parts []string
	for _, p := range ports {
		parts = append(parts, fmt.Sprintf("%s:%s:%d:%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol)))
	}
	slices.Sort(parts)
	return string(family) + " " + strings.Join(parts, " ")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// mirrorImage is what slices are to show of Endpoints.
type mirrorImage struct {
	groups           []*group
	invalid, skipped int // addresses that are none, and all that are left out
}

func mirror(e *corev1.Endpoints) (m mirrorImage) {
	for _, s := range backends.Repack(e.Subsets) {
		m.add(s)
	}
	return m
}

// add takes in a subset: a group for each family that it has addresses of.
func (m *mirrorImage) add(s corev1.EndpointSubset) {
	byFamily := map[discoveryv1.AddressType]*group{}
	added := 0
	take := func(list []corev1.EndpointAddress, ready bool) {
		for _, a := range list {
			if added >= maxPerSubset {
				m.skipped++
				continue
			}
			e, family, ok := endpointOf(a, ready)
			if !ok {
				m.invalid, m.skipped = m.invalid+1, m.skipped+1
				continue
			}
			added++
			if byFamily[family] == nil {
				byFamily[family] = &group{family: family, ports: portsOf(s.Ports)}
			}
			byFamily[family].endpoints = append(byFamily[family].endpoints, e)
		}
	}
	take(s.Addresses, true)
	take(s.NotReadyAddresses, false)
	for _, family := range slices.Sorted(maps.Keys(byFamily)) {
		g := byFamily[family]
		slices.SortStableFunc(g.endpoints, compareEndpoints)
		m.groups = append(m.groups, g)
	}
}

// notes are the events about what is not mirrored.
func (m *mirrorImage) notes() (out []client.Note) {
	if m.invalid > 0 {
		out = append(out, client.Note{Warning: true, Reason: "InvalidIPAddress", Message: fmt.Sprintf("Skipped %d invalid IP addresses when mirroring to EndpointSlices", m.invalid)})
	}
	if m.skipped > m.invalid {
		out = append(out, client.Note{Warning: true, Reason: "TooManyAddressesToMirror",
			Message: fmt.Sprintf("A max of %d addresses can be mirrored to EndpointSlices per Endpoints subset. %d addresses were skipped", maxPerSubset, m.skipped)})
	}
	return out
}

func endpointOf(a corev1.EndpointAddress, ready bool) (e discoveryv1.Endpoint, family discoveryv1.AddressType, ok bool) {
	ip, err := parseIP(a.IP)
	if err != nil {
		return e, "", false
	}
	family = discoveryv1.AddressTypeIPv4
	if ip.Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	e = discoveryv1.Endpoint{Addresses: []string{ip.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: a.TargetRef, NodeName: a.NodeName}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	return e, family, true
}

// parseIP takes what the API takes of Endpoints: old ones have zeros in front of
// the parts of an IPv4 address.
func parseIP(text string) (netip.Addr, error) {
	if strings.Count(text, ".") == 3 && !strings.Contains(text, ":") {
		parts := strings.Split(text, ".")
		for i, p := range parts {
			parts[i] = cmp.Or(strings.TrimLeft(p, "0"), p[:min(len(p), 1)])
		}
		text = strings.Join(parts, ".")
	}
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), err
}

func portsOf(ports []corev1.EndpointPort) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range ports {
		out = append(out, discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &p.Protocol, AppProtocol: p.AppProtocol})
	}
	return out
}

func compareEndpoints(a, b discoveryv1.Endpoint) int {
	uid := func(e discoveryv1.Endpoint) string {
		if e.TargetRef == nil {
			return ""
		}
		return e.TargetRef.UID
	}
	return cmp.Or(slices.Compare(a.Addresses, b.Addresses), strings.Compare(uid(a), uid(b)))
}

// diff turns the groups into writes. A slice of the same family and ports stays, one
// of the same family that is needed no longer takes the place of one to be made.
func diff(e *corev1.Endpoints, groups []*group, have []*discoveryv1.EndpointSlice) (ops []client.Op) {
	left := slices.Clone(have)
	take := func(ok func(*discoveryv1.EndpointSlice) bool) *discoveryv1.EndpointSlice {
		i := slices.IndexFunc(left, ok)
		if i < 0 {
			return nil
		}
		s := left[i]
		left = slices.Delete(left, i, i+1)
		return s
	}
	var missing []*group
	for _, g := range groups {
		key := g.key()
		if s := take(func(s *discoveryv1.EndpointSlice) bool { return groupKey(s.AddressType, s.Ports) == key }); s == nil {
			missing = append(missing, g)
		} else if next := sliceOf(e, g, s); !same(s, next) {
			ops = append(ops, client.Op{Verb: client.VerbUpdate, Object: next})
		}
	}
	for _, g := range missing {
		s := take(func(s *discoveryv1.EndpointSlice) bool { return s.AddressType == g.family })
		switch {
		case s != nil:
			ops = append(ops, client.Op{Verb: client.VerbUpdate, Object: sliceOf(e, g, s)})
		case e.DeletionTimestamp == nil:
			ops = append(ops, client.Op{Verb: client.VerbCreate, Object: sliceOf(e, g, nil)})
		}
	}
	for _, s := range left {
		ops = append(ops, remove(s))
	}
	return ops
}

func remove(s *discoveryv1.EndpointSlice) client.Op {
	return client.Op{Verb: client.VerbDelete, Object: s, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(s.UID)}}
}

// sliceOf is the slice of a group, in place of one that there is or, with nil, new.
func sliceOf(e *corev1.Endpoints, g *group, old *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: g.family, Ports: g.ports, Endpoints: g.endpoints}
	if old != nil {
		s.ObjectMeta = old.ObjectMeta
	} else {
		s.Namespace, s.GenerateName = e.Namespace, e.Name+"-"
	}
	s.Labels = map[string]string{}
	maps.Copy(s.Labels, e.Labels)
	s.Labels[serviceLabel], s.Labels[managedLabel] = e.Name, managedBy
	s.Annotations = map[string]string{}
	maps.Copy(s.Annotations, e.Annotations)
	delete(s.Annotations, corev1.EndpointsLastChangeTriggerTime)
	delete(s.Annotations, corev1.LastAppliedConfigAnnotation)
	s.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(e, "v1", "Endpoints")}
	return s
}

// same tells that a slice is as it should be; the order of endpoints and ports says
// nothing.
func same(s, next *discoveryv1.EndpointSlice) bool {
	sorted := slices.SortedFunc(slices.Values(s.Endpoints), compareEndpoints)
	return maps.Equal(s.Labels, next.Labels) && maps.Equal(s.Annotations, next.Annotations) &&
		reflect.DeepEqual(s.OwnerReferences, next.OwnerReferences) && reflect.DeepEqual(sorted, next.Endpoints)
}
