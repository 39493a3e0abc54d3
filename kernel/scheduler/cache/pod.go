package cache

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// podOf is what plugins can see of a pod that is on a node.
func podOf(o *corev1.Pod, u columns.Usage) columns.Pod {
	p := columns.Pod{Namespace: o.Namespace, Labels: o.Labels, Usage: u, Priority: PriorityOf(o), Terminating: o.DeletionTimestamp != nil}
	if o.Spec.PreemptionPolicy != nil {
		p.NeverPreempts = *o.Spec.PreemptionPolicy == corev1.PreemptNever
	}
	if o.Status.StartTime != nil {
		p.Started = uint32(max(o.Status.StartTime.Unix(), 0))
	}
	if x := o.Spec.Affinity; x != nil && (x.PodAffinity != nil || x.PodAntiAffinity != nil) {
		p.Affinity = func() string { return affinityRecord(x) }
	}
	return p
}

// PriorityOf is a pod's priority; 0 without one.
func PriorityOf(o *corev1.Pod) int32 {
	if o.Spec.Priority != nil {
		return *o.Spec.Priority
	}
	return 0
}

// affinityRecord is the affinity to other pods as plugins read it; "" if it has
// no such form, which a valid one has.
func affinityRecord(x *corev1.Affinity) string {
	b, err := encoder.Plan(nil).Append(nil, &corev1.Affinity{PodAffinity: x.PodAffinity, PodAntiAffinity: x.PodAntiAffinity})
	if err != nil {
		return ""
	}
	return string(b)
}

var encoder = record.NewEncoder(nil)

// equalCounted tells whether two states of a pod on the same node count alike.
func equalCounted(a, b *columns.Pod) bool {
	return equalUsage(&a.Usage, &b.Usage) && a.Terminating == b.Terminating && maps.Equal(a.Labels, b.Labels)
}

// equalInColumns tells whether they are alike, too, in what only columns over pods
// show. The affinity of a pod on a node does not change.
func equalInColumns(a, b *columns.Pod) bool {
	return a.Started == b.Started && a.Priority == b.Priority && a.NeverPreempts == b.NeverPreempts
}
