package podspec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/podspec"
)

var node = &podspec.Node{
	Name: "n1", IPs: []string{"10.0.0.1"}, Logs: "/logs", Seccomp: "/seccomp", Memory: 16 << 30,
	Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("16Gi")},
	DNS: podspec.DNS{Servers: []string{"10.96.0.10"}, Domain: "cluster.local",
		Host: podspec.Resolv{Servers: []string{"192.0.2.53"}, Searches: []string{"corp.example"}, Options: []string{"timeout:1"}}},
}

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", UID: "u1", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"note": `say "hi"`}},
		Spec: corev1.PodSpec{NodeName: "n1", ServiceAccountName: "clerk", Containers: []corev1.Container{{Name: "app", Image: "web:v1"}}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func resources(requestCPU, requestMem, limitCPU, limitMem string) corev1.ResourceRequirements {
	var r corev1.ResourceRequirements
	set := func(l *corev1.ResourceList, n corev1.ResourceName, v string) {
		if v == "" {
			return
		}
		if *l == nil {
			*l = corev1.ResourceList{}
		}
		(*l)[n] = resource.MustParse(v)
	}
	set(&r.Requests, corev1.ResourceCPU, requestCPU)
	set(&r.Requests, corev1.ResourceMemory, requestMem)
	set(&r.Limits, corev1.ResourceCPU, limitCPU)
	set(&r.Limits, corev1.ResourceMemory, limitMem)
	return r
}

func TestResources(t *testing.T) {
	for name, c := range map[string]struct {
		r      corev1.ResourceRequirements
		qos    corev1.PodQOSClass
		linux  *runtimeapi.LinuxContainerResources
		limits cgroup.Limits
	}{
		"best effort": {resources("", "", "", ""), corev1.PodQOSBestEffort,
			&runtimeapi.LinuxContainerResources{CpuShares: 2, CpuPeriod: 100000, OomScoreAdj: 1000},
			cgroup.Limits{CPUShares: 2, PIDs: 164}},
		"guaranteed": {resources("500m", "1Gi", "500m", "1Gi"), corev1.PodQOSGuaranteed,
			&runtimeapi.LinuxContainerResources{CpuShares: 512, CpuPeriod: 100000, CpuQuota: 50000, MemoryLimitInBytes: 1 << 30, OomScoreAdj: -997},
			cgroup.Limits{CPUShares: 512, CPUQuota: 50000, Memory: 1<<30 + 32<<20, PIDs: 164}},
		"limits alone are requests too": {resources("", "", "1", "1Gi"), corev1.PodQOSGuaranteed,
			&runtimeapi.LinuxContainerResources{CpuShares: 1024, CpuPeriod: 100000, CpuQuota: 100000, MemoryLimitInBytes: 1 << 30, OomScoreAdj: -997},
			cgroup.Limits{CPUQuota: 100000, Memory: 1<<30 + 32<<20, CPUShares: 2, PIDs: 164}},
		"burstable": {resources("100m", "4Gi", "", ""), corev1.PodQOSBurstable,
			&runtimeapi.LinuxContainerResources{CpuShares: 102, CpuPeriod: 100000, OomScoreAdj: 750},
			cgroup.Limits{CPUShares: 102, PIDs: 164}},
		"tiny quota": {resources("1m", "", "1m", ""), corev1.PodQOSBurstable,
			&runtimeapi.LinuxContainerResources{CpuShares: 2, CpuPeriod: 100000, CpuQuota: 1000, OomScoreAdj: 999},
			cgroup.Limits{CPUShares: 2, CPUQuota: 1000, PIDs: 164}},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) { p.Spec.Containers[0].Resources = c.r })
			if got := podspec.QOS(p); got != c.qos {
				t.Errorf("class: got %s, want %s", got, c.qos)
			}
			if d := cmp.Diff(c.limits, podspec.PodLimits(p, 100)); d != "" {
				t.Errorf("pod limits (-want +got):\n%s", d)
			}
			got := config(t, p).Linux.Resources
			if got.String() != c.linux.String() {
				t.Errorf("resources: got %v, want %v", got, c.linux)
			}
		})
	}
}

