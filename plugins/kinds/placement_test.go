package kinds_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// node makes one of two CPUs that declares features.
func (g *governed) node(t *testing.T, name string, labels map[string]string, features ...string) {
	t.Helper()
	n, err := g.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("1Gi")}
	n.Status.Capacity, n.Status.Allocatable, n.Status.DeclaredFeatures = all, all, features
	if _, err := g.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A pod knows the zone and the region of its node from the moment that it is bound.
func TestTopologyLabels(t *testing.T) {
	g := newRuled(t)
	pods := g.CoreV1().Pods("default")
	const zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
	g.node(t, "n", map[string]string{zone: "z", region: "r", "a": "b"})
	g.node(t, "nowhere", nil)
	labelled := func(p *corev1.Pod) { p.Labels = map[string]string{zone: "mine", "app": "web"} }
	for name, tc := range map[string]struct {
		node string
		want map[string]string
	}{
		"in-a-zone": {"n", map[string]string{zone: "z", region: "r", "app": "web"}},
		"in-none":   {"nowhere", map[string]string{zone: "mine", "app": "web"}},
		"gone":      {"gone", map[string]string{zone: "mine", "app": "web"}},
	} {
		if _, err := pods.Create(t.Context(), aPod(name, labelled), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := pods.Bind(t.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Kind: "Node", Name: tc.node}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		p, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, p.Labels); diff != "" || p.Spec.NodeName != tc.node {
			t.Errorf("%s on %s, labels (-want +got):\n%s", name, p.Spec.NodeName, diff)
		}
	}
	p, err := pods.Create(t.Context(), aPod("with-its-node", func(p *corev1.Pod) { p.Spec.NodeName = "n" }), metav1.CreateOptions{})
	if err != nil || p.Labels[zone] != "z" || p.Labels[region] != "r" {
		t.Errorf("created with its node: %v, %v", p.Labels, err)
	}
}

// A pod is not resized beyond its node, nor in ways that its node has not declared to
// know.
func TestResizeOnNode(t *testing.T) {
	g := newRuled(t)
	const whole = "InPlacePodLevelResourcesVerticalScaling"
	g.node(t, "new", nil, whole)
	g.node(t, "old", nil)
	g.node(t, "windows", map[string]string{"kubernetes.io/os": "windows"})
	pods := g.CoreV1().Pods("default")
	pod := func(name, node string, change func(*corev1.PodSpec)) {
		t.Helper()
		if _, err := pods.Create(t.Context(), aPod(name, func(p *corev1.Pod) {
			p.Spec.NodeName = node
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
			if change != nil {
				change(&p.Spec)
			}
		}), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	asWhole := func(s *corev1.PodSpec) {
		s.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}}
	}
	pod("plain", "old", nil)
	pod("foreign", "windows", nil)
	pod("lost", "gone", nil)
	pod("unbound", "", nil)
	pod("whole-old", "old", asWhole)
	pod("whole-new", "new", asWhole)
	container := func(cpu string) string {
		return `{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"` + cpu + `"}}}]}}`
	}
	for _, tc := range []struct{ what, pod, patch, want string }{
		{"it fits", "plain", container("1500m"), "ok"},
		{"nothing changes", "plain", container("1500m"), "ok"},
		{"beyond the node", "plain", container("3"), `403 Forbidden pods "plain" is forbidden: node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000`},
		{"another system", "foreign", container("1500m"), `403 Forbidden pods "foreign" is forbidden: pod resize is only supported on linux nodes, node "windows" is "windows"`},
		{"a node that is gone", "lost", container("1500m"), `403 Forbidden pods "lost" is forbidden: node "gone" not found`},
		{"without a node", "unbound", container("3"), "ok"},
		{"as a whole", "whole-new", `{"spec":{"resources":{"requests":{"cpu":"1500m"}}}}`, "ok"},
		{"as a whole, on a node that cannot", "whole-old", `{"spec":{"resources":{"requests":{"cpu":"1500m"}}}}`,
			`403 Forbidden pods "whole-old" is forbidden: pod update requires features ` + whole + ` which are not available on node "old"`},
	} {
		_, err := pods.Patch(t.Context(), tc.pod, types.StrategicMergePatchType, []byte(tc.patch), metav1.PatchOptions{}, "resize")
		if got := words(err); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.what, got, tc.want)
		}
	}
}

// A new class is protected from the start, and every rule that was asked is counted by
// upstream's metrics.
func TestAdmissionIsCounted(t *testing.T) {
	g := newRuled(t)
	class, err := g.StorageV1().VolumeAttributesClasses().Create(t.Context(), &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, DriverName: "a.b/c", Parameters: map[string]string{"iops": "1"}}, metav1.CreateOptions{})
	if err != nil || !cmp.Equal(class.Finalizers, []string{"kubernetes.io/vac-protection"}) {
		t.Errorf("a class: %v, %v", class, err)
	}
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), aPod("p", func(p *corev1.Pod) { p.Spec.PriorityClassName = "none" }), metav1.CreateOptions{}); err == nil {
		t.Error("a pod of a class that is not there is taken")
	}
	const rule, step = "apiserver_admission_controller_admission_duration_seconds", "apiserver_admission_step_admission_duration_seconds"
	for _, tc := range []struct {
		name   string
		labels []string
		exact  float64 // 0: some
	}{
		{rule + "_count", []string{`name="storage-protection"`, `operation="CREATE"`, `rejected="false"`, `type="admit"`}, 1},
		{rule + "_count", []string{`name="priority"`, `operation="CREATE"`, `rejected="true"`, `type="admit"`}, 1},
		{rule + "_count", []string{`name="node-restriction"`, `operation="CREATE"`, `rejected="false"`, `type="validate"`}, 0},
		{step + "_bucket", []string{`operation="CREATE"`, `rejected="true"`, `type="admit"`, `le="+Inf"`}, 0},
		{step + "_summary_count", []string{`operation="CREATE"`, `rejected="false"`, `type="validate"`}, 0},
	} {
		if n := g.metric(t, tc.name, tc.labels...); n < 1 || tc.exact != 0 && n != tc.exact {
			t.Errorf("%s %v is %v", tc.name, tc.labels, n)
		}
	}
}
