package replicas

import (
	"slices"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// pod is what the controllers look at in a pod. It is read for every pod of a
// set at every change, so it holds nothing else.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName       string          `json:"nodeName"`
		InitContainers []initContainer `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase                 corev1.PodPhase `json:"phase"`
		Conditions            []condition     `json:"conditions"`
		InitContainerStatuses []restarted     `json:"initContainerStatuses"`
		ContainerStatuses     []restarted     `json:"containerStatuses"`
	} `json:"status"`
}

type initContainer struct {
	Name          string                         `json:"name"`
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy"`
}

type condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

type restarted struct {
	Name         string `json:"name"`
	RestartCount int32  `json:"restartCount"`
}

// APIResource makes a pod an client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (p *pod) active() bool { return !p.finished() && p.DeletionTimestamp == nil }

// readySince is when the pod got ready; ok is false when it is not.
func (p *pod) readySince() (at time.Time, ok bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time(), c.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// availableIn is how long it takes until a ready pod has been so for minReady:
// one that does not say since when, all of it.
func (p *pod) availableIn(minReady time.Duration, now time.Time) time.Duration {
	at, _ := p.readySince()
	switch {
	case minReady <= 0:
		return 0 // whatever the node's clock says
	case at.IsZero():
		return minReady
	}
	return max(at.Add(minReady).Sub(now), 0)
}

// restarts is the highest count of the pod's containers, and of its sidecars:
// init containers that go on beside them.
func (p *pod) restarts() (regular, sidecars int32) {
	for _, s := range p.Status.ContainerStatuses {
		regular = max(regular, s.RestartCount)
	}
	for _, s := range p.Status.InitContainerStatuses {
		if s.RestartCount > sidecars && p.sidecar(s.Name) {
			sidecars = s.RestartCount
		}
	}
	return regular, sidecars
}

func (p *pod) sidecar(name string) bool {
	return slices.ContainsFunc(p.Spec.InitContainers, func(c initContainer) bool {
		return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
	})
}

// draft is a pod to be made; all of one set share their JSON.
type draft struct {
	metav1.ObjectMeta `json:"metadata"`
	body              []byte
}

// APIResource makes a draft an client.Object.
func (*draft) APIResource() string { return "v1/pods" }

// EncodedJSON makes a draft an client.Encoded.
func (d *draft) EncodedJSON() []byte { return d.body }

var _ client.Encoded = (*draft)(nil)
