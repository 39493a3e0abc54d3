package podspec_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/podspec"
)

func TestHostnames(t *testing.T) {
	long := strings.Repeat("a", 40)
	for name, c := range map[string]struct {
		change       func(*corev1.PodSpec)
		kernel, line string
		err          string
	}{
		"the pod's name":  {func(s *corev1.PodSpec) {}, "web-0", "web-0", ""},
		"the spec's name": {func(s *corev1.PodSpec) { s.Hostname = "h" }, "h", "h", ""},
		"a subdomain":     {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain = "h", "s" }, "h", "h.s.shop.svc.cluster.local\th", ""},
		"the whole name": {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = "h", "s", ptr.To(true) },
			"h.s.shop.svc.cluster.local", "h.s.shop.svc.cluster.local\th", ""},
		"the whole name, and there is none": {func(s *corev1.PodSpec) { s.SetHostnameAsFQDN = ptr.To(true) }, "web-0", "web-0", ""},
		"an override has no domain": {func(s *corev1.PodSpec) { s.Hostname, s.Subdomain, s.HostnameOverride = "h", "s", ptr.To("x.example") },
			"x.example", "x.example", ""},
		"64 bytes": {func(s *corev1.PodSpec) {
			s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = long, "s", ptr.To(true)
		}, "", "", "FQDN " + long + ".s.shop.svc.cluster.local is too long (64 characters is the max, 65 characters requested)"},
		"64 bytes fit": {func(s *corev1.PodSpec) {
			s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = long[1:], "s", ptr.To(true)
		}, long[1:] + ".s.shop.svc.cluster.local", long[1:] + ".s.shop.svc.cluster.local\t" + long[1:], ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) { c.change(&p.Spec) })
			got, err := podspec.Sandbox(p, node, "/g", 0)
			if c.err != "" {
				if err == nil || !strings.HasSuffix(err.Error(), c.err) {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || got.Hostname != c.kernel {
				t.Errorf("host name: got %q %v, want %q", got.Hostname, err, c.kernel)
			}
			if hosts := string(podspec.Hosts(p, []string{"10.244.0.5"}, "cluster.local", nil)); !strings.Contains(hosts, "\n10.244.0.5\t"+c.line+"\n") {
				t.Errorf("hosts: want %q in\n%s", c.line, hosts)
			}
		})
	}
}
