package nodes

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// step is what happens to a pod; a pod goes through them in this order.
type step int

const (
	none step = iota
	bind
	run
	end
	remove
)

func (s step) String() string {
	return [...]string{"leave", "bind", "run", "end", "remove"}[s]
}

// next is the next step of a pod.
func next(p *corev1.Pod) step {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	switch {
	case p.DeletionTimestamp != nil && (p.DeletionGracePeriodSeconds == nil || *p.DeletionGracePeriodSeconds > 0):
		return remove
	case p.DeletionTimestamp != nil || ended:
		return none
	case p.Spec.NodeName == "":
		return bind
	case p.Status.Phase != corev1.PodRunning:
		return run
	case p.Spec.RestartPolicy != corev1.RestartPolicyAlways:
		return end
	}
	return none
}

// target is the node that a pod asks for by name, as those of DaemonSets do;
// "" if none.
func target(p *corev1.Pod) string {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range t.MatchFields {
			if f.Key == metav1.ObjectNameField && f.Operator == corev1.NodeSelectorOpIn && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}

// do makes a step.
func (n *Nodes) do(ctx context.Context, t task) error {
	p := t.pod
	pods := n.client.CoreV1().Pods(p.Namespace)
	switch t.step {
	case bind:
		name := target(p)
		if name == "" {
			name = Name(int(n.next.Add(1)) % n.count)
		}
		return pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
			Target: corev1.ObjectReference{Kind: "Node", Name: name}}, metav1.CreateOptions{})
	case remove:
		now := int64(0)
		return pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID}})
	case run, end:
		status := running(p)
		if t.step == end {
			status = succeeded(p)
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
		if err != nil {
			return err
		}
		_, err = pods.Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	}
	return nil
}

// running is the status of a pod all of whose containers run.
func running(p *corev1.Pod) corev1.PodStatus {
	now, started := metav1.Now(), true
	s := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, HostIP: "10.0.0.1", PodIP: address(p.UID)}
	s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	s.Conditions = conditions(now, corev1.ConditionTrue, "")
	for _, c := range p.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &started, ContainerID: "sim://" + string(p.UID) + "/" + c.Name,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return s
}

// succeeded is the status of a pod all of whose containers ended well.
func succeeded(p *corev1.Pod) corev1.PodStatus {
	now, started := metav1.Now(), false
	s := corev1.PodStatus{Phase: corev1.PodSucceeded}
	s.Conditions = conditions(now, corev1.ConditionFalse, "PodCompleted")
	for _, c := range p.Spec.Containers {
		id := "sim://" + string(p.UID) + "/" + c.Name
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Started: &started, ContainerID: id,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: id}},
		})
	}
	return s
}

func conditions(now metav1.Time, ready corev1.ConditionStatus, reason string) (list []corev1.PodCondition) {
	for _, t := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized} {
		list = append(list, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, t := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		list = append(list, corev1.PodCondition{Type: t, Status: ready, Reason: reason, LastTransitionTime: now})
	}
	return list
}

// address derives a pod's address from its UID.
func address(uid types.UID) string {
	h := uint32(2166136261)
	for i := range len(uid) {
		h = (h ^ uint32(uid[i])) * 16777619
	}
	return fmt.Sprintf("10.%d.%d.%d", 128+h>>16&127, h>>8&255, 1+h%254)
}
