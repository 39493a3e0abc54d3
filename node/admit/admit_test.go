package admit_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/admit"
)

func node(change ...func(*admit.Node)) *admit.Node {
	n := &admit.Node{Object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.io/os": "linux", "disk": "ssd"}}},
		Allocatable: list("2", "4Gi"), StrictGroups: true}
	n.Allocatable[corev1.ResourcePods] = resource.MustParse("3")
	n.Allocatable[corev1.ResourceEphemeralStorage] = resource.MustParse("10Gi")
	n.Allocatable["example.com/dongle"] = resource.MustParse("1")
	for _, f := range change {
		f(n)
	}
	return n
}

func list(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func pod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c"}}}}
	for _, f := range change {
		f(p)
	}
	return p
}

func requests(l corev1.ResourceList) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = l }
}

func requesting(name corev1.ResourceName, q string) func(*corev1.Pod) {
	return requests(corev1.ResourceList{name: resource.MustParse(q)})
}

func hostPort(ip string, number int32, protocol corev1.Protocol) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, corev1.ContainerPort{HostIP: ip, HostPort: number, Protocol: protocol})
	}
}

func sysctl(name string, more ...func(*corev1.PodSpec)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: name, Value: "1"}}}
		for _, f := range more {
			f(&p.Spec)
		}
	}
}

func apparmor(t corev1.AppArmorProfileType) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: t}}
	}
}

