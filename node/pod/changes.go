package pod

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/status"
)

// shownChanged tells whether volumes of the downward API may have to show
// something else.
func shownChanged(a, b *corev1.Pod) bool {
	return !reflect.DeepEqual(a.Labels, b.Labels) || !reflect.DeepEqual(a.Annotations, b.Annotations) || !reflect.DeepEqual(a.Spec, b.Spec)
}

// needsLook tells whether a change is more than the echo of our own status.
func needsLook(a, b *corev1.Pod) bool {
	if a.Generation != b.Generation || (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) || a.Status.Phase != b.Status.Phase {
		return true
	}
	return shownChanged(a, b) || !reflect.DeepEqual(a.DeletionGracePeriodSeconds, b.DeletionGracePeriodSeconds) ||
		!reflect.DeepEqual(foreign(a), foreign(b))
}

// foreign are the conditions that others set, as readiness gates are.
func foreign(p *corev1.Pod) map[corev1.PodConditionType]corev1.ConditionStatus {
	out := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, c := range p.Status.Conditions {
		if !status.Owned(c.Type) {
			out[c.Type] = c.Status
		}
	}
	return out
}