func config(t *testing.T, p *corev1.Pod) *runtimeapi.ContainerConfig {
	t.Helper()
	cfg, err := podspec.Container(p, &p.Spec.Containers[0], node, podspec.Instance{Env: environment(t, p, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func environment(t *testing.T, p *corev1.Pod, services []*corev1.Service) *podspec.Env {
	t.Helper()
	e, err := podspec.Environment(p, &p.Spec.Containers[0], node, []string{"10.244.0.5"}, services, sources{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

type sources struct{}

func (sources) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if name == "cm" {
		return &corev1.ConfigMap{Data: map[string]string{"color": "red", "bad=key": "x"}}, nil
	}
	return nil, nil
}

func (sources) Secret(_, name string) (*corev1.Secret, error) {
	switch name {
	case "sec":
		return &corev1.Secret{Data: map[string][]byte{"password": []byte("p")}}, nil
	case "broken":
		return nil, errors.New("no connection")
	}
	return nil, nil
}

func TestField(t *testing.T) {
	for path, want := range map[string]string{
		"metadata.name": "web-0", "metadata.namespace": "shop", "metadata.uid": "u1", "metadata.labels['app']": "web", "metadata.labels['none']": "",
		"metadata.labels": `app="web"`, "metadata.annotations": `note="say \"hi\""`, "spec.nodeName": "n1", "spec.serviceAccountName": "clerk",
		"status.hostIP": "10.0.0.1", "status.podIP": "10.244.0.5", "status.podIPs": "10.244.0.5,fd00::5",
	} {
		got, err := podspec.Field(pod(), path, node, []string{"10.244.0.5", "fd00::5"})
		if err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", path, got, err, want)
		}
	}
	if got, _ := podspec.Field(pod(func(p *corev1.Pod) { p.Spec.HostNetwork = true }), "status.podIP", node, nil); got != "10.0.0.1" {
		t.Errorf("pod on the node's network: got %q", got)
	}
	for _, path := range []string{"spec.containers", "metadata.other['x']", ""} {
		if _, err := podspec.Field(pod(), path, node, nil); err == nil {
			t.Errorf("%q: no error", path)
		}
	}
}

func TestResourceField(t *testing.T) {
	p := pod(func(p *corev1.Pod) { p.Spec.Containers[0].Resources = resources("250m", "", "", "100Mi") })
	for _, c := range []struct{ resource, divisor, want string }{
		{"requests.cpu", "", "1"}, {"requests.cpu", "1m", "250"}, {"limits.cpu", "", "2"}, {"limits.memory", "1Mi", "100"},
		{"limits.memory", "1Gi", "1"}, {"requests.memory", "", "0"},
	} {
		ref := &corev1.ResourceFieldSelector{ContainerName: "app", Resource: c.resource}
		if c.divisor != "" {
			ref.Divisor = resource.MustParse(c.divisor)
		}
		got, err := podspec.ResourceField(p, nil, ref, node.Allocatable)
		if err != nil || got != c.want {
			t.Errorf("%s in %q: got %q %v, want %q", c.resource, c.divisor, got, err, c.want)
		}
	}
	for _, r := range []string{"limits", "limits.gpu", "other.cpu"} {
		if _, err := podspec.ResourceField(p, nil, &corev1.ResourceFieldSelector{ContainerName: "app", Resource: r}, nil); err == nil {
			t.Errorf("%s: no error", r)
		}
	}
}

func TestEnvironment(t *testing.T) {
	optional := ptr.To(true)
	key := func(name, k string, opt *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: k, Optional: opt}}
	}
	services := []*corev1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "my-db", Namespace: "shop"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: []corev1.ServicePort{{Port: 5432}, {Name: "admin-ui", Port: 80}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "headless", Namespace: "shop"}, Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Port: 1}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Namespace: "other"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.8", Ports: []corev1.ServicePort{{Port: 1}}}},
	}
	p := pod(func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.EnvFrom = []corev1.EnvFromSource{{Prefix: "C_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}, Optional: optional}}}
		c.Env = []corev1.EnvVar{{Name: "A", Value: "$(C_color)!"}, {Name: "B", Value: "$(A)$(LATER)"}, {Name: "LATER", Value: "x"},
			{Name: "K", ValueFrom: key("cm", "color", nil)}, {Name: "O", ValueFrom: key("cm", "none", optional)}, {Name: "A2", Value: "$(MY_DB_SERVICE_HOST)"}}
	})
	e := environment(t, p, services)
	for name, want := range map[string]string{
		"C_color": "red", "A": "red!", "B": "red!$(LATER)", "K": "red", "A2": "10.96.0.7",
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_SERVICE_PORT_HTTPS": "443", "KUBERNETES_PORT": "tcp://10.96.0.1:443",
		"KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1", "MY_DB_SERVICE_PORT": "5432", "MY_DB_SERVICE_PORT_ADMIN_UI": "80", "MY_DB_PORT_80_TCP_PROTO": "tcp",
	} {
		if got, ok := e.Get(name); !ok || got != want {
			t.Errorf("%s: got %q %t, want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"O", "C_bad=key", "HEADLESS_SERVICE_HOST", "ELSEWHERE_SERVICE_HOST"} {
		if got, ok := e.Get(name); ok {
			t.Errorf("%s: got %q, want none", name, got)
		}
	}
	p.Spec.EnableServiceLinks = ptr.To(false)
	if _, ok := environment(t, p, services).Get("MY_DB_SERVICE_HOST"); ok {
		t.Error("service links although they are off")
	}
	for name, src := range map[string]*corev1.EnvVarSource{`configmap "none" not found`: key("none", "k", nil), "couldn't find key none in ConfigMap shop/cm": key("cm", "none", nil)} {
		p := pod(func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: src}} })
		_, err := podspec.Environment(p, &p.Spec.Containers[0], node, nil, nil, sources{}, nil)
		var missing *podspec.MissingError
		if !errors.As(err, &missing) || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestDNS(t *testing.T) {
	for name, c := range map[string]struct {
		change                     func(*corev1.PodSpec)
		servers, searches, options []string
	}{
		"ClusterFirst": {func(s *corev1.PodSpec) {}, []string{"10.96.0.10"},
			[]string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"}, []string{"ndots:5"}},
		"ClusterFirst on the node's network": {func(s *corev1.PodSpec) { s.HostNetwork = true }, []string{"192.0.2.53"}, []string{"corp.example"}, []string{"timeout:1"}},
		"ClusterFirstWithHostNet": {func(s *corev1.PodSpec) { s.HostNetwork, s.DNSPolicy = true, corev1.DNSClusterFirstWithHostNet }, []string{"10.96.0.10"},
			[]string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"}, []string{"ndots:5"}},
		"None": {func(s *corev1.PodSpec) {
			s.DNSPolicy = corev1.DNSNone
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}, Searches: []string{"x"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("2")}, {Name: "edns0"}}}
		}, []string{"192.0.2.1"}, []string{"x"}, []string{"ndots:2", "edns0"}},
		"merged": {func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"10.96.0.10", "192.0.2.1"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("2")}}}
		}, []string{"10.96.0.10", "192.0.2.1"}, []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"}, []string{"ndots:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := sandbox(t, pod(func(p *corev1.Pod) { c.change(&p.Spec) })).DnsConfig
			if d := cmp.Diff([][]string{c.servers, c.searches, c.options}, [][]string{got.Servers, got.Searches, got.Options}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func sandbox(t *testing.T, p *corev1.Pod) *runtimeapi.PodSandboxConfig {
	t.Helper()
	cfg, err := podspec.Sandbox(p, node, "/g", 0)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestHosts(t *testing.T) {
	p := pod(func(p *corev1.Pod) {
		p.Spec.Hostname, p.Spec.Subdomain = "web", "db"
		p.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}}
	})
	got := string(podspec.Hosts(p, []string{"10.244.0.5"}, "cluster.local", nil))
	for _, want := range []string{"127.0.0.1\tlocalhost\n", "\n10.244.0.5\tweb.db.shop.svc.cluster.local\tweb\n", "\n1.2.3.4\ta\tb\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	p.Spec.HostNetwork = true
	if got := string(podspec.Hosts(p, nil, "cluster.local", []byte("9.9.9.9 node"))); !strings.Contains(got, "9.9.9.9 node\n") || strings.Contains(got, "10.244") {
		t.Errorf("on the node's network: got %s", got)
	}
	long := pod(func(p *corev1.Pod) { p.Name = strings.Repeat("a", 62) + ".b" })
	if got := podspec.Hostname(long); got != strings.Repeat("a", 62) {
		t.Errorf("long name: got %q", got)
	}
}

func TestSecurity(t *testing.T) {
	image := func(uid *int64, name string) podspec.User { return podspec.User{UID: uid, Name: name} }
	for name, c := range map[string]struct {
		pod   *corev1.PodSecurityContext
		own   *corev1.SecurityContext
		image podspec.User
		check func(*runtimeapi.LinuxContainerSecurityContext) bool
		err   string
	}{
		"image's user": {image: image(ptr.To[int64](65), ""), check: func(s *runtimeapi.LinuxContainerSecurityContext) bool { return s.RunAsUser.Value == 65 }},
		"named user": {image: image(nil, "www"), check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
			return s.RunAsUsername == "www" && s.RunAsUser == nil
		}},
		"container's before pod's": {pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1), RunAsGroup: ptr.To[int64](2), FSGroup: ptr.To[int64](3), SupplementalGroups: []int64{4}},
			own: &corev1.SecurityContext{RunAsUser: ptr.To[int64](9)}, check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
				return s.RunAsUser.Value == 9 && s.RunAsGroup.Value == 2 && cmp.Equal(s.SupplementalGroups, []int64{4, 3})
			}},
		"non-root by image":    {own: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)}, image: image(ptr.To[int64](0), ""), err: "image will run as root"},
		"non-root by name":     {own: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)}, image: image(nil, "www"), err: "non-numeric user (www)"},
		"non-root by pod":      {pod: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](0)}, err: "breaks non-root policy"},
		"non-root, and is not": {own: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](5)}, check: func(s *runtimeapi.LinuxContainerSecurityContext) bool { return true }},
		"seccomp default": {check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
			return s.Seccomp.ProfileType == runtimeapi.SecurityProfile_Unconfined
		}},
		"seccomp local profile": {own: &corev1.SecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: ptr.To("../x.json")}},
			check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
				return s.Seccomp.LocalhostRef == "/seccomp/x.json"
			}},
		"AppArmor is left to the runtime": {check: func(s *runtimeapi.LinuxContainerSecurityContext) bool { return s.Apparmor == nil }},
		"AppArmor of the pod": {pod: &corev1.PodSecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}},
			check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
				return s.Apparmor.GetProfileType() == runtimeapi.SecurityProfile_RuntimeDefault
			}},
		"AppArmor of the container": {pod: &corev1.PodSecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}},
			own: &corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: ptr.To("strict")}},
			check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
				return s.Apparmor.GetProfileType() == runtimeapi.SecurityProfile_Localhost && s.Apparmor.LocalhostRef == "strict"
			}},
		"no AppArmor": {own: &corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}},
			check: func(s *runtimeapi.LinuxContainerSecurityContext) bool {
				return s.Apparmor != nil && s.Apparmor.ProfileType == runtimeapi.SecurityProfile_Unconfined
			}},
		"no new privileges": {own: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true)},
			check: func(s *runtimeapi.LinuxContainerSecurityContext) bool { return s.NoNewPrivs && s.ReadonlyRootfs }},
		"unmasked /proc": {own: &corev1.SecurityContext{ProcMount: ptr.To(corev1.UnmaskedProcMount)}, check: func(s *runtimeapi.LinuxContainerSecurityContext) bool { return len(s.MaskedPaths) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) { p.Spec.SecurityContext, p.Spec.Containers[0].SecurityContext = c.pod, c.own })
			cfg, err := podspec.Container(p, &p.Spec.Containers[0], node, podspec.Instance{Env: environment(t, p, nil), ImageUser: c.image})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s := cfg.Linux.SecurityContext; !c.check(s) {
				t.Errorf("got %v", s)
			}
		})
	}
}

