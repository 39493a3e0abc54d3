package nodetaint_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/nodetaint"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	type m = map[string]any
	const taint = `{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}`
	for _, tc := range []struct {
		name   string
		taints []any
		want   []string
	}{
		{"none", nil, []string{"spec.taints[0] " + taint}},
		{"others", []any{m{"key": "gpu", "effect": "NoSchedule"}}, []string{"spec.taints[1] " + taint}},
		{"there", []any{m{"key": "node.kubernetes.io/not-ready", "value": "x", "effect": "NoSchedule"}}, nil},
		{"of another effect", []any{m{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}}, []string{"spec.taints[1] " + taint}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "taint-nodes", ""), sdktest.Request{Resource: "v1/nodes", Object: m{"spec": m{"taints": tc.taints}}})
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
