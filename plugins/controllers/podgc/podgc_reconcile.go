package podgc

import (
	"cmp"
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// outOfService is the taint by which an admin says that a node is off for good, so that
// nothing of its pods can still run.
const outOfService = "node.kubernetes.io/out-of-service"

// node is what counts of one.
type node struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Taints []struct {
			Key string `json:"key"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   corev1.NodeConditionType `json:"type"`
			Status corev1.ConditionStatus   `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

// APIResource makes a node a client.Object.
func (*node) APIResource() string { return "v1/nodes" }

// outOfService tells whether the node is said to be off for good, and is not ready.
func (n *node) outOfService() bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	for _, t := range n.Spec.Taints {
		if t.Key == outOfService {
			return true
		}
	}
	return false
}

// pod is what counts of one that may be garbage.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase       `json:"phase"`
		Conditions []corev1.PodCondition `json:"conditions"`
	} `json:"status"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// held tells that only finalizers keep the pod: to delete it once more changes nothing.
func (p *pod) held() bool {
	return p.DeletionTimestamp != nil && p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0
}

// failed is the patch of a pod's status that makes it Failed; why, unless it is "", is
// said in the condition DisruptionTarget.
func failed(p *pod, why string, now time.Time) map[string]any {
	status := map[string]any{"phase": corev1.PodFailed, "observedGeneration": p.Generation}
	if why != "" {
		status["conditions"] = []corev1.PodCondition{disruption(p, why, now)}
	}
	return map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status}
}

// disruption is the condition that says why a pod is removed; it keeps its time if it is
// true already.
func disruption(p *pod, why string, now time.Time) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC", Message: why,
		ObservedGeneration: p.Generation, LastTransitionTime: metav1.NewTime(now)}
	for _, old := range p.Status.Conditions {
		if old.Type == c.Type && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return c
}

// ended is what counts of a pod that has ended. There are many, so it holds nothing else.
type ended struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Phase  corev1.PodPhase `json:"phase"`
		Reason string          `json:"reason"`
	} `json:"status"`
}

// APIResource makes an ended pod a client.Object.
func (*ended) APIResource() string { return "v1/pods" }

func (p *ended) evicted() bool {
	return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted"
}

// surplus are the pods that go so that as many stay as are kept: those that their nodes
// have evicted first, which no controller counts, then the oldest.
func surplus(pods []*ended, keep int) []*ended {
	n := len(pods) - keep
	if n <= 0 {
		return nil
	}
	order := slices.Clone(pods)
	slices.SortFunc(order, func(a, b *ended) int {
		if a.evicted() != b.evicted() {
			if a.evicted() {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	return order[:n]
}
