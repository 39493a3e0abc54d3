package resize

import (
	"cmp"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// Condition is a resize that waits for room (PodResizePending), or one that
// is under way (PodResizeInProgress).
type Condition struct {
	Reason, Message string
	// Generation is that of the pod whose spec asks for it.
	Generation int64
	// Since orders those that wait.
	Since time.Time
}

// Restore reads a condition from what an agent before wrote; nil if there is
// none.
func Restore(pod *corev1.Pod, kind corev1.PodConditionType) *Condition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			return &Condition{Reason: c.Reason, Message: c.Message, Generation: c.ObservedGeneration, Since: c.LastTransitionTime.Time}
		}
	}
	return nil
}

// Of is the condition as the API has it.
func (c *Condition) Of(kind corev1.PodConditionType) corev1.PodCondition {
	return corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, Reason: c.Reason, Message: c.Message,
		ObservedGeneration: c.Generation, LastTransitionTime: metav1.NewTime(c.Since)}
}

// Reasons of events, upstream's.
const (
	Started   = "ResizeStarted"
	Completed = "ResizeCompleted"
	Deferred  = "ResizeDeferred"
	Failed    = "ResizeError"
)

// Describe is the message of an event about the resize of a pod to what its
// spec asks for. fault may be empty. Tools parse what follows the colon.
func Describe(what string, pod *corev1.Pod, generation int64, fault string) string {
	type container struct {
		Name      string                      `json:"name"`
		Resources corev1.ResourceRequirements `json:"resources"`
	}
	var s struct {
		InitContainers []container `json:"initContainers,omitempty"`
		Containers     []container `json:"containers,omitempty"`
		Generation     int64       `json:"generation"`
		Error          string      `json:"error,omitempty"`
	}
	for i := range pod.Spec.InitContainers {
		s.InitContainers = append(s.InitContainers, container{pod.Spec.InitContainers[i].Name, pod.Spec.InitContainers[i].Resources})
	}
	for i := range pod.Spec.Containers {
		s.Containers = append(s.Containers, container{pod.Spec.Containers[i].Name, pod.Spec.Containers[i].Resources})
	}
	s.Generation, s.Error = generation, fault
	text, err := json.Marshal(s)
	if err != nil {
		return what
	}
	return what + ": " + string(text)
}

// Waiting is a pod whose spec asks for something else than it was allocated.
type Waiting struct {
	Desired, Allocated *corev1.Pod
	// Pending is nil when nothing was decided about it yet.
	Pending *Condition
}

// Compare tells which of two pods is decided about first, in upstream's order:
// one that asks for no more, the more important one, the one of the better
// class, the one that has waited longer.
func Compare(a, b Waiting) int {
	return cmp.Or(
		boolean(increases(a.Desired, a.Allocated), increases(b.Desired, b.Allocated)),
		cmp.Compare(priority(b.Desired), priority(a.Desired)),
		boolean(podspec.QOS(a.Desired) != corev1.PodQOSGuaranteed, podspec.QOS(b.Desired) != corev1.PodQOSGuaranteed),
		boolean(a.Pending == nil, b.Pending == nil),
		a.since().Compare(b.since()),
		cmp.Compare(a.Desired.UID, b.Desired.UID))
}

func (w *Waiting) since() time.Time {
	if w.Pending == nil {
		return time.Time{}
	}
	return w.Pending.Since
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// boolean sorts false before true.
func boolean(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
