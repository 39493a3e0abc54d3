package endpointslice

import (
	"fmt"
	"maps"
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// allot says of the endpoints of a Service for which zone each is, so that every zone has
// as large a part of them as it has of the nodes' CPUs (KEP-2433). Slices that do not
// change keep what they say while that is right. It answers what is to be told.
func allot(svc *corev1.Service, plans []*planned, share map[string]float64) (notes []client.Note) {
	for _, family := range families(svc) {
		var of []*planned
		for _, p := range plans {
			if p.group.family == family {
				of = append(of, p)
			}
		}
		had := slices.ContainsFunc(of, func(p *planned) bool { return p.have != nil && hinted(p.have.Endpoints) })
		whyNot := spread(svc, of, share)
		tell := func(warning bool, reason, message string) {
			notes = append(notes, client.Note{Warning: warning, Reason: reason, Message: fmt.Sprintf("%s, addressType: %s", message, family)})
		}
		switch {
		case whyNot != "":
			tell(true, "TopologyAwareHintsDisabled", whyNot)
		case !had:
			tell(false, "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled")
		}
	}
	return notes
}

func hinted(list []discoveryv1.Endpoint) bool {
	return slices.ContainsFunc(list, func(e discoveryv1.Endpoint) bool { return e.Hints != nil })
}

// spread is allot for the slices of one family; why not, when there are no hints.
func spread(svc *corev1.Service, plans []*planned, share map[string]float64) (whyNot string) {
	total := 0
	for _, p := range plans {
		total += readyOnes(p.endpoints)
	}
	allocations, whyNot := allocate(share, total)
	if whyNot != "" {
		return whyNot
	}
	have := map[string]int{} // endpoints by the zone that they are for
	var free []*planned
	for _, p := range plans {
		if !p.stays(svc, have, allocations) {
			free = append(free, p)
		}
	}
	for _, p := range free { // at first each is for its own zone
		for i := range p.endpoints {
			e := &p.endpoints[i]
			switch {
			case !value(e.Conditions.Ready):
			case value(e.Zone) == "":
				for _, x := range plans {
					x.unhint()
				}
				return "One or more endpoints do not have a zone specified"
			default:
				have[*e.Zone]++
				e.Hints = forZone(*e.Zone)
			}
		}
	}
	giving, receiving := balance(allocations, have)
	for _, p := range free {
		p.give(giving, receiving)
	}
	return ""
}

func readyOnes(list []discoveryv1.Endpoint) (n int) {
	for _, e := range list {
		if value(e.Conditions.Ready) {
			n++
		}
	}
	return n
}

func forZone(zone string) *discoveryv1.EndpointHints {
	return &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
}

func (p *planned) unhint() {
	for i := range p.endpoints {
		p.endpoints[i].Hints = nil
	}
}

// stays takes over the hints of a slice that changes in nothing else, unless they are
// wrong by now: one has none, or is for a zone that needs none or would have too many.
// have, to which they are added, are those of other slices.
func (p *planned) stays(svc *corev1.Service, have map[string]int, allocations map[string]allocation) bool {
	if p.have == nil || len(p.have.Endpoints) != len(p.endpoints) {
		return false
	}
	mine := map[string]int{}
	for i, e := range p.have.Endpoints {
		if p.endpoints[i].Hints = e.Hints; !value(e.Conditions.Ready) {
			continue
		}
		if e.Hints == nil || len(e.Hints.ForZones) == 0 {
			p.unhint()
			return false
		}
		for _, z := range e.Hints.ForZones {
			mine[z.Name]++
		}
	}
	for zone, n := range mine {
		if a, ok := allocations[zone]; !ok || n+have[zone] > a.maximum {
			p.unhint()
			return false
		}
	}
	if p.changed(svc) {
		p.unhint()
		return false
	}
	for zone, n := range mine {
		have[zone] += n
	}
	return true
}

// give makes endpoints of zones that have too many be for those that have too few.
func (p *planned) give(giving, receiving map[string]int) {
	for i := range p.endpoints {
		e := &p.endpoints[i]
		if !value(e.Conditions.Ready) || giving[value(e.Zone)] == 0 {
			continue
		}
		for _, zone := range slices.Sorted(maps.Keys(receiving)) {
			if receiving[zone] > 0 {
				e.Hints = forZone(zone)
				giving[*e.Zone]--
				receiving[zone]--
				break
			}
		}
	}
}
