package endpointslice

import (
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// overload is by how much more than its share of the traffic an endpoint may get.
const overload = 0.2

// Labels of nodes that no traffic is reckoned with.
var excluded = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// shares are the parts of the CPUs of all ready nodes that each zone has; nil when a node
// does not say where it is or what it has, or all are in one zone.
func shares(nodes map[string]*node) map[string]float64 {
	cpus, all := map[string]int64{}, int64(0)
	for _, n := range nodes {
		if !n.ready() || slices.ContainsFunc(excluded, func(l string) bool { _, has := n.Labels[l]; return has }) {
			continue
		}
		zone, cpu := n.Labels[corev1.LabelTopologyZone], int64(0)
		if q, ok := n.Status.Allocatable[corev1.ResourceCPU]; ok {
			cpu = q.MilliValue()
		}
		if zone == "" || cpu == 0 {
			return nil
		}
		cpus[zone] += cpu
		all += cpu
	}
	if len(cpus) < 2 {
		return nil
	}
	out := map[string]float64{}
	for zone, cpu := range cpus {
		out[zone] = float64(cpu) / float64(all)
	}
	return out
}

// allocation is how many endpoints a zone is to have.
type allocation struct {
	minimum, maximum int
	desired          float64
}

// allocate gives each zone endpoints by its share; why not, when there are too few.
func allocate(share map[string]float64, endpoints int) (out map[string]allocation, whyNot string) {
	switch {
	case share == nil:
		return nil, "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
	case len(share) > endpoints:
		return nil, fmt.Sprintf("Insufficient number of endpoints (%d endpoints, %d zones)", endpoints, len(share))
	}
	out, least := map[string]allocation{}, 0
	for zone, part := range share {
		desired := part * float64(endpoints)
		minimum := int(math.Ceil(desired / (1 + overload)))
		out[zone] = allocation{minimum: minimum, desired: max(desired, float64(minimum))}
		least += minimum
	}
	if least > endpoints {
		return nil, fmt.Sprintf("Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (%d endpoints, %d zones)", endpoints, len(share))
	}
	for zone, a := range out {
		a.maximum = a.minimum + endpoints - least
		out[zone] = a
	}
	return out, ""
}

// balance is how many endpoints each zone gives to others, and how many it receives.
func balance(allocations map[string]allocation, have map[string]int) (giving, receiving map[string]int) {
	over, under := map[string]float64{}, map[string]float64{}
	for zone, a := range allocations {
		if d := float64(have[zone]) - a.desired; d > 0 {
			over[zone] = d
		} else if d < 0 {
			under[zone] = -d
		}
	}
	giving, receiving = map[string]int{}, map[string]int{}
	for {
		from, more := most(over)
		to, less := most(under)
		if from == "" || to == "" || more < 1 && less < 1 || more < 0.5 || less < 0.5 {
			return giving, receiving
		}
		giving[from]++
		over[from]--
		receiving[to]++
		under[to]--
	}
}

func most(zones map[string]float64) (zone string, n float64) {
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		if zones[z] > n {
			zone, n = z, zones[z]
		}
	}
	return zone, n
}
