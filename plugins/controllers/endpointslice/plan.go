package endpointslice

import (
	"reflect"
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// planned is a slice as it is to be.
type planned struct {
	group     *group
	have      *discoveryv1.EndpointSlice // nil: it is new
	endpoints []discoveryv1.Endpoint
}

// plan spreads the wanted groups over slices, and says which are left over. An existing
// slice of the same family and ports keeps its name and as many of its endpoints as it
// can, so that a change of one pod writes one slice.
func plan(svc *corev1.Service, groups []*group, have []*discoveryv1.EndpointSlice) (plans []*planned, left []*discoveryv1.EndpointSlice) {
	left = slices.Clone(have)
	for _, g := range groups {
		var mine []*discoveryv1.EndpointSlice
		left = slices.DeleteFunc(left, func(s *discoveryv1.EndpointSlice) bool {
			if s.AddressType != g.family || portKey(s.Ports) != portKey(g.ports) || !metav1.IsControlledBy(s, svc) {
				return false // that of a Service of the same name before is not ours either
			}
			mine = append(mine, s)
			return true
		})
		some, over := fill(g, mine)
		plans, left = append(plans, some...), append(left, over...)
	}
	return plans, left
}

// fill spreads the endpoints of a group over its slices.
func fill(g *group, mine []*discoveryv1.EndpointSlice) (plans []*planned, left []*discoveryv1.EndpointSlice) {
	kept, fresh := keep(g, mine)
	for i, s := range mine {
		if len(kept[i]) == 0 && (len(g.endpoints) > 0 || len(plans) > 0) {
			left = append(left, s)
			continue
		}
		plans = append(plans, &planned{g, s, kept[i]})
	}
	for len(plans) == 0 || len(fresh) > 0 {
		n := min(maxEndpoints, len(fresh))
		plans = append(plans, &planned{group: g, endpoints: slices.Clone(fresh[:n])})
		fresh = fresh[n:]
	}
	return plans, left
}

// keep leaves what is in a slice there, fills the slices up with the others, and answers
// what has no room in them.
func keep(g *group, mine []*discoveryv1.EndpointSlice) (kept [][]discoveryv1.Endpoint, fresh []discoveryv1.Endpoint) {
	todo := map[string]discoveryv1.Endpoint{}
	for _, e := range g.endpoints {
		todo[identity(e)] = e
	}
	kept = make([][]discoveryv1.Endpoint, len(mine))
	for i, s := range mine {
		for _, e := range s.Endpoints {
			if now, ok := todo[identity(e)]; ok && len(kept[i]) < maxEndpoints {
				kept[i] = append(kept[i], now)
				delete(todo, identity(e))
			}
		}
	}
	for _, e := range g.endpoints {
		if _, ok := todo[identity(e)]; ok {
			fresh = append(fresh, e)
		}
	}
	for i := range kept {
		if n := min(maxEndpoints-len(kept[i]), len(fresh)); n > 0 {
			kept[i], fresh = append(kept[i], fresh[:n]...), fresh[n:]
		}
	}
	return kept, fresh
}

// diff turns a plan into writes; at is what they are told to have been triggered by.
func diff(svc *corev1.Service, plans []*planned, left []*discoveryv1.EndpointSlice, at time.Time) []client.Op {
	var ops []client.Op
	for _, p := range plans {
		if p.have == nil {
			ops = append(ops, client.Op{Verb: client.VerbCreate, Object: trigger(p.create(svc), at)})
		} else if p.changed(svc) {
			ops = append(ops, client.Op{Verb: client.VerbUpdate, Object: trigger(p.update(svc), at)})
		}
	}
	for _, s := range left {
		ops = append(ops, client.Op{Verb: client.VerbDelete, Object: s, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(s.UID)}})
	}
	return ops
}

func (p *planned) changed(svc *corev1.Service) bool {
	return !sameEndpoints(p.have.Endpoints, p.endpoints) || !reflect.DeepEqual(p.have.Labels, labelsOf(svc))
}

func (p *planned) update(svc *corev1.Service) *discoveryv1.EndpointSlice {
	next := client.Clone(p.have)
	next.Endpoints, next.Ports, next.Labels = p.endpoints, p.group.ports, labelsOf(svc)
	return next
}

func (p *planned) create(svc *corev1.Service) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: p.group.family, Endpoints: p.endpoints, Ports: p.group.ports}
	s.Namespace, s.GenerateName = svc.Namespace, svc.Name+"-"
	s.Labels = labelsOf(svc)
	s.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(svc, "v1", "Service")}
	return s
}

func sameEndpoints(a, b []discoveryv1.Endpoint) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}
