package podresize_test

import (
	"testing"

	_ "github.com/pintle-io/pintle/plugins/admission/podresize"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

// asks is the resources of a container that asks for this much.
func asks(cpu, memory string) m { return m{"requests": m{"cpu": cpu, "memory": memory}} }

func TestValidate(t *testing.T) {
	node := func(name string, labels map[string]string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		n.Status.Allocatable = corev1.ResourceList{"cpu": "2", "memory": "1Gi"}
		return n
	}
	store, err := sdktest.NewStore(node("linux", map[string]string{"kubernetes.io/os": "linux"}), node("unknown", nil), node("windows", map[string]string{"kubernetes.io/os": "windows"}))
	if err != nil {
		t.Fatal(err)
	}
	const beyond = "node didn't have enough allocatable resources: "
	for _, tc := range []struct {
		name, node string
		generation int
		spec       m
		want       string
	}{
		{"it fits", "linux", 2, m{"containers": []any{m{"resources": asks("2", "1Gi")}}}, ""},
		{"more than the node has", "linux", 2, m{"containers": []any{m{"resources": asks("2500m", "1Gi")}}}, beyond + "cpu, requested: 2500, allocatable: 2000"},
		{"more of both", "linux", 2, m{"containers": []any{m{"resources": asks("1", "1Gi")}, m{"resources": asks("1500m", "1")}}},
			beyond + "cpu, requested: 2500, allocatable: 2000; memory, requested: 1073741825, allocatable: 1073741824"},
		{"a container that starts first", "linux", 2, m{"containers": []any{m{"resources": asks("1", "1")}}, "initContainers": []any{m{"resources": asks("3", "1")}}}, beyond + "cpu, requested: 3000, allocatable: 2000"},
		{"a sidecar beside", "linux", 2, m{"containers": []any{m{"resources": asks("1", "1")}}, "initContainers": []any{m{"resources": asks("1500m", "1"), "restartPolicy": "Always"}}}, beyond + "cpu, requested: 2500, allocatable: 2000"},
		{"as a whole less", "linux", 2, m{"resources": asks("1", "1"), "containers": []any{m{"resources": asks("3", "1")}}}, ""},
		{"its overhead", "linux", 2, m{"overhead": m{"cpu": "1m"}, "containers": []any{m{"resources": asks("2", "1")}}}, beyond + "cpu, requested: 2001, allocatable: 2000"},
		{"nothing changes", "linux", 1, m{"containers": []any{m{"resources": asks("9", "1")}}}, ""},
		{"a node without a label", "unknown", 2, m{"containers": []any{m{"resources": asks("1", "1")}}}, ""},
		{"another system", "windows", 2, m{"containers": []any{m{"resources": asks("1", "1")}}}, `pod resize is only supported on linux nodes, node "windows" is "windows"`},
		{"no such node", "gone", 2, m{}, `node "gone" not found`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.spec["nodeName"] = tc.node
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "pod-resize", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Subresource: "resize",
				Object: m{"metadata": m{"generation": tc.generation}, "spec": tc.spec}, Old: m{"metadata": m{"generation": 1}}, Store: store})
			if v.Message != tc.want || v.Forbidden != (tc.want != "") {
				t.Errorf("%+v, want %q", v, tc.want)
			}
		})
	}
}