func TestSandbox(t *testing.T) {
	p := pod(func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 53, HostPort: 5353, Protocol: corev1.ProtocolUDP, HostIP: "1.2.3.4"}}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: ptr.To(true)}
		p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net/core/somaxconn", Value: "9"}}}
		p.Spec.ShareProcessNamespace = ptr.To(true)
		p.Labels["io.kubernetes.pod.uid"] = "forged"
	})
	got, err := podspec.Sandbox(p, node, "/pods/u1", 3)
	if err != nil {
		t.Fatal(err)
	}
	if got.Metadata.Attempt != 3 || got.Linux.CgroupParent != "/pods/u1" || got.LogDirectory != "/logs/shop_web-0_u1" || got.Hostname != "web-0" {
		t.Errorf("got %v", got)
	}
	if got.Labels["io.kubernetes.pod.uid"] != "u1" || got.Labels["app"] != "web" {
		t.Errorf("labels: got %v", got.Labels)
	}
	if len(got.PortMappings) != 1 || got.PortMappings[0].HostPort != 5353 || got.PortMappings[0].Protocol != runtimeapi.Protocol_UDP {
		t.Errorf("ports: got %v", got.PortMappings)
	}
	sc := got.Linux.SecurityContext
	if !sc.Privileged || sc.NamespaceOptions.Pid != runtimeapi.NamespaceMode_POD || sc.NamespaceOptions.Network != runtimeapi.NamespaceMode_POD || got.Linux.Sysctls["net.core.somaxconn"] != "9" {
		t.Errorf("security: got %v %v", sc, got.Linux.Sysctls)
	}
	p.Spec.HostNetwork, p.Spec.HostPID = true, true
	host := sandbox(t, p)
	if n := host.Linux.SecurityContext.NamespaceOptions; n.Network != runtimeapi.NamespaceMode_NODE || n.Pid != runtimeapi.NamespaceMode_NODE || len(host.PortMappings) > 0 || host.Hostname != "" {
		t.Errorf("on the node's namespaces: got %v", host)
	}
}

