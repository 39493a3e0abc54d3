package defaulttolerations_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/defaulttolerations"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	type m = map[string]any
	pod := func(tolerations ...any) m { return m{"spec": m{"tolerations": tolerations}} }
	add := func(i int, key string, seconds int) string {
		return fmt.Sprintf(`spec.tolerations[%d] {"key":"node.kubernetes.io/%s","operator":"Exists","effect":"NoExecute","tolerationSeconds":%d}`, i, key, seconds)
	}
	for _, tc := range []struct {
		name, config string
		pod          m
		want         []string
	}{
		{"none", "", m{"spec": m{}}, []string{add(0, "not-ready", 300), add(1, "unreachable", 300)}},
		{"others", "", pod(m{"key": "mine"}), []string{add(1, "not-ready", 300), add(2, "unreachable", 300)}},
		{"one of its own", "", pod(m{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 5}), []string{add(1, "unreachable", 300)}},
		{"of another effect", "", pod(m{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}), []string{add(1, "not-ready", 300), add(2, "unreachable", 300)}},
		{"everything", "", pod(m{"operator": "Exists"}), nil},
		{"configured", `{"notReadySeconds":0,"unreachableSeconds":7}`, m{"spec": m{}}, []string{add(0, "not-ready", 0), add(1, "unreachable", 7)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "default-tolerations", tc.config), sdktest.Request{Resource: "v1/pods", Object: tc.pod})
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

// What is added on creation is kept on updates: the client's own list, sent
// again, may not take it away.
func TestUpdatesAreCompletedAlike(t *testing.T) {
	points := sdktest.Open[*admission.Points](t, "default-tolerations", "")
	pod := map[string]any{"spec": map[string]any{"tolerations": []any{map[string]any{"key": "mine", "operator": "Exists"}}}}
	created := sdktest.Mutate(t, points, sdktest.Request{Operation: admission.Create, Resource: "v1/pods", Object: pod})
	updated := sdktest.Mutate(t, points, sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Object: pod, Old: pod})
	if len(updated.Patch) != 2 {
		t.Errorf("an update adds %d tolerations, want 2", len(updated.Patch))
	}
	if diff := cmp.Diff(created.Patch, updated.Patch); diff != "" {
		t.Errorf("an update adds something else than a creation:\n%s", diff)
	}
	if want := []admission.Operation{admission.Create, admission.Update}; !cmp.Equal(want, points.Match[0].Operations) {
		t.Errorf("asked about %v, want %v", points.Match[0].Operations, want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	p, _ := sdk.Lookup("default-tolerations")
	for _, config := range []string{"{", `{"notReadySeconds":-1}`} {
		if _, err := p.New([]byte(config)); err == nil {
			t.Errorf("config %s is accepted", config)
		}
	}
}
