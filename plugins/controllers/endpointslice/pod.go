package endpointslice

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// pod is what the controller looks at in a pod. It is read for every pod of a
// Service that changed, so it holds nothing else.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName       string      `json:"nodeName"`
		Hostname       string      `json:"hostname"`
		Subdomain      string      `json:"subdomain"`
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		PodIPs     []corev1.PodIP  `json:"podIPs"`
		Conditions []condition     `json:"conditions"`
	} `json:"status"`
}

type container struct {
	Ports         []corev1.ContainerPort         `json:"ports"`
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy"`
}

type condition struct {
	Type   corev1.PodConditionType `json:"type"`
	Status corev1.ConditionStatus  `json:"status"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (p *pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
