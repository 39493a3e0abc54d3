package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Lengths in bytes: of a label of a domain name, and of the kernel's host name.
const (
	maxHostname       = 63
	maxKernelHostname = 64
)

// Hostname is the pod's short name: spec.hostnameOverride, spec.hostname or
// the pod's name, cut to what a host name may have.
func Hostname(pod *corev1.Pod) string {
	name := pod.Name
	switch {
	case pod.Spec.HostnameOverride != nil:
		name = *pod.Spec.HostnameOverride
	case pod.Spec.Hostname != "":
		name = pod.Spec.Hostname
	}
	if len(name) > maxHostname {
		name = strings.TrimRight(name[:maxHostname], "-.")
	}
	return name
}

// FQDN is the pod's name within its subdomain; "" when it has none, as with an
// overridden host name.
func FQDN(pod *corev1.Pod, domain string) string {
	if pod.Spec.Subdomain == "" || pod.Spec.HostnameOverride != nil {
		return ""
	}
	return fmt.Sprintf("%s.%s.%s.svc.%s", Hostname(pod), pod.Spec.Subdomain, pod.Namespace, domain)
}

// kernelHostname is the name that a pod's processes see in their UTS
// namespace: the short one, or the whole domain name where
// spec.setHostnameAsFQDN asks for it and the pod has one.
//
// # Errors
//
// Returns an error, in upstream's words, for a domain name that the kernel
// cannot hold: cutting it would give the pod somebody else's name.
func kernelHostname(pod *corev1.Pod, domain string) (string, error) {
	fqdn := FQDN(pod, domain)
	if fqdn == "" || !deref(pod.Spec.SetHostnameAsFQDN) {
		return Hostname(pod), nil
	}
	if len(fqdn) > maxKernelHostname {
		return "", fmt.Errorf("failed to construct FQDN from pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)",
			fqdn, maxKernelHostname, len(fqdn))
	}
	return fqdn, nil
}

const hostsHead = `# Kubernetes-managed hosts file.
127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::0	ip6-localnet
fe00::0	ip6-mcastprefix
fe00::1	ip6-allnodes
fe00::2	ip6-allrouters
`

// Hosts is the content of a pod's /etc/hosts. ips are the pod's addresses;
// node is the content of the node's file, which pods on its network get.
func Hosts(pod *corev1.Pod, ips []string, domain string, node []byte) []byte {
	var b strings.Builder
	if HostNetwork(pod) {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n")
		b.Write(node)
		if len(node) > 0 && node[len(node)-1] != '\n' {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString(hostsHead)
		fqdn := FQDN(pod, domain)
		for _, ip := range ips {
			b.WriteString(ip)
			if fqdn != "" {
				b.WriteString("\t" + fqdn)
			}
			b.WriteString("\t" + Hostname(pod) + "\n")
		}
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
		for _, a := range pod.Spec.HostAliases {
			b.WriteString(a.IP + "\t" + strings.Join(a.Hostnames, "\t") + "\n")
		}
	}
	return []byte(b.String())
}
