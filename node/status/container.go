package status

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

type maker struct{ Input }

func (m *maker) containers(specs []corev1.Container, old []corev1.ContainerStatus, init bool) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i := range specs {
		var before *corev1.ContainerStatus
		for j := range old {
			if old[j].Name == specs[i].Name {
				before = &old[j]
			}
		}
		out = append(out, m.container(&specs[i], before, init))
	}
	return out
}

func (m *maker) container(c *corev1.Container, before *corev1.ContainerStatus, init bool) corev1.ContainerStatus {
	cur, prev := m.Observed.Latest(c.Name), m.Observed.Previous(c.Name)
	no := false
	s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Started: &no}
	if cur == nil {
		m.absent(&s, c, before)
		return s
	}
	s.RestartCount = cur.Restarts
	s.ContainerID = m.Runtime + "://" + cur.ID
	s.ImageID = cur.ImageRef
	if cur.Image != "" && !strings.HasPrefix(cur.Image, "sha256:") {
		s.Image = cur.Image
	}
	if prev != nil {
		s.LastTerminationState.Terminated = m.terminated(prev)
	}
	if !podspec.IsEphemeral(m.Pod, c.Name) {
		s.AllocatedResources, s.Resources = c.Resources.Requests, resources(c, cur)
	}
	switch cur.Phase {
	case state.Running:
		h := m.Health(cur.ID)
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: stamp(cur.StartedAt)}
		s.Started = &h.Started
		s.Ready = h.Started && h.Ready && (!init || podspec.IsSidecar(c))
	case state.Exited:
		s.State.Terminated = m.terminated(cur)
		s.Ready = init && !podspec.IsSidecar(c) && cur.ExitCode == 0
		m.next(&s, c.Name)
	case state.Unknown:
		s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown",
			Message: "The container could not be located when the pod was terminated", ContainerID: s.ContainerID}
	default:
		s.State.Waiting = m.waiting(c)
	}
	return s
}

// next turns an ended container that will run again into a waiting one.
func (m *maker) next(s *corev1.ContainerStatus, name string) {
	w, ok := m.Plan.Waiting[name]
	if !ok {
		w, ok = m.Failures[name]
	}
	if !ok || m.Ended || m.Plan.Outcome != plan.Living {
		return
	}
	s.LastTerminationState, s.State = s.State, corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}}
}

// absent describes a container that the runtime knows no instance of: one
// that has not been started, or that was lost.
func (m *maker) absent(s *corev1.ContainerStatus, c *corev1.Container, before *corev1.ContainerStatus) {
	if before != nil {
		s.RestartCount, s.LastTerminationState = before.RestartCount, before.LastTerminationState
		switch {
		case before.State.Terminated != nil:
			// The runtime may forget; the API does not.
			*s = *before
			return
		case before.State.Running != nil:
			lost := &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown",
				Message: "The container could not be located when the pod was terminated", ContainerID: before.ContainerID}
			if m.Ended || m.Plan.Outcome != plan.Living {
				s.State.Terminated, s.ContainerID, s.ImageID = lost, before.ContainerID, before.ImageID
				return
			}
			s.LastTerminationState.Terminated = lost
			s.RestartCount++
		}
	}
	s.State.Waiting = m.waiting(c)
}

func (m *maker) waiting(c *corev1.Container) *corev1.ContainerStateWaiting {
	if w, ok := m.Plan.Waiting[c.Name]; ok {
		return &corev1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}
	}
	if w, ok := m.Failures[c.Name]; ok {
		return &corev1.ContainerStateWaiting{Reason: w.Reason, Message: w.Message}
	}
	// As upstream, of every container of the pod and at any time.
	if len(m.Pod.Spec.InitContainers) > 0 {
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

func (m *maker) terminated(c *state.Container) *corev1.ContainerStateTerminated {
	reason := c.Reason
	if reason == "" || reason == "Unknown" {
		reason = "Completed"
		if c.ExitCode != 0 {
			reason = "Error"
		}
	}
	return &corev1.ContainerStateTerminated{
		ExitCode: c.ExitCode, Reason: reason, Message: c.Message,
		StartedAt: stamp(c.StartedAt), FinishedAt: stamp(c.FinishedAt),
		ContainerID: m.Runtime + "://" + c.ID,
	}
}

// stamp cuts to seconds, which is what the API keeps; a status would differ
// from itself otherwise.
func stamp(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.Truncate(time.Second))
}