func TestExpand(t *testing.T) {
	lookup := func(n string) (string, bool) {
		v, ok := map[string]string{"A": "1", "EMPTY": ""}[n]
		return v, ok
	}
	for in, want := range map[string]string{"": "", "x": "x", "$(A)": "1", "$(EMPTY)": "", "$(B)": "$(B)", "$$(A)": "$(A)", "$$$(A)": "$1", "a$(A)b$(A)": "a1b1",
		"$": "$", "$A": "$A", "$(A": "$(A", "$()": "$()", "$(A)$": "1$", "$$": "$"} {
		if got, err := podspec.Expand(in, lookup); err != nil || got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A) $$(A) $(")
	f.Fuzz(func(t *testing.T, s string) {
		out, _ := podspec.Expand(s, func(string) (string, bool) { return "", false })
		if len(out) > len(s) {
			t.Errorf("%q grew to %q", s, out)
		}
	})
}

func TestParseResolv(t *testing.T) {
	got, err := podspec.ParseResolv(strings.NewReader("# c\nnameserver 1.1.1.1\nnameserver 2.2.2.2\ndomain old\nsearch a b\noptions ndots:1 edns0\nsortlist x\n;x y\nbad\n"))
	want := podspec.Resolv{Servers: []string{"1.1.1.1", "2.2.2.2"}, Searches: []string{"a", "b"}, Options: []string{"ndots:1", "edns0"}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v %v", got, err)
	}
}
