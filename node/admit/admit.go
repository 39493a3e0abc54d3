// Package admit decides whether a node takes up a pod that was bound to it. A
// scheduler has looked before, but a pod may name its node itself, two
// schedulers may not know of each other, and a node changes: the node has the
// last word, so that it is never filled beyond what it has. Reasons and
// messages are upstream's, which controllers and people look for.
//
// The package is pure. Who calls it, and in which order, is package pod's.
package admit

import (
	"fmt"
	"runtime"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/pintle-io/pintle/node/podspec"
)

// Node is what a decision needs to know of the node.
type Node struct {
	// Object is the node as the API has it: its labels and taints count.
	Object *corev1.Node
	// Allocatable is what pods may take in sum.
	Allocatable corev1.ResourceList
	// AppArmor is why profiles cannot be enforced; nil when they can.
	AppArmor error
	// StrictGroups tells that the runtime can keep a container out of the
	// groups that its image lists for the user.
	StrictGroups bool
	// Sysctls are allowed beside the safe ones. A name may end in "*".
	Sysctls []string
}

// Refusal is why a pod is not taken up. A pod that is refused has failed for
// good: whoever made it makes another one.
type Refusal struct {
	// Reason is a word, such as "OutOfcpu", and Message a sentence.
	Reason, Message string
	// Stale tells that a newer node object might lead to another decision.
	Stale bool
}

// Reasons of a refusal that are no predicate's name.
const (
	sysctlForbidden  = "SysctlForbidden"
	osLabelMismatch  = "PodOSSelectorNodeLabelDoesNotMatch"
	osNotSupported   = "PodOSNotSupported"
	strictGroups     = "SupplementalGroupsPolicyNotSupported"
	appArmor         = "AppArmor"
	outOf            = "OutOf"
	affinityMismatch = "node(s) didn't match Pod's node affinity/selector"
	nameMismatch     = "node(s) didn't match the requested node name"
	portsTaken       = "node(s) didn't have free ports for the requested pod ports"
	untolerated      = "node(s) had taints that the pod didn't tolerate"
)

// Check decides about pod beside others, which are those that have been taken
// up and are Active. It returns nil when the pod is taken up, and else the
// first reason why not, in upstream's order.
func Check(pod *corev1.Pod, others []*corev1.Pod, node *Node) *Refusal {
	for _, check := range []func(*corev1.Pod, []*corev1.Pod, *Node) *Refusal{
		sysctls, operatingSystem, groups, resources, placement, ports, taints, confinement,
	} {
		if r := check(pod, others, node); r != nil {
			return r
		}
	}
	return nil
}

// Active reports whether a pod that was taken up still takes something from
// its node: until it has ended and nothing of it runs.
func Active(pod *corev1.Pod) bool {
	if !podspec.Final(pod) || pod.DeletionTimestamp != nil {
		return true
	}
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range list {
			if s.State.Running != nil {
				return true
			}
		}
	}
	return false
}

// Known reports whether the API says of a pod that a node took it up: a node
// tells the time when it did. An agent that starts takes such a pod up again
// without asking, whatever has changed since.
func Known(pod *corev1.Pod) bool { return pod.Status.StartTime != nil && !podspec.Final(pod) }

func predicate(name, message string) *Refusal {
	return &Refusal{Reason: name, Message: fmt.Sprintf("Predicate %s failed: %s", name, message)}
}

func operatingSystem(pod *corev1.Pod, _ []*corev1.Pod, _ *Node) *Refusal {
	if label, ok := pod.Labels[corev1.LabelOSStable]; ok && label != runtime.GOOS {
		return &Refusal{Reason: osLabelMismatch, Message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}
	}
	if pod.Spec.OS != nil && string(pod.Spec.OS.Name) != runtime.GOOS {
		return &Refusal{Reason: osNotSupported, Message: "Failed to admit pod as the OS field doesn't match node OS"}
	}
	return nil
}

func groups(pod *corev1.Pod, _ []*corev1.Pod, node *Node) *Refusal {
	sc := pod.Spec.SecurityContext
	if node.StrictGroups || sc == nil || sc.SupplementalGroupsPolicy == nil ||
		*sc.SupplementalGroupsPolicy != corev1.SupplementalGroupsPolicyStrict {
		return nil
	}
	return &Refusal{Reason: strictGroups, Message: "SupplementalGroupsPolicy=Strict is not supported in this node"}
}

func placement(pod *corev1.Pod, _ []*corev1.Pod, node *Node) *Refusal {
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node.Object); err != nil || !ok {
		r := predicate("NodeAffinity", affinityMismatch)
		r.Stale = true
		return r
	}
	if pod.Spec.NodeName != "" && pod.Spec.NodeName != node.Object.Name {
		return predicate("NodeName", nameMismatch)
	}
	return nil
}

// taints that keep new pods away (NoSchedule) are the scheduler's matter: a
// pod that names its node has not asked it.
func taints(pod *corev1.Pod, _ []*corev1.Pod, node *Node) *Refusal {
	_, found := schedulinghelper.FindMatchingUntoleratedTaint(logr.Discard(), node.Object.Spec.Taints, pod.Spec.Tolerations,
		func(t *corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }, true)
	if !found {
		return nil
	}
	r := predicate("TaintToleration", untolerated)
	r.Stale = true
	return r
}

// confinement: a pod that asks for AppArmor does not run without. Whether the
// profile is loaded the runtime finds out.
func confinement(pod *corev1.Pod, _ []*corev1.Pod, node *Node) *Refusal {
	if node.AppArmor == nil || !wantsAppArmor(pod) {
		return nil
	}
	return &Refusal{Reason: appArmor, Message: fmt.Sprintf("Cannot enforce AppArmor: %v", node.AppArmor)}
}

func wantsAppArmor(pod *corev1.Pod) bool {
	confined := func(p *corev1.AppArmorProfile) bool {
		return p != nil && p.Type != corev1.AppArmorProfileTypeUnconfined
	}
	if sc := pod.Spec.SecurityContext; sc != nil && confined(sc.AppArmorProfile) {
		return true
	}
	for _, c := range podspec.Containers(pod) {
		if sc := c.SecurityContext; sc != nil && confined(sc.AppArmorProfile) {
			return true
		}
	}
	return false
}
