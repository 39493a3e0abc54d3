package status

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
)

// Reasons of conditions.
const (
	podCompleted          = "PodCompleted"
	podFailed             = "PodFailed"
	containersNotReady    = "ContainersNotReady"
	containersNotInit     = "ContainersNotInitialized"
	readinessGatesUnready = "ReadinessGatesNotReady"
)

// Owned reports whether the node sets a condition, and nobody else.
func Owned(t corev1.PodConditionType) bool { return owned[t] }

// owned are the conditions that the node sets; others are left alone.
var owned = map[corev1.PodConditionType]bool{
	corev1.PodScheduled: true, corev1.PodInitialized: true, corev1.ContainersReady: true,
	corev1.PodReady: true, corev1.PodReadyToStartContainers: true, corev1.AllContainersRestarting: true,
	corev1.PodResizePending: true, corev1.PodResizeInProgress: true,
}

func conditions(in Input, s *corev1.PodStatus) []corev1.PodCondition {
	old := in.Pod.Status.Conditions
	var out []corev1.PodCondition
	for _, c := range old {
		if !owned[c.Type] {
			out = append(out, c)
		}
	}
	containers := containersReady(in, s)
	own := []corev1.PodCondition{
		readyToStart(in), initialized(in, s), ready(in, s, containers), containers,
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
	}
	if plan.CouldReset(in.Pod) {
		own = append(own, restarting(in))
	}
	for _, c := range own {
		c.ObservedGeneration = in.Pod.Generation
		c.LastTransitionTime = metav1.NewTime(in.Now)
		for _, o := range old {
			if o.Type == c.Type && o.Status == c.Status {
				c.LastTransitionTime, c.LastProbeTime = o.LastTransitionTime, o.LastProbeTime
			}
		}
		out = append(out, c)
	}
	return append(out, resizing(in, s)...)
}

// resizing are the conditions that only a pod has that is being resized. They
// know of which generation they are.
func resizing(in Input, s *corev1.PodStatus) []corev1.PodCondition {
	if final(s.Phase) {
		return nil
	}
	var out []corev1.PodCondition
	if in.Pending != nil {
		out = append(out, in.Pending.Of(corev1.PodResizePending))
	}
	if in.Resizing != nil {
		out = append(out, in.Resizing.Of(corev1.PodResizeInProgress))
	}
	return out
}

func condition(t corev1.PodConditionType, ok bool, reason, message string) corev1.PodCondition {
	c := corev1.PodCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	return c
}

// readyToStart: the sandbox stands and the pod has its addresses.
func readyToStart(in Input) corev1.PodCondition {
	s := in.Observed.ReadySandbox()
	return condition(corev1.PodReadyToStartContainers,
		s != nil && (podspec.HostNetwork(in.Pod) || len(s.IPs) > 0) && !in.Plan.TearDown, "", "")
}

// restarting: a container ended whose rule restarts all of them, and the first
// has not been started anew yet.
func restarting(in Input) corev1.PodCondition {
	if in.Plan.Restarting {
		return condition(corev1.AllContainersRestarting, true, "RestartAllContainersStarted", "container exited with restart policy rule")
	}
	return condition(corev1.AllContainersRestarting, false, "", "")
}

func initialized(in Input, s *corev1.PodStatus) corev1.PodCondition {
	const t = corev1.PodInitialized
	if s.Phase == corev1.PodSucceeded {
		return condition(t, true, podCompleted, "")
	}
	if inits(in) {
		return condition(t, true, "", "")
	}
	var open []string
	for i := range in.Pod.Spec.InitContainers {
		c, cs := &in.Pod.Spec.InitContainers[i], &s.InitContainerStatuses[i]
		switch {
		case podspec.IsSidecar(c):
			if cs.Started == nil || !*cs.Started {
				open = append(open, c.Name)
			}
		case !cs.Ready:
			open = append(open, c.Name)
		}
	}
	if len(open) == 0 {
		return condition(t, true, "", "")
	}
	return condition(t, false, containersNotInit, names(open, "incomplete"))
}

func containersReady(in Input, s *corev1.PodStatus) corev1.PodCondition {
	const t = corev1.ContainersReady
	if c, over := ended(t, s.Phase); over {
		return c
	}
	var unready []string
	for i := range in.Pod.Spec.InitContainers {
		if c := &in.Pod.Spec.InitContainers[i]; podspec.IsSidecar(c) && !s.InitContainerStatuses[i].Ready {
			unready = append(unready, c.Name)
		}
	}
	for _, cs := range s.ContainerStatuses {
		if !cs.Ready {
			unready = append(unready, cs.Name)
		}
	}
	if len(unready) == 0 {
		return condition(t, true, "", "")
	}
	return condition(t, false, containersNotReady, names(unready, "unready"))
}

func ended(t corev1.PodConditionType, p corev1.PodPhase) (corev1.PodCondition, bool) {
	switch p {
	case corev1.PodSucceeded:
		return condition(t, false, podCompleted, ""), true
	case corev1.PodFailed:
		return condition(t, false, podFailed, ""), true
	}
	return corev1.PodCondition{}, false
}

// ready is containersReady and every readiness gate.
func ready(in Input, s *corev1.PodStatus, containers corev1.PodCondition) corev1.PodCondition {
	const t = corev1.PodReady
	if c, over := ended(t, s.Phase); over {
		return c
	}
	if containers.Status != corev1.ConditionTrue {
		return condition(t, false, containers.Reason, containers.Message)
	}
	var faults []string
	for _, g := range in.Pod.Spec.ReadinessGates {
		found := false
		for _, c := range in.Pod.Status.Conditions {
			if c.Type == g.ConditionType {
				found = true
				if c.Status != corev1.ConditionTrue {
					faults = append(faults, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %v", g.ConditionType, c.Status))
				}
			}
		}
		if !found {
			faults = append(faults, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", g.ConditionType))
		}
	}
	if len(faults) > 0 {
		return condition(t, false, readinessGatesUnready, strings.Join(faults, ", "))
	}
	return condition(t, true, "", "")
}

func names(open []string, what string) string {
	return fmt.Sprintf("containers with %s status: %s", what, open)
}
