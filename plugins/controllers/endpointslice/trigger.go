package endpointslice

import (
	"maps"
	"time"

	"github.com/pintle-io/pintle/plugins/backends"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
)

// trigger notes in a slice that is written what that is because of: clients tell from it
// how long it took. Zero: of nothing that has a time.
func trigger(s *discoveryv1.EndpointSlice, at time.Time) *discoveryv1.EndpointSlice {
	s.Annotations = maps.Clone(s.Annotations)
	delete(s.Annotations, corev1.EndpointsLastChangeTriggerTime)
	if at.IsZero() {
		return s
	}
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[corev1.EndpointsLastChangeTriggerTime] = at.UTC().Format(time.RFC3339Nano)
	return s
}

// triggered is when that happened which the slices have not shown yet: the creation of
// the Service, or the first change of readiness among pods that have come, or have got
// or lost it. Zero is neither of these. Upstream remembers times to tell what is new; what
// is stored tells it as well.
func triggered(svc *corev1.Service, pods []*backends.Pod, have []*discoveryv1.EndpointSlice) time.Time {
	if len(have) == 0 {
		return svc.CreationTimestamp.Time()
	}
	was := map[string]bool{} // whether a pod was ready, by uid
	for _, s := range have {
		for _, e := range s.Endpoints {
			if e.TargetRef != nil {
				was[e.TargetRef.UID] = value(e.Conditions.Serving)
			}
		}
	}
	var first time.Time
	for _, p := range pods {
		at := p.ReadinessChanged()
		if ready, known := was[p.UID]; at.IsZero() || known && ready == p.Ready() {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}
