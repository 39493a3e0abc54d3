// Package backends says which pods stand behind a Service, at which address and
// which ports: what the controllers of EndpointSlices and of legacy Endpoints have
// in common. Begin at [Selecting] and [Of].
package backends

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// Pod is what counts of a pod behind a Service. It is read for every pod of a
// Service that changed, so it holds nothing else.
type Pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName       string      `json:"nodeName"`
		Hostname       string      `json:"hostname"`
		Subdomain      string      `json:"subdomain"`
		Containers     []Container `json:"containers"`
		InitContainers []Container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		PodIPs     []corev1.PodIP  `json:"podIPs"`
		Conditions []Condition     `json:"conditions"`
	} `json:"status"`
}

// Container is what counts of a container.
type Container struct {
	Ports         []corev1.ContainerPort         `json:"ports"`
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy"`
}

// Condition is what counts of a pod's condition.
type Condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

// APIResource makes a Pod a client.Object.
func (*Pod) APIResource() string { return "v1/pods" }

// Finished tells that the pod has ended and stays so.
func (p *Pod) Finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Ready tells that the pod is ready to serve.
func (p *Pod) Ready() bool {
	c := p.readiness()
	return c != nil && c.Status == corev1.ConditionTrue
}

// ReadinessChanged is when the pod got ready, or ceased to be; zero when it does
// not say.
func (p *Pod) ReadinessChanged() time.Time {
	if c := p.readiness(); c != nil {
		return c.LastTransitionTime.Time()
	}
	return time.Time{}
}

func (p *Pod) readiness() *Condition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodReady {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Address of a family; "" when the pod has none.
func (p *Pod) Address(family corev1.IPFamily) string {
	for _, ip := range p.Status.PodIPs {
		if strings.Contains(ip.IP, ":") == (family == corev1.IPv6Protocol) {
			return ip.IP
		}
	}
	return ""
}

// Hostname by which the Service of a name tells of the pod; "" is none.
func (p *Pod) Hostname(service string) string {
	if p.Spec.Subdomain != service {
		return ""
	}
	return p.Spec.Hostname
}

// Port finds the pod's number of a Service port; a named target port is looked
// up in the pod's containers, sidecars included.
func (p *Pod) Port(sp corev1.ServicePort) (int32, bool) {
	t := sp.TargetPort
	if !t.IsString {
		return cmp.Or(t.IntVal, sp.Port), true
	}
	containers := p.Spec.Containers
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(slices.Clip(containers), c) // a sidecar
		}
	}
	for _, c := range containers {
		for _, cp := range c.Ports {
			if cp.Name == t.StrVal && cmp.Or(cp.Protocol, corev1.ProtocolTCP) == cmp.Or(sp.Protocol, corev1.ProtocolTCP) {
				return cp.ContainerPort, true
			}
		}
	}
	return 0, false
}