func TestCheck(t *testing.T) {
	const (
		noPorts    = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
		noAffinity = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
		noTaint    = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
	)
	hostNetwork := func(s *corev1.PodSpec) { s.HostNetwork = true }
	tainted := func(effect corev1.TaintEffect) *admit.Node {
		return node(func(n *admit.Node) { n.Object.Spec.Taints = []corev1.Taint{{Key: "k", Value: "v", Effect: effect}} })
	}
	noAppArmor := node(func(n *admit.Node) { n.AppArmor = errors.New("AppArmor is not enabled on the host") })
	for name, c := range map[string]struct {
		pod    *corev1.Pod
		others []*corev1.Pod
		node   *admit.Node
		want   *admit.Refusal // nil: taken up
	}{
		"nothing asked":               {pod: pod()},
		"all that is":                 {pod: pod(requests(list("2", "4Gi")))},
		"too many pods":               {pod: pod(), others: []*corev1.Pod{pod(), pod(), pod()}, want: &admit.Refusal{Reason: "OutOfpods", Message: "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"}},
		"too much CPU":                {pod: pod(requests(list("1001m", ""))), others: []*corev1.Pod{pod(requests(list("1", "")))}, want: &admit.Refusal{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu, requested: 1001, used: 1000, capacity: 2000"}},
		"the rest of it":              {pod: pod(requests(list("1", ""))), others: []*corev1.Pod{pod(requests(list("1", "")))}},
		"no CPU asked of a full node": {pod: pod(requests(list("", "1Gi"))), others: []*corev1.Pod{pod(requests(list("3", "")))}},
		"too much memory":             {pod: pod(requests(list("1", "5Gi"))), want: &admit.Refusal{Reason: "OutOfmemory", Message: "Node didn't have enough resource: memory, requested: 5368709120, used: 0, capacity: 4294967296"}},
		"too much disk":               {pod: pod(requesting(corev1.ResourceEphemeralStorage, "11Gi")), want: &admit.Refusal{Reason: "OutOfephemeral-storage", Message: "Node didn't have enough resource: ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240"}},
		"no dongle left":              {pod: pod(requesting("example.com/dongle", "1")), others: []*corev1.Pod{pod(requesting("example.com/dongle", "1"))}, want: &admit.Refusal{Reason: "OutOfexample.com/dongle", Message: "Node didn't have enough resource: example.com/dongle, requested: 1, used: 1, capacity: 1"}},
		"none that is advertised": {pod: pod(requesting("example.com/patched", "2")), node: node(func(n *admit.Node) {
			n.Object.Status.Allocatable = corev1.ResourceList{"example.com/patched": resource.MustParse("1"), corev1.ResourceCPU: resource.MustParse("9")}
		}), want: &admit.Refusal{Reason: "OutOfexample.com/patched", Message: "Node didn't have enough resource: example.com/patched, requested: 2, used: 0, capacity: 1"}},
		"a resource of the cluster": {pod: pod(requesting("example.com/licence", "1"))},
		"huge pages that are not":   {pod: pod(requesting("hugepages-2Mi", "2Mi")), want: &admit.Refusal{Reason: "OutOfhugepages-2Mi", Message: "Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0"}},
		"the largest init container": {pod: pod(requests(list("1", "")), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Resources: corev1.ResourceRequirements{Requests: list("3", "")}}}
		}), want: &admit.Refusal{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"}},
		"overhead": {pod: pod(requests(list("1", "")), func(p *corev1.Pod) { p.Spec.Overhead = list("1500m", "") }),
			want: &admit.Refusal{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu, requested: 2500, used: 0, capacity: 2000"}},

		"selected":     {pod: pod(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} })},
		"not selected": {pod: pod(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "tape"} }), want: &admit.Refusal{Reason: "NodeAffinity", Message: noAffinity, Stale: true}},
		"required affinity": {pod: pod(func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"ssd"}}}}}}}}
		}), want: &admit.Refusal{Reason: "NodeAffinity", Message: noAffinity, Stale: true}},
		"another node's": {pod: pod(func(p *corev1.Pod) { p.Spec.NodeName = "n2" }), want: &admit.Refusal{Reason: "NodeName", Message: "Predicate NodeName failed: node(s) didn't match the requested node name"}},

		"NoExecute":  {pod: pod(), node: tainted(corev1.TaintEffectNoExecute), want: &admit.Refusal{Reason: "TaintToleration", Message: noTaint, Stale: true}},
		"NoSchedule": {pod: pod(), node: tainted(corev1.TaintEffectNoSchedule)},
		"tolerated": {pod: pod(func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists, TolerationSeconds: ptr.To[int64](1)}}
		}), node: tainted(corev1.TaintEffectNoExecute)},

		"a port that is taken":     {pod: pod(hostPort("", 80, "")), others: []*corev1.Pod{pod(hostPort("", 80, corev1.ProtocolTCP))}, want: &admit.Refusal{Reason: "NodePorts", Message: noPorts}},
		"of another protocol":      {pod: pod(hostPort("", 80, corev1.ProtocolUDP)), others: []*corev1.Pod{pod(hostPort("", 80, corev1.ProtocolTCP))}},
		"at one address and all":   {pod: pod(hostPort("10.0.0.1", 80, "")), others: []*corev1.Pod{pod(hostPort("0.0.0.0", 80, ""))}, want: &admit.Refusal{Reason: "NodePorts", Message: noPorts}},
		"at all addresses and one": {pod: pod(hostPort("", 80, "")), others: []*corev1.Pod{pod(hostPort("10.0.0.1", 80, ""))}, want: &admit.Refusal{Reason: "NodePorts", Message: noPorts}},
		"at two addresses":         {pod: pod(hostPort("10.0.0.1", 80, "")), others: []*corev1.Pod{pod(hostPort("10.0.0.2", 80, ""))}},
		"of a sidecar": {pod: pod(hostPort("", 80, "")), others: []*corev1.Pod{pod(func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{HostPort: 80}}}}
		})}, want: &admit.Refusal{Reason: "NodePorts", Message: noPorts}},
		"of an init container": {pod: pod(hostPort("", 80, "")), others: []*corev1.Pod{pod(func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Ports: []corev1.ContainerPort{{HostPort: 80}}}}
		})}},

		"another system":         {pod: pod(func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }), want: &admit.Refusal{Reason: "PodOSNotSupported", Message: "Failed to admit pod as the OS field doesn't match node OS"}},
		"this system":            {pod: pod(func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Linux} })},
		"another system's label": {pod: pod(func(p *corev1.Pod) { p.Labels = map[string]string{"kubernetes.io/os": "windows"} }), want: &admit.Refusal{Reason: "PodOSSelectorNodeLabelDoesNotMatch", Message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}},

		"a safe sysctl":          {pod: pod(sysctl("net.ipv4.ping_group_range"))},
		"written with slashes":   {pod: pod(sysctl("net/ipv4/ping_group_range"))},
		"an unsafe sysctl":       {pod: pod(sysctl("kernel.msgmax")), want: &admit.Refusal{Reason: "SysctlForbidden", Message: `forbidden sysctl: "kernel.msgmax" not allowlisted`}},
		"one that is allowed":    {pod: pod(sysctl("kernel.msgmax")), node: node(func(n *admit.Node) { n.Sysctls = []string{"kernel.msg*"} })},
		"beside what is allowed": {pod: pod(sysctl("kernel.sem")), node: node(func(n *admit.Node) { n.Sysctls = []string{"kernel.msg*"} }), want: &admit.Refusal{Reason: "SysctlForbidden", Message: `forbidden sysctl: "kernel.sem" not allowlisted`}},
		"on the node's network":  {pod: pod(sysctl("net.ipv4.tcp_rmem", hostNetwork)), want: &admit.Refusal{Reason: "SysctlForbidden", Message: `forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host Net enabled`}},
		"with the node's IPC":    {pod: pod(sysctl("kernel.shm_rmid_forced", func(s *corev1.PodSpec) { s.HostIPC = true })), want: &admit.Refusal{Reason: "SysctlForbidden", Message: `forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host IPC enabled`}},
		"of another namespace":   {pod: pod(sysctl("kernel.shm_rmid_forced", hostNetwork))},

		"AppArmor":             {pod: pod(apparmor(corev1.AppArmorProfileTypeRuntimeDefault))},
		"AppArmor that is not": {pod: pod(apparmor(corev1.AppArmorProfileTypeLocalhost)), node: noAppArmor, want: &admit.Refusal{Reason: "AppArmor", Message: "Cannot enforce AppArmor: AppArmor is not enabled on the host"}},
		"AppArmor of the pod": {pod: pod(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}}
		}), node: noAppArmor, want: &admit.Refusal{Reason: "AppArmor", Message: "Cannot enforce AppArmor: AppArmor is not enabled on the host"}},
		"no AppArmor asked": {pod: pod(apparmor(corev1.AppArmorProfileTypeUnconfined)), node: noAppArmor},

		"groups that the runtime cannot keep out": {pod: pod(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{SupplementalGroupsPolicy: ptr.To(corev1.SupplementalGroupsPolicyStrict)}
		}), node: node(func(n *admit.Node) { n.StrictGroups = false }), want: &admit.Refusal{Reason: "SupplementalGroupsPolicyNotSupported", Message: "SupplementalGroupsPolicy=Strict is not supported in this node"}},
		"merged groups": {pod: pod(func(p *corev1.Pod) {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{SupplementalGroupsPolicy: ptr.To(corev1.SupplementalGroupsPolicyMerge)}
		}), node: node(func(n *admit.Node) { n.StrictGroups = false })},

		"the first of several reasons": {pod: pod(requests(list("9", "9Gi")), hostPort("", 80, "")), others: []*corev1.Pod{pod(hostPort("", 80, ""))},
			node: tainted(corev1.TaintEffectNoExecute), want: &admit.Refusal{Reason: "OutOfcpu", Message: "Node didn't have enough resource: cpu, requested: 9000, used: 0, capacity: 2000"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.node
			if n == nil {
				n = node()
			}
			if d := cmp.Diff(c.want, admit.Check(c.pod, c.others, n)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestActiveAndKnown(t *testing.T) {
	now := metav1.Now()
	running := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	for name, c := range map[string]struct {
		change        func(*corev1.Pod)
		active, known bool
	}{
		"new":   {func(*corev1.Pod) {}, true, false},
		"begun": {func(p *corev1.Pod) { p.Status.StartTime = &now }, true, true},
		"ended": {func(p *corev1.Pod) { p.Status.StartTime, p.Status.Phase = &now, corev1.PodSucceeded }, false, false},
		"failed, still there": {func(p *corev1.Pod) {
			p.Status.Phase, p.Status.ContainerStatuses = corev1.PodFailed, []corev1.ContainerStatus{running}
		}, true, false},
		"failed, in deletion": {func(p *corev1.Pod) { p.Status.Phase, p.DeletionTimestamp = corev1.PodFailed, &now }, true, false},
	} {
		p := pod(c.change)
		if got := admit.Active(p); got != c.active {
			t.Errorf("%s: active: got %t", name, got)
		}
		if got := admit.Known(p); got != c.known {
			t.Errorf("%s: known: got %t", name, got)
		}
	}
}

func TestCheckSysctls(t *testing.T) {
	if err := admit.CheckSysctls([]string{"kernel.msg*", "net.ipv4.tcp_mem", "net.*"}); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"vm.swappiness", "kernel.*", "*"} {
		if err := admit.CheckSysctls([]string{s}); err == nil {
			t.Errorf("%s: no error", s)
		}
	}
}

func TestAppArmor(t *testing.T) {
	for name, c := range map[string]struct {
		enabled  string
		security bool
		ok       bool
	}{"none": {"", false, false}, "on": {"Y\n", true, true}, "off": {"N\n", true, false}, "no place for profiles": {"Y\n", false, false}} {
		sys := t.TempDir()
		if c.enabled != "" {
			dir := filepath.Join(sys, "module/apparmor/parameters")
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "enabled"), []byte(c.enabled), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if c.security {
			if err := os.MkdirAll(filepath.Join(sys, "kernel/security/apparmor"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := admit.AppArmor(sys); (err == nil) != c.ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
