package evaluate

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Encode makes the record that plugins are given of a pod without a node; u is
// what the pod would take from one.
func Encode(p *corev1.Pod, u *columns.Usage) schedule.PodRecord {
	return schedule.EncodePod(infoOf(p, u))
}

// infoOf is what plugins are told of a pod.
func infoOf(p *corev1.Pod, u *columns.Usage) *schedule.PodInfo {
	s := &p.Spec
	info := &schedule.PodInfo{
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Labels: p.Labels, Annotations: p.Annotations,
		NodeName: s.NodeName, SchedulerName: s.SchedulerName, Priority: PriorityOf(p),
		Requests: u.Requests, NonZero: schedule.Resources{MilliCPU: u.NonZeroCPU, Memory: u.NonZeroMemory},
		NodeSelector: s.NodeSelector, Affinity: affinityOf(s.Affinity), Ports: u.Ports,
	}
	for _, t := range s.Tolerations {
		info.Tolerations = append(info.Tolerations, schedule.Toleration{Key: t.Key, Operator: string(t.Operator), Value: t.Value, Effect: string(t.Effect)})
	}
	for i := range s.InitContainers {
		info.Images = append(info.Images, s.InitContainers[i].Image)
	}
	for i := range s.Containers {
		info.Images = append(info.Images, s.Containers[i].Image)
	}
	for i := range s.Volumes {
		if v := s.Volumes[i].Image; v != nil {
			info.Images = append(info.Images, v.Reference)
		}
	}
	return info
}

// PriorityOf is a pod's priority; 0 without one.
func PriorityOf(p *corev1.Pod) int32 {
	if p.Spec.Priority != nil {
		return *p.Spec.Priority
	}
	return 0
}

func affinityOf(a *corev1.Affinity) *schedule.NodeAffinity {
	if a == nil || a.NodeAffinity == nil {
		return nil
	}
	out := &schedule.NodeAffinity{}
	if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		out.Required = make([]schedule.NodeTerm, len(r.NodeSelectorTerms))
		for i := range r.NodeSelectorTerms {
			out.Required[i] = termOf(&r.NodeSelectorTerms[i])
		}
	}
	for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		x := &a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i]
		out.Preferred = append(out.Preferred, schedule.PreferredTerm{Weight: x.Weight, Term: termOf(&x.Preference)})
	}
	return out
}

func termOf(t *corev1.NodeSelectorTerm) schedule.NodeTerm {
	return schedule.NodeTerm{Expressions: requirementsOf(t.MatchExpressions), Fields: requirementsOf(t.MatchFields)}
}

func requirementsOf(list []corev1.NodeSelectorRequirement) []schedule.Requirement {
	var out []schedule.Requirement
	for _, q := range list {
		out = append(out, schedule.Requirement{Key: q.Key, Operator: string(q.Operator), Values: q.Values})
	}
	return out
}
