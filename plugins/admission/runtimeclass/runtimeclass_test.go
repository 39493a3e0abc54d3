package runtimeclass_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/runtimeclass"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

// class is a RuntimeClass as JSON has it; the light types have none.
type class struct {
	Metadata   m   `json:"metadata"`
	Overhead   any `json:"overhead,omitempty"`
	Scheduling any `json:"scheduling,omitempty"`
}

func (*class) APIResource() string { return "node.k8s.io/v1/runtimeclasses" }

func classes(t *testing.T) *sdktest.Store {
	t.Helper()
	named := func(name string) m { return m{"name": name} }
	s, err := sdktest.NewStore(
		&class{Metadata: named("plain")},
		&class{Metadata: named("heavy"), Overhead: m{"podFixed": m{"cpu": "250m", "memory": "1Gi"}}},
		&class{Metadata: named("placed"), Scheduling: m{"nodeSelector": m{"sandbox": "yes"}, "tolerations": []any{m{"key": "sandbox", "operator": "Exists"}}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMutate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		spec    m
		want    []string
		refused string
	}{
		{"missing", m{"runtimeClassName": "none"}, nil, `pod rejected: RuntimeClass "none" not found`},
		{"plain", m{"runtimeClassName": "plain"}, nil, ""},
		{"overhead", m{"runtimeClassName": "heavy"}, []string{`spec.overhead {"cpu":"250m","memory":"1Gi"}`}, ""},
		{"the same overhead, otherwise written", m{"runtimeClassName": "heavy", "overhead": m{"cpu": "0.25", "memory": "1024Mi"}}, []string{`spec.overhead {"cpu":"250m","memory":"1Gi"}`}, ""},
		{"another overhead", m{"runtimeClassName": "heavy", "overhead": m{"cpu": "1"}}, nil, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"},
		{"placed", m{"runtimeClassName": "placed"}, []string{`spec.nodeSelector {"sandbox":"yes"}`, `spec.tolerations [{"key":"sandbox","operator":"Exists"}]`}, ""},
		{"placed, with wishes of its own", m{"runtimeClassName": "placed", "nodeSelector": m{"zone": "a"}, "tolerations": []any{m{"key": "x", "operator": "Exists"}}},
			[]string{`spec.nodeSelector {"sandbox":"yes","zone":"a"}`, `spec.tolerations [{"key":"x","operator":"Exists"},{"key":"sandbox","operator":"Exists"}]`}, ""},
		{"a toleration that covers the class's", m{"runtimeClassName": "placed", "nodeSelector": m{"sandbox": "yes"}, "tolerations": []any{m{"operator": "Exists"}}},
			[]string{`spec.nodeSelector {"sandbox":"yes"}`, `spec.tolerations [{"operator":"Exists"}]`}, ""},
		{"one that the class's covers", m{"runtimeClassName": "placed", "tolerations": []any{m{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}}},
			[]string{`spec.nodeSelector {"sandbox":"yes"}`, `spec.tolerations [{"key":"sandbox","operator":"Exists"}]`}, ""},
		{"placed elsewhere", m{"runtimeClassName": "placed", "nodeSelector": m{"sandbox": "no"}}, nil,
			"conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "runtime-class", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: m{"spec": tc.spec}, Store: classes(t)})
			var got []string
			for _, p := range v.Patch {
				got = append(got, p.Path+" "+string(p.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || v.Message != tc.refused || v.Forbidden != (tc.refused != "") {
				t.Errorf("forbidden %v %q, want %q; patch (-want +got):\n%s", v.Forbidden, v.Message, tc.refused, diff)
			}
		})
	}
}

// Policies in between may have changed the pod.
func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		spec m
		want string
	}{
		"right":            {m{"runtimeClassName": "heavy", "overhead": m{"cpu": "250m", "memory": "1Gi"}}, ""},
		"taken away":       {m{"runtimeClassName": "heavy"}, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"},
		"without a class":  {m{"overhead": m{"cpu": "1"}}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"},
		"class has none":   {m{"runtimeClassName": "plain", "overhead": m{"cpu": "1"}}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"},
		"class is missing": {m{"runtimeClassName": "none"}, `pod rejected: RuntimeClass "none" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "runtime-class", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: m{"spec": tc.spec}, Store: classes(t)})
			if v.Message != tc.want {
				t.Errorf("%q, want %q", v.Message, tc.want)
			}
		})
	}
}

// Pods without a class must cost nothing.
func TestMatch(t *testing.T) {
	want := []admission.MatchRule{
		{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods"}, Present: []string{"spec.runtimeClassName"}},
		{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods"}, Present: []string{"spec.overhead"}},
	}
	if diff := cmp.Diff(want, sdktest.Open[*admission.Points](t, "runtime-class", "").Match); diff != "" {
		t.Errorf("match (-want +got):\n%s", diff)
	}
}
