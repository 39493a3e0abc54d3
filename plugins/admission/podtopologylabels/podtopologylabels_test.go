package podtopologylabels_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/podtopologylabels"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	type m = map[string]any
	const zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
	target := func(kind, name string) m { return m{"target": m{"kind": kind, "name": name}} }
	both := []string{`metadata.labels[` + region + `] "r"`, `metadata.labels[` + zone + `] "z"`}
	node := func(name string, labels map[string]string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	store, err := sdktest.NewStore(node("both", map[string]string{zone: "z", region: "r", "kubernetes.io/hostname": "h"}), node("zone", map[string]string{zone: "z"}), node("plain", nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, subresource string
		object            m
		want              []string
	}{
		{"a Binding", "binding", target("Node", "both"), both},
		{"a Binding that has labels", "binding", m{"metadata": m{"labels": m{zone: "mine", "a": "b"}}, "target": m{"kind": "Node", "name": "both"}}, both},
		{"to a node in a zone", "binding", target("Node", "zone"), []string{`metadata.labels[` + zone + `] "z"`}},
		{"to a node in none", "binding", target("Node", "plain"), nil},
		{"to nothing that is there", "binding", target("Node", "gone"), nil},
		{"to no node", "binding", target("Pod", "both"), nil},
		{"of no kind", "binding", m{"target": m{"name": "both"}}, nil},
		{"a pod with its node", "", m{"spec": m{"nodeName": "both"}}, both},
		{"a pod without", "", m{"spec": m{}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "pod-topology-labels", ""), sdktest.Request{
				Resource: "v1/pods", Subresource: tc.subresource, Object: tc.object,
				Store: store})
			var got []string
			for _, p := range v.Patch {
				got = append(got, p.Path+" "+string(p.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}
