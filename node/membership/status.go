package membership

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// maxImages bounds node.status.images, as upstream.
const maxImages = 50

// status is the node's status now; old is the one before, or nil.
func (m *Member) status(ctx context.Context, old *corev1.NodeStatus) corev1.NodeStatus {
	var s corev1.NodeStatus
	if old != nil {
		s = *old.DeepCopy()
	}
	s.Addresses, s.NodeInfo, s.DeclaredFeatures = m.cfg.Addresses, m.cfg.Info, m.cfg.DeclaredFeatures
	s.Allocatable = advertised(s.Capacity, m.cfg.Allocatable)
	s.Capacity = advertised(s.Capacity, m.cfg.Capacity)
	s.DaemonEndpoints.KubeletEndpoint.Port = m.cfg.Port
	if m.cfg.Images != nil {
		s.Images = m.cfg.Images(ctx)
		s.Images = s.Images[:min(len(s.Images), maxImages)]
	}
	h := m.cfg.Health(ctx)
	now := metav1.NewTime(m.cfg.Clock.Now())
	for _, c := range conditions(h) {
		c.LastHeartbeatTime, c.LastTransitionTime = now, now
		set(&s.Conditions, c)
	}
	return s
}

// advertised is what the node says of its resources, with what others have said
// of it: a capacity of something that the node knows nothing about, such as
// "example.com/dongle". Of that all is allocatable, as upstream.
func advertised(capacity, own corev1.ResourceList) corev1.ResourceList {
	out := own.DeepCopy()
	for name, q := range capacity {
		if _, ok := own[name]; !ok && podspec.ExtendedResource(name) {
			out[name] = q
		}
	}
	return out
}

// set replaces a condition of the same type, keeping when it last turned.
func set(list *[]corev1.NodeCondition, c corev1.NodeCondition) {
	for i := range *list {
		if have := &(*list)[i]; have.Type == c.Type {
			if have.Status == c.Status {
				c.LastTransitionTime = have.LastTransitionTime
			}
			*have = c
			return
		}
	}
	*list = append(*list, c)
}

// conditions are in upstream's words.
func conditions(h Health) []corev1.NodeCondition {
	pressure := func(t corev1.NodeConditionType, bad bool, reasons, messages [2]string) corev1.NodeCondition {
		if bad {
			return corev1.NodeCondition{Type: t, Status: corev1.ConditionTrue, Reason: reasons[1], Message: messages[1]}
		}
		return corev1.NodeCondition{Type: t, Status: corev1.ConditionFalse, Reason: reasons[0], Message: messages[0]}
	}
	out := []corev1.NodeCondition{
		pressure(corev1.NodeMemoryPressure, h.Memory,
			[2]string{"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
			[2]string{"kubelet has sufficient memory available", "kubelet has insufficient memory available"}),
		pressure(corev1.NodeDiskPressure, h.Disk,
			[2]string{"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
			[2]string{"kubelet has no disk pressure", "kubelet has disk pressure"}),
		pressure(corev1.NodePIDPressure, h.PIDs,
			[2]string{"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
			[2]string{"kubelet has sufficient PID available", "kubelet has insufficient PID available"}),
		pressure(corev1.NodeNetworkUnavailable, !h.Network,
			[2]string{"NetworkConfigured", "NetworkNotConfigured"},
			[2]string{"the pod network is configured", "the pod network is not configured yet"}),
	}
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		Reason: "KubeletReady", Message: "kubelet is posting ready status"}
	if !h.Runtime || !h.Network {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "KubeletNotReady", h.Message
	}
	return append(out, ready)
}
