package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ServicePorts are the TCP ports of the pod that Services send connections to,
// each once, in order. Named ports that no container has are left out.
func ServicePorts(pod *corev1.Pod, services []*corev1.Service) []uint16 {
	var out []uint16
	for _, s := range services {
		if s.Namespace != pod.Namespace || len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName ||
			!labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, p := range s.Spec.Ports {
			if port := targetPort(pod, p); port > 0 {
				out = append(out, port)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// targetPort is where a Service's port leads in the pod; 0 is nowhere, or not TCP.
func targetPort(pod *corev1.Pod, p corev1.ServicePort) uint16 {
	switch {
	case p.Protocol != corev1.ProtocolTCP && p.Protocol != "":
		return 0
	case p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal > 0:
		return uint16(p.TargetPort.IntVal)
	case p.TargetPort.Type == intstr.Int || p.TargetPort.StrVal == "":
		return uint16(p.Port)
	}
	return namedPort(pod, p.TargetPort.StrVal)
}

// namedPort looks among containers and then among sidecars, as EndpointSlices
// do: a name is unique within a container only.
func namedPort(pod *corev1.Pod, name string) uint16 {
	look := func(c *corev1.Container) uint16 {
		for _, cp := range c.Ports {
			if cp.Name == name && (cp.Protocol == corev1.ProtocolTCP || cp.Protocol == "") {
				return uint16(cp.ContainerPort)
			}
		}
		return 0
	}
	for i := range pod.Spec.Containers {
		if port := look(&pod.Spec.Containers[i]); port > 0 {
			return port
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; IsSidecar(c) {
			if port := look(c); port > 0 {
				return port
			}
		}
	}
	return 0
}
