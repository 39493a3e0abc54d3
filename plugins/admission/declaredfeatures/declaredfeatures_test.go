package declaredfeatures_test

import (
	"testing"

	_ "github.com/pintle-io/pintle/plugins/admission/declaredfeatures"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

func cpu(q string) m { return m{"requests": m{"cpu": q}} }

func TestValidate(t *testing.T) {
	node := func(name string, features ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.DeclaredFeatures = features
		return n
	}
	const whole, inits = "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"
	store, err := sdktest.NewStore(node("new", whole, inits, "Other"), node("old"), node("some", inits))
	if err != nil {
		t.Fatal(err)
	}
	first := func(q, restart string) m {
		c := m{"resources": cpu(q)}
		if restart != "" {
			c["restartPolicy"] = restart
		}
		return m{"initContainers": []any{c}}
	}
	missing := func(features, node string) string {
		return "pod update requires features " + features + " which are not available on node \"" + node + "\""
	}
	for _, tc := range []struct {
		name, node string
		old, now   m
		want       string
	}{
		{"a container", "old", m{}, m{}, ""},
		{"the pod as a whole", "new", m{"resources": cpu("1")}, m{"resources": cpu("2")}, ""},
		{"on a node that cannot", "old", m{"resources": cpu("1")}, m{"resources": cpu("2")}, missing(whole, "old")},
		{"the same, otherwise written", "old", m{"resources": cpu("1")}, m{"resources": cpu("1000m")}, ""},
		{"for the first time", "old", m{}, m{"resources": cpu("1")}, missing(whole, "old")},
		{"another resource", "old", m{"resources": cpu("1")}, m{"resources": m{"requests": m{"cpu": "1", "memory": "1"}}}, missing(whole, "old")},
		{"an init container", "some", first("1", ""), first("2", ""), ""},
		{"an init container, on a node that cannot", "old", first("1", ""), first("2", ""), missing(inits, "old")},
		{"a sidecar", "old", first("1", "Always"), first("2", "Always"), ""},
		{"both", "old", m{"resources": cpu("1"), "initContainers": first("1", "")["initContainers"]}, m{"resources": cpu("2"), "initContainers": first("2", "")["initContainers"]}, missing(whole+", "+inits, "old")},
		{"both, one of which the node can", "some", m{"resources": cpu("1"), "initContainers": first("1", "")["initContainers"]}, m{"resources": cpu("2"), "initContainers": first("2", "")["initContainers"]}, missing(whole, "some")},
		{"no such node", "gone", m{"resources": cpu("1")}, m{"resources": cpu("2")}, `node "gone" not found`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.now["nodeName"] = tc.node
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "declared-features", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Subresource: "resize",
				Object: m{"spec": tc.now}, Old: m{"spec": tc.old}, Store: store})
			if v.Message != tc.want || v.Forbidden != (tc.want != "") {
				t.Errorf("%+v, want %q", v, tc.want)
			}
		})
	}
}
