package nodelifecycle

import (
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// labelExcludeDisruption keeps a node from being counted.
const labelExcludeDisruption = "node.kubernetes.io/exclude-disruption"

// disruption rules, upstream's by default: how fast nodes that are not ready
// may be emptied.
type disruptionRules struct {
	unhealthy float64 // the part of a zone that must be not ready for it to count as disrupted
	large     int     // zones of more nodes go on at the secondary rate when they are disrupted; others stop
	rate      float64 // nodes a second and zone
	secondary float64
}

// zones knows how many nodes of each zone are ready, and meters which of the
// others may be emptied: when many fail at once, the fault is more likely on
// the way to them than theirs. It is upstream's node lifecycle controller:
//
//   - a zone that is well empties one node in 1/rate seconds;
//   - of a zone in partial disruption (three nodes at least, and the part
//     "unhealthy" of all, are not ready) nodes are emptied at the secondary
//     rate, or not at all when it is small;
//   - when no node of any zone is ready, nothing is emptied: see full.
//
// https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
type zones struct {
	rules disruptionRules
	nodes map[string]member
	zones map[string]*zone
	// full is the full disruption: no node is ready, nowhere.
	full bool
}

type member struct {
	zone  string
	ready bool
}

type zone struct {
	ready, notReady int
	rate            float64
	next            time.Time // when the next node may be emptied
	waiting         []string  // nodes that are to be emptied, first come, first served
}

func newZones(r disruptionRules) *zones {
	return &zones{rules: r, nodes: map[string]member{}, zones: map[string]*zone{}}
}

// zoneOf names a node's zone, by the older labels where it has them; excluded nodes have
// none.
func zoneOf(node *nodeState) (name string, counts bool) {
	if _, excluded := node.Labels[labelExcludeDisruption]; excluded {
		return "", false
	}
	first := func(older, newer string) string {
		if v, ok := node.Labels[older]; ok {
			return v
		}
		return node.Labels[newer]
	}
	return first(corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion) + ":\x00:" + first(corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone), true
}

// observe notes a node's place and readiness.
func (z *zones) observe(node *nodeState, ready bool) {
	name, counts := zoneOf(node)
	was, known := z.nodes[node.Name]
	if known && counts && was == (member{name, ready}) {
		return
	}
	if known && (!counts || was.zone != name) {
		z.remove(node.Name)
		known = false
	}
	if !counts {
		return
	}
	at := z.zones[name]
	if at == nil {
		at = &zone{rate: z.rules.rate}
		z.zones[name] = at
	}
	if known {
		at.count(was.ready, -1)
	}
	at.count(ready, 1)
	z.nodes[node.Name] = member{name, ready}
}

func (z *zone) count(ready bool, n int) {
	if ready {
		z.ready += n
	} else {
		z.notReady += n
	}
}

// remove forgets a node.
func (z *zones) remove(name string) {
	m, ok := z.nodes[name]
	if !ok {
		return
	}
	z.cancel(name)
	at := z.zones[m.zone]
	at.count(m.ready, -1)
	delete(z.nodes, name)
	if at.ready+at.notReady == 0 {
		delete(z.zones, m.zone)
	}
}

// shift is what updateRates found to have changed.
type shift struct {
	entered, left bool     // the full disruption
	again         []string // nodes that must be looked at again
}

// updateRates brings the rates in line with what was observed.
func (z *zones) updateRates(now time.Time) shift {
	var s shift
	ready := 0
	for _, at := range z.zones {
		ready += at.ready
	}
	full := ready == 0 && len(z.nodes) > 0
	s.entered, s.left = full && !z.full, z.full && !full
	z.full = full
	for _, at := range z.zones {
		rate := z.rules.in(at)
		if s.left {
			at.next = now // upstream resets its limiters
		}
		if rate != at.rate && !s.entered {
			s.again = append(s.again, at.waiting...)
		}
		at.rate = rate
		if s.entered {
			at.waiting = nil
		}
	}
	if s.entered || s.left {
		for name := range z.nodes {
			s.again = append(s.again, name)
		}
	}
	slices.Sort(s.again)
	s.again = slices.Compact(s.again)
	return s
}

// in is the rate at which nodes of a zone may be emptied while others have
// ready nodes.
func (r *disruptionRules) in(at *zone) float64 {
	all := at.ready + at.notReady
	switch {
	case at.ready == 0:
		return r.rate // the whole zone is gone, and other zones are not
	case at.notReady > 2 && float64(at.notReady) >= r.unhealthy*float64(all):
		if all > r.large {
			return r.secondary
		}
		return 0
	}
	return r.rate
}

// admit tells whether a node may be emptied now; otherwise in which time to ask
// again, 0 for when updateRates says so.
func (z *zones) admit(name string, now time.Time) (ok bool, wait time.Duration) {
	m, known := z.nodes[name]
	if !known {
		return true, 0 // it does not count, so it is nobody's sign of a disruption
	}
	if z.full {
		return false, 0
	}
	at := z.zones[m.zone]
	place := slices.Index(at.waiting, name)
	if place < 0 {
		place = len(at.waiting)
		at.waiting = append(at.waiting, name)
	}
	if at.rate <= 0 {
		return false, 0
	}
	every := time.Duration(float64(time.Second) / at.rate)
	if place > 0 || now.Before(at.next) {
		return false, max(at.next.Sub(now), 0) + time.Duration(place)*every + time.Millisecond
	}
	at.waiting = slices.Delete(at.waiting, 0, 1)
	at.next = now.Add(every)
	return true, 0
}

// cancel takes back that a node is to be emptied.
func (z *zones) cancel(name string) {
	if at := z.zones[z.nodes[name].zone]; at != nil {
		if i := slices.Index(at.waiting, name); i >= 0 {
			at.waiting = slices.Delete(at.waiting, i, i+1)
		}
	}
}
