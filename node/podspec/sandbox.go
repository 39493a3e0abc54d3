package podspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/state"
)

// Node is what the translation needs to know of the node.
type Node struct {
	// Name is the API's name of the node.
	Name string
	// Hostname is the name of the machine, which pods on its network see.
	Hostname string
	// IPs are the node's addresses, the main one first.
	IPs []string
	// Logs is the directory of all pods' logs.
	Logs string
	// Seccomp is the directory of localhost profiles.
	Seccomp string
	// Memory is the capacity in bytes.
	Memory int64
	// UnifiedCgroups tells that cgroup2 governs memory and CPU.
	UnifiedCgroups bool
	// Allocatable stands in for a limit that a container does not have.
	Allocatable corev1.ResourceList
	DNS         DNS
}

// Sandbox is the configuration of the attempt-th sandbox of a pod. cgroup is
// the pod's group.
//
// # Errors
//
// Returns that of kernelHostname.
func Sandbox(pod *corev1.Pod, node *Node, cgroup string, attempt uint32) (*runtimeapi.PodSandboxConfig, error) {
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID), Attempt: attempt},
		Labels: map[string]string{
			state.LabelPodName: pod.Name, state.LabelPodNamespace: pod.Namespace, state.LabelPodUID: string(pod.UID)},
		Annotations:  pod.Annotations,
		LogDirectory: LogDirectory(node.Logs, pod),
		DnsConfig:    dnsConfig(pod, &node.DNS),
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    cgroup,
			SecurityContext: sandboxSecurity(pod, node.Seccomp),
			Sysctls:         sysctls(pod),
		},
	}
	for k, v := range pod.Labels {
		if _, ours := cfg.Labels[k]; !ours {
			cfg.Labels[k] = v
		}
	}
	if HostNetwork(pod) {
		return cfg, nil
	}
	var err error
	cfg.Hostname, err = kernelHostname(pod, node.DNS.Domain)
	cfg.PortMappings = portMappings(pod)
	return cfg, err
}

func sysctls(pod *corev1.Pod) map[string]string {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	out := map[string]string{}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		out[strings.ReplaceAll(s.Name, "/", ".")] = s.Value
	}
	return out
}

func portMappings(pod *corev1.Pod) []*runtimeapi.PortMapping {
	var out []*runtimeapi.PortMapping
	for _, c := range slices.Concat(sidecars(pod), pod.Spec.Containers) {
		for _, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			out = append(out, &runtimeapi.PortMapping{
				HostIp: p.HostIP, HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: protocol(p.Protocol)})
		}
	}
	return out
}

func sidecars(pod *corev1.Pod) []corev1.Container {
	var out []corev1.Container
	for _, c := range pod.Spec.InitContainers {
		if IsSidecar(&c) {
			out = append(out, c)
		}
	}
	return out
}

func protocol(p corev1.Protocol) runtimeapi.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return runtimeapi.Protocol_UDP
	case corev1.ProtocolSCTP:
		return runtimeapi.Protocol_SCTP
	}
	return runtimeapi.Protocol_TCP
}
