package podspec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/podspec"
)

// TestPodLimits: a pod is bounded as a whole only if each of its containers
// is, or if it says so itself.
func TestPodLimits(t *testing.T) {
	always := ptr.To(corev1.ContainerRestartPolicyAlways)
	none, small, large := resources("", "", "", ""), resources("", "", "1", "1Gi"), resources("", "", "2", "4Gi")
	const slack = 32 << 20
	for name, c := range map[string]struct {
		init   []corev1.Container
		app    corev1.ResourceRequirements
		pod    *corev1.ResourceRequirements
		quota  int64
		memory int64
	}{
		"all bounded":                         {[]corev1.Container{{Name: "i", Resources: small}}, large, nil, 200000, 4<<30 + slack},
		"a larger init container":             {[]corev1.Container{{Name: "i", Resources: large}}, small, nil, 200000, 4<<30 + slack},
		"a sidecar adds":                      {[]corev1.Container{{Name: "s", RestartPolicy: always, Resources: small}}, large, nil, 300000, 5<<30 + slack},
		"an init container without a limit":   {[]corev1.Container{{Name: "i", Resources: none}}, small, nil, 0, 0},
		"a sidecar without a limit":           {[]corev1.Container{{Name: "s", RestartPolicy: always, Resources: none}}, small, nil, 0, 0},
		"an init container with one limit":    {[]corev1.Container{{Name: "i", Resources: resources("", "", "", "1Gi")}}, small, nil, 0, 1<<30 + slack},
		"a limit of the pod":                  {[]corev1.Container{{Name: "i", Resources: none}}, none, &small, 100000, 1<<30 + slack},
		"a limit of the pod for memory alone": {nil, small, ptr.To(resources("", "", "", "4Gi")), 100000, 4<<30 + slack},
		"no limit anywhere":                   {nil, none, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) {
				p.Spec.InitContainers, p.Spec.Containers[0].Resources, p.Spec.Resources = c.init, c.app, c.pod
			})
			got := podspec.PodLimits(p, 0)
			got.CPUShares = 0
			if d := cmp.Diff(cgroup.Limits{CPUQuota: c.quota, Memory: c.memory}, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if want, got := max(c.memory-slack, 0), podspec.MemoryLimit(p); got != want {
				t.Errorf("memory limit: got %d, want %d", got, want)
			}
		})
	}
}

func TestOOMGroup(t *testing.T) {
	p := pod()
	if got := config(t, p).Linux.Resources.Unified; len(got) > 0 {
		t.Errorf("with cgroup v1: got %v", got)
	}
	unified := *node
	unified.UnifiedCgroups = true
	cfg, err := podspec.Container(p, &p.Spec.Containers[0], &unified, podspec.Instance{Env: environment(t, p, nil)})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"memory.oom.group": "1"}, cfg.Linux.Resources.Unified); d != "" {
		t.Errorf("with cgroup v2 (-want +got):\n%s", d)
	}
}

func TestOOMScore(t *testing.T) {
	gi := func(n string) corev1.ResourceRequirements { return resources("", n, "", "") }
	always := ptr.To(corev1.ContainerRestartPolicyAlways)
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		want   []int64 // init containers, then the others; of 16 GiB
	}{
		"burstable": {func(s *corev1.PodSpec) { s.Containers[0].Resources = gi("4Gi") }, []int64{750}},
		"node critical": {func(s *corev1.PodSpec) {
			s.PriorityClassName, s.Containers[0].Resources = "system-node-critical", gi("4Gi")
		}, []int64{-997}},
		"cluster critical is not": {func(s *corev1.PodSpec) {
			s.PriorityClassName, s.Priority, s.Containers[0].Resources = "system-cluster-critical", ptr.To[int32](2_000_000_000), gi("4Gi")
		}, []int64{750}},
		"a sidecar outlives what it serves": {func(s *corev1.PodSpec) {
			s.Containers[0].Resources = gi("8Gi")
			s.Containers = append(s.Containers, corev1.Container{Name: "b", Resources: gi("4Gi")})
			s.InitContainers = []corev1.Container{{Name: "s", RestartPolicy: always, Resources: gi("1Gi")}, {Name: "i", Resources: gi("1Gi")}}
		}, []int64{750, 938, 500, 750}},
		"the pod's request is shared": {func(s *corev1.PodSpec) {
			s.Resources = ptr.To(gi("8Gi"))
			s.Containers[0].Resources = gi("4Gi")
			s.Containers = append(s.Containers, corev1.Container{Name: "b"})
		}, []int64{625, 875}},
	} {
		p := pod(func(p *corev1.Pod) { c.change(&p.Spec) })
		var got []int64
		for _, container := range podspec.Containers(p) {
			cfg, err := podspec.Container(p, container, node, podspec.Instance{Env: environment(t, p, nil)})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, cfg.Linux.Resources.OomScoreAdj)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
