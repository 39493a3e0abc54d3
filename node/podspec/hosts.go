package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const maxHostname = 63

// Hostname is the name that a pod's processes see: spec.hostname or the pod's
// name, or the whole domain name when the pod asks for it.
func Hostname(pod *corev1.Pod, domain string) string {
	if pod.Spec.HostnameOverride != nil {
		return *pod.Spec.HostnameOverride
	}
	name := pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	if len(name) > maxHostname {
		name = strings.TrimRight(name[:maxHostname], "-.")
	}
	if deref(pod.Spec.SetHostnameAsFQDN) {
		if fqdn := FQDN(pod, domain); fqdn != "" {
			return fqdn
		}
	}
	return name
}

// FQDN is the pod's name within its subdomain; "" when it has none.
func FQDN(pod *corev1.Pod, domain string) string {
	if pod.Spec.Subdomain == "" {
		return ""
	}
	name := pod.Name
	if pod.Spec.Hostname != "" {
		name = pod.Spec.Hostname
	}
	return fmt.Sprintf("%s.%s.%s.svc.%s", name, pod.Spec.Subdomain, pod.Namespace, domain)
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
			if h := Hostname(pod, domain); h != fqdn {
				b.WriteString("\t" + h)
			}
			b.WriteByte('\n')
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
