package nodelifecycle

import (
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// The taints of nodes in trouble, well known upstream.
const (
	taintNotReady      = "node.kubernetes.io/not-ready"
	taintUnreachable   = "node.kubernetes.io/unreachable"
	taintUnschedulable = "node.kubernetes.io/unschedulable"
)

// pressure are the taints of conditions that keep new pods away.
var pressure = map[corev1.NodeConditionType]string{
	corev1.NodeMemoryPressure:     "node.kubernetes.io/memory-pressure",
	corev1.NodeDiskPressure:       "node.kubernetes.io/disk-pressure",
	corev1.NodePIDPressure:        "node.kubernetes.io/pid-pressure",
	corev1.NodeNetworkUnavailable: "node.kubernetes.io/network-unavailable",
}

func readyOf(node *nodeState) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func isReady(node *nodeState) bool {
	r := readyOf(node)
	return r != nil && r.Status == corev1.ConditionTrue
}

// reported are the conditions that only the node's agent can know.
var reported = []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure}

// lostConditions sets what the agent reports to Unknown.
func lostConditions(node *nodeState, now time.Time) []corev1.NodeCondition {
	out := append([]corev1.NodeCondition(nil), node.Status.Conditions...)
	for _, t := range reported {
		c := condition(&out, t)
		if c.Status == corev1.ConditionUnknown {
			continue
		}
		c.Reason, c.Message = "NodeStatusUnknown", "Kubelet stopped posting node status."
		if c.Status == "" {
			c.Reason, c.Message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
			c.LastHeartbeatTime = node.CreationTimestamp
		}
		c.Status, c.LastTransitionTime = corev1.ConditionUnknown, metav1.NewTime(now)
	}
	return out
}

func condition(list *[]corev1.NodeCondition, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range *list {
		if (*list)[i].Type == t {
			return &(*list)[i]
		}
	}
	*list = append(*list, corev1.NodeCondition{Type: t})
	return &(*list)[len(*list)-1]
}

// taints are the node's taints with ours in line with its conditions; empties
// says whether a node that is not ready has the one by which its pods are
// evicted. One that is there keeps its time: tolerations count from it.
func taints(node *nodeState, empties bool, now time.Time) []corev1.Taint {
	want := wanted(node, empties)
	have := map[corev1.Taint]bool{}
	var out []corev1.Taint
	for _, t := range node.Spec.Taints {
		id := corev1.Taint{Key: t.Key, Effect: t.Effect}
		if ours(t) {
			if !slices.Contains(want, id) || have[id] {
				continue
			}
			have[id] = true
		}
		out = append(out, t)
	}
	at := metav1.NewTime(now)
	for _, t := range want {
		if !have[t] {
			t.TimeAdded = &at
			out = append(out, t)
		}
	}
	return out
}

// wanted are the taints that a node's conditions ask for, without values.
func wanted(node *nodeState, empties bool) []corev1.Taint {
	var out []corev1.Taint
	key := ""
	switch r := readyOf(node); {
	case r == nil:
		key = taintNotReady // it never reported: it is still starting
	case r.Status == corev1.ConditionUnknown:
		key = taintUnreachable
	case r.Status == corev1.ConditionFalse:
		key = taintNotReady
	}
	if key != "" {
		out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		if empties {
			out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
		}
	}
	for _, c := range node.Status.Conditions {
		if key := pressure[c.Type]; key != "" && c.Status == corev1.ConditionTrue {
			out = append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
	}
	if node.Spec.Unschedulable {
		out = append(out, corev1.Taint{Key: taintUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	return out
}

// ours tells whether a taint is this controller's to give and take.
func ours(t corev1.Taint) bool {
	switch t.Key {
	case taintNotReady, taintUnreachable:
		return t.Effect == corev1.TaintEffectNoExecute || t.Effect == corev1.TaintEffectNoSchedule
	case taintUnschedulable:
		return t.Effect == corev1.TaintEffectNoSchedule
	}
	for _, key := range pressure {
		if t.Key == key {
			return t.Effect == corev1.TaintEffectNoSchedule
		}
	}
	return false
}

// notReady is a pod that was ready and of which nobody knows it any more. What else its
// condition says stays, as upstream has it.
func notReady(p *corev1.Pod, now time.Time) *corev1.Pod {
	p = client.Clone(p)
	c := p.Condition(corev1.PodReady)
	c.Status, c.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(now)
	return p
}
