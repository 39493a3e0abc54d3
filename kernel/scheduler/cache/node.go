package cache

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// nodeOf is what plugins are told of a node.
func nodeOf(n *corev1.Node) columns.Node {
	out := columns.Node{
		Name: n.Name, Labels: n.Labels, Unschedulable: n.Spec.Unschedulable,
		Allocatable: amounts(n.Status.Allocatable), Pods: n.Status.Allocatable.Pods().Value(),
	}
	for _, t := range n.Spec.Taints {
		out.Taints = append(out.Taints, columns.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	for _, m := range n.Status.Images {
		out.Images = append(out.Images, columns.Image{Names: m.Names, Size: m.SizeBytes})
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return out
}

// nodeChange tells what differs between two states of a node.
func nodeChange(old, now *columns.Node) (e schedule.ClusterEvent, same bool) {
	if !equalAmounts(&old.Allocatable, &now.Allocatable) || old.Pods != now.Pods {
		e |= schedule.NodeAllocatableChanged
	}
	if !maps.Equal(old.Labels, now.Labels) {
		e |= schedule.NodeLabelsChanged
	}
	if !slices.Equal(old.Taints, now.Taints) {
		e |= schedule.NodeTaintsChanged
	}
	if old.Unschedulable != now.Unschedulable {
		e |= schedule.NodeUnschedulableChanged
	}
	if old.Ready != now.Ready {
		e |= schedule.NodeReadyChanged
	}
	images := slices.EqualFunc(old.Images, now.Images, func(a, b columns.Image) bool {
		return a.Size == b.Size && slices.Equal(a.Names, b.Names)
	})
	return e, e == 0 && images
}

func equalAmounts(a, b *columns.Resources) bool {
	return a.MilliCPU == b.MilliCPU && a.Memory == b.Memory && a.Ephemeral == b.Ephemeral && slices.Equal(a.Extended, b.Extended)
}
