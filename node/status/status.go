// Package status computes the status of a pod that the API is told: phase,
// conditions, container states and addresses, in upstream's words, which
// controllers and people rely on. It is pure.
package status

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// Health is what the probes say about a running instance.
type Health struct{ Started, Ready bool }

// Input is all that a status depends on.
type Input struct {
	// Pod is as the API has it, but with the resources that its node has
	// allocated; its status is the one before.
	Pod      *corev1.Pod
	Observed *state.Pod
	Plan     plan.Plan
	// Failures explain containers whose last start failed, by name.
	Failures map[string]plan.Waiting
	Health   func(id string) Health
	// Runtime is the scheme of container ids, such as "containerd".
	Runtime string
	NodeIPs []string
	// Pending is a resize that waits for room, Resizing one that is under way;
	// nil for none.
	Pending, Resizing *resize.Condition
	// Whole is what bounds the pod as a whole at present; nil for nothing.
	Whole *corev1.ResourceRequirements
	// Ended tells that the pod is being deleted and nothing of it runs: its
	// phase becomes final whatever its restart policy.
	Ended bool
	Now   time.Time
}

// Make computes the status.
func Make(in Input) corev1.PodStatus {
	old := &in.Pod.Status
	s := others(old)
	s.QOSClass, s.StartTime, s.ObservedGeneration = podspec.QOS(in.Pod), old.StartTime, in.Pod.Generation
	if s.StartTime == nil {
		t := metav1.NewTime(in.Now)
		s.StartTime = &t
	}
	whole(&s, in)
	m := maker{in}
	s.InitContainerStatuses = m.containers(in.Pod.Spec.InitContainers, old.InitContainerStatuses, true)
	s.ContainerStatuses = m.containers(in.Pod.Spec.Containers, old.ContainerStatuses, false)
	var debug []corev1.Container
	for _, e := range in.Pod.Spec.EphemeralContainers {
		debug = append(debug, corev1.Container(e.EphemeralContainerCommon))
	}
	s.EphemeralContainerStatuses = m.containers(debug, old.EphemeralContainerStatuses, false)
	shareMessages(in.Pod, &s)
	addresses(&s, in)
	s.Phase = phase(in, &s)
	if s.Phase == old.Phase {
		s.Reason, s.Message = old.Reason, old.Message
	}
	if in.Plan.Reason != "" {
		s.Reason, s.Message = in.Plan.Reason, in.Plan.Message
	}
	s.Conditions = conditions(in, &s)
	return s
}

// others keeps what other components write: what a status lacks is removed.
func others(old *corev1.PodStatus) corev1.PodStatus {
	return corev1.PodStatus{
		NominatedNodeName:                    old.NominatedNodeName,
		ResourceClaimStatuses:                old.ResourceClaimStatuses,
		ExtendedResourceClaimStatus:          old.ExtendedResourceClaimStatus,
		NodeAllocatableResourceClaimStatuses: old.NodeAllocatableResourceClaimStatuses,
	}
}

// inits reports whether initialization is over: a regular container exists.
func inits(in Input) bool {
	return slices.ContainsFunc(in.Pod.Spec.Containers, func(c corev1.Container) bool { return in.Observed.Latest(c.Name) != nil })
}

func addresses(s *corev1.PodStatus, in Input) {
	if len(in.NodeIPs) > 0 {
		s.HostIP = in.NodeIPs[0]
		for _, ip := range in.NodeIPs {
			s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip})
		}
	}
	sandbox := in.Observed.ReadySandbox()
	var ips []string
	switch {
	case podspec.HostNetwork(in.Pod):
		if sandbox != nil || in.Pod.Status.PodIP != "" {
			ips = in.NodeIPs
		}
	case sandbox != nil:
		ips = sandbox.IPs
	}
	for _, ip := range ips {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(ips) > 0 {
		s.PodIP = ips[0]
	} else if final(in.Pod.Status.Phase) || in.Plan.Outcome != plan.Living || in.Ended {
		// A pod that has ended still says where it was.
		s.PodIP, s.PodIPs = in.Pod.Status.PodIP, in.Pod.Status.PodIPs
	}
}

func final(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }

// phase follows upstream: Pending until every container has been started,
// then Running, until none will run any more.
func phase(in Input, s *corev1.PodStatus) corev1.PodPhase {
	if final(in.Pod.Status.Phase) {
		return in.Pod.Status.Phase
	}
	switch in.Plan.Outcome {
	case plan.Succeeded, plan.Failed:
		// Only once nothing runs: a Job counts a pod by its phase.
		if in.Plan.TearDown || in.Ended {
			if in.Plan.Outcome == plan.Succeeded {
				return corev1.PodSucceeded
			}
			return corev1.PodFailed
		}
	}
	if in.Ended {
		return endPhase(s)
	}
	started := inits(in)
	for i := range in.Pod.Spec.InitContainers {
		c, cs := &in.Pod.Spec.InitContainers[i], &s.InitContainerStatuses[i]
		if started {
			break
		}
		if podspec.IsSidecar(c) {
			if cs.State.Running == nil || cs.Started == nil || !*cs.Started {
				return corev1.PodPending
			}
		} else if cs.State.Terminated == nil || cs.State.Terminated.ExitCode != 0 {
			return corev1.PodPending
		}
	}
	for i := range s.ContainerStatuses {
		cs := &s.ContainerStatuses[i]
		if cs.State.Waiting != nil && cs.LastTerminationState.Terminated == nil {
			return corev1.PodPending
		}
	}
	return corev1.PodRunning
}

// endPhase is the phase of a pod that was deleted: Succeeded if all of its
// containers had ended well, else Failed.
func endPhase(s *corev1.PodStatus) corev1.PodPhase {
	for _, cs := range s.ContainerStatuses {
		if cs.State.Terminated == nil || cs.State.Terminated.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}
