package podspec

import (
	"bufio"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of resolv.conf that resolvers still honour.
const (
	maxNameservers = 3
	maxSearches    = 32
)

// DNS is how names are resolved on the node and in the cluster.
type DNS struct {
	// Servers answer cluster names.
	Servers []string
	// Domain is the cluster's, such as "cluster.local".
	Domain string
	// Host is what the node's own resolv.conf says.
	Host Resolv
}

// Resolv is the content of a resolv.conf.
type Resolv struct {
	Servers, Searches, Options []string
}

// ParseResolv reads a resolv.conf; lines that it does not know are left out.
func ParseResolv(r io.Reader) (Resolv, error) {
	var out Resolv
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], ";") {
			continue
		}
		switch f[0] {
		case "nameserver":
			out.Servers = append(out.Servers, f[1])
		case "search", "domain": // the last one wins
			out.Searches = f[1:]
		case "options":
			out.Options = append(out.Options, f[1:]...)
		}
	}
	return out, sc.Err()
}

// dnsConfig applies the pod's DNS policy. ClusterFirst means the node's own
// resolution for a pod on the node's network, as upstream.
func dnsConfig(pod *corev1.Pod, d *DNS) *runtimeapi.DNSConfig {
	policy := pod.Spec.DNSPolicy
	if policy == "" {
		policy = corev1.DNSClusterFirst
	}
	if len(d.Servers) == 0 && policy != corev1.DNSNone ||
		policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	var out Resolv
	switch policy {
	case corev1.DNSDefault:
		out = Resolv{slices.Clone(d.Host.Servers), slices.Clone(d.Host.Searches), slices.Clone(d.Host.Options)}
	case corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet:
		out = Resolv{
			Servers:  slices.Clone(d.Servers),
			Searches: []string{pod.Namespace + ".svc." + d.Domain, "svc." + d.Domain, d.Domain},
			Options:  []string{"ndots:5"},
		}
		out.Searches = append(out.Searches, d.Host.Searches...)
	}
	if c := pod.Spec.DNSConfig; c != nil {
		out.Servers = append(out.Servers, c.Nameservers...)
		out.Searches = append(out.Searches, c.Searches...)
		out.Options = mergeOptions(out.Options, c.Options)
	}
	out.Servers, out.Searches = unique(out.Servers), unique(out.Searches)
	return &runtimeapi.DNSConfig{
		Servers:  out.Servers[:min(len(out.Servers), maxNameservers)],
		Searches: out.Searches[:min(len(out.Searches), maxSearches)],
		Options:  out.Options,
	}
}

// mergeOptions adds the pod's options; one of the same name is replaced.
func mergeOptions(have []string, add []corev1.PodDNSConfigOption) []string {
	for _, o := range add {
		text := o.Name
		if o.Value != nil {
			text += ":" + *o.Value
		}
		i := slices.IndexFunc(have, func(h string) bool {
			name, _, _ := strings.Cut(h, ":")
			return name == o.Name
		})
		if i >= 0 {
			have[i] = text
		} else {
			have = append(have, text)
		}
	}
	return have
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
