package admit

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// port is a port of the node's that a pod takes for itself.
type port struct {
	ip       string
	protocol corev1.Protocol
	number   int32
}

// everywhere stands for all addresses of the node.
const everywhere = "0.0.0.0"

// overlaps: on all addresses, or on the same one.
func (p port) overlaps(o port) bool {
	return p.protocol == o.protocol && p.number == o.number && (p.ip == o.ip || p.ip == everywhere || o.ip == everywhere)
}

func ports(pod *corev1.Pod, others []*corev1.Pod, _ *Node) *Refusal {
	want := hostPorts(pod)
	if len(want) == 0 {
		return nil
	}
	for _, p := range others {
		for _, taken := range hostPorts(p) {
			for _, w := range want {
				if w.overlaps(taken) {
					return predicate("NodePorts", portsTaken)
				}
			}
		}
	}
	return nil
}

// hostPorts are those of containers that run as long as the pod does.
func hostPorts(pod *corev1.Pod) []port {
	var out []port
	add := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			q := port{p.HostIP, p.Protocol, p.HostPort}
			if q.ip == "" {
				q.ip = everywhere
			}
			if q.protocol == "" {
				q.protocol = corev1.ProtocolTCP
			}
			out = append(out, q)
		}
	}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; podspec.IsSidecar(c) {
			add(c)
		}
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i])
	}
	return out
}
