package admit

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilsysctl "k8s.io/component-helpers/node/util/sysctl"
)

// safe are the sysctls that belong to a pod's own namespaces and cannot reach
// other pods. Kernels that Pintle runs on have all of them per namespace.
var safe = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
	"net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_notsent_lowat",
}

// CheckSysctls returns an error when a pattern that an operator wants to allow
// is of no namespace: setting such a sysctl would set the node's.
func CheckSysctls(patterns []string) error {
	for _, p := range patterns {
		if ns, name, _ := utilsysctl.GetNamespace(p); ns == utilsysctl.UnknownNamespace {
			return fmt.Errorf("allowed sysctl %q is not known to belong to a namespace; want one below net., fs.mqueue. or user., or kernel.shm*, kernel.msg* or kernel.sem", name)
		}
	}
	return nil
}

func sysctls(pod *corev1.Pod, _ []*corev1.Pod, node *Node) *Refusal {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return nil
	}
	for _, s := range sc.Sysctls {
		if err := allowed(utilsysctl.NormalizeName(s.Name), pod, node.Sysctls); err != nil {
			return &Refusal{Reason: sysctlForbidden, Message: fmt.Sprintf("forbidden sysctl: %v", err)}
		}
	}
	return nil
}

// allowed: one that is listed, unless the pod shares the namespace that it
// belongs to with the node.
func allowed(name string, pod *corev1.Pod, more []string) error {
	for _, list := range [][]string{safe, more} {
		for _, pattern := range list {
			ns, want, prefix := utilsysctl.GetNamespace(pattern)
			if name != want && !(prefix && strings.HasPrefix(name, want)) {
				continue
			}
			shared := ns == utilsysctl.IPCNamespace && pod.Spec.HostIPC || ns == utilsysctl.NetNamespace && pod.Spec.HostNetwork ||
				ns == utilsysctl.UserNamespace && (pod.Spec.HostUsers == nil || *pod.Spec.HostUsers)
			if shared {
				return fmt.Errorf("%q not allowed with host %s enabled", name, ns)
			}
			return nil
		}
	}
	return fmt.Errorf("%q not allowlisted", name)
}
