package priority_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/priority"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

type m = map[string]any

// class is a PriorityClass as JSON has it.
type class struct {
	Metadata         m      `json:"metadata"`
	Value            int    `json:"value"`
	GlobalDefault    bool   `json:"globalDefault,omitempty"`
	PreemptionPolicy string `json:"preemptionPolicy,omitempty"`
}

func (*class) APIResource() string { return "scheduling.k8s.io/v1/priorityclasses" }

func named(name string, value int) *class {
	return &class{Metadata: m{"name": name}, Value: value, PreemptionPolicy: "PreemptLowerPriority"}
}

func byDefault(c *class) *class {
	c.GlobalDefault = true
	return c
}

func never(c *class) *class {
	c.PreemptionPolicy = "Never"
	return c
}

func store(t *testing.T, classes ...*class) *sdktest.Store {
	t.Helper()
	s, err := sdktest.NewStore()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append([]*class{named("system-node-critical", 2000001000)}, classes...) {
		if err := s.Client().Create(c); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

const ask = "spec.preemptionPolicy " + `"PreemptLowerPriority"`

func TestMutate(t *testing.T) {
	high, low := named("high", 1000), named("low", -5)
	for _, tc := range []struct {
		name    string
		classes []*class
		spec    m
		want    []string
		refused string
	}{
		{"no class, no default", nil, m{}, []string{"spec.priority 0", ask}, ""},
		{"no class, a default", []*class{byDefault(named("usual", 10)), high}, m{}, []string{`spec.priorityClassName "usual"`, "spec.priority 10", ask}, ""},
		{"the lowest of two defaults", []*class{byDefault(named("a", 10)), byDefault(named("b", 3))}, m{}, []string{`spec.priorityClassName "b"`, "spec.priority 3", ask}, ""},
		{"a class", []*class{high}, m{"priorityClassName": "high"}, []string{"spec.priority 1000", ask}, ""},
		{"a negative one", []*class{low}, m{"priorityClassName": "low"}, []string{"spec.priority -5", ask}, ""},
		{"of the system", nil, m{"priorityClassName": "system-node-critical"}, []string{"spec.priority 2000001000", ask}, ""},
		{"that never preempts", []*class{never(named("calm", 7))}, m{"priorityClassName": "calm"}, []string{"spec.priority 7", `spec.preemptionPolicy "Never"`}, ""},
		{"a class without a policy", []*class{{Metadata: m{"name": "old"}, Value: 4}}, m{"priorityClassName": "old", "preemptionPolicy": "Never"}, []string{"spec.priority 4"}, ""},
		{"an unknown class", nil, m{"priorityClassName": "none"}, nil, "no PriorityClass with name none was found"},
		{"the right number", []*class{high}, m{"priorityClassName": "high", "priority": 1000}, []string{"spec.priority 1000", ask}, ""},
		{"another number", []*class{high}, m{"priorityClassName": "high", "priority": 1}, nil,
			"the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name"},
		{"a number without a class", nil, m{"priority": 5}, nil,
			"the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"},
		{"another policy", []*class{high}, m{"priorityClassName": "high", "preemptionPolicy": "Never"}, nil,
			"the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "priority", ""), sdktest.Request{Resource: "v1/pods", Namespace: "ns", Object: m{"spec": tc.spec}, Store: store(t, tc.classes...)})
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

// A client that sends a pod without its priority keeps it.
func TestUpdate(t *testing.T) {
	old := m{"spec": m{"priority": 7, "preemptionPolicy": "Never"}}
	for name, tc := range map[string]struct {
		spec m
		want []string
	}{
		"left out": {m{}, []string{"spec.priority 7", `spec.preemptionPolicy "Never"`}},
		"sent":     {m{"priority": 7, "preemptionPolicy": "Never"}, nil},
		"changed":  {m{"priority": 8, "preemptionPolicy": "PreemptLowerPriority"}, nil}, // validation refuses it
	} {
		t.Run(name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "priority", ""), sdktest.Request{Operation: admission.Update, Resource: "v1/pods", Object: m{"spec": tc.spec}, Old: old})
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

func TestClasses(t *testing.T) {
	there := byDefault(named("usual", 10))
	for _, tc := range []struct {
		name    string
		op      admission.Operation
		class   *class
		classes []*class
		want    string
	}{
		{"the first default", admission.Create, byDefault(named("new", 1)), nil, ""},
		{"no default", admission.Create, named("new", 1), []*class{there}, ""},
		{"a second default", admission.Create, byDefault(named("new", 1)), []*class{there}, "PriorityClass usual is already marked as default. Only one default can exist"},
		{"the default itself", admission.Update, there, []*class{there}, ""},
		{"another becomes one", admission.Update, byDefault(named("new", 1)), []*class{there, named("new", 1)}, "PriorityClass usual is already marked as default. Only one default can exist"},
		{"the system's goes", admission.Delete, named("system-cluster-critical", 1), nil, "this is a system priority class and cannot be deleted"},
		{"another goes", admission.Delete, there, []*class{there}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := sdktest.Request{Operation: tc.op, Resource: "scheduling.k8s.io/v1/priorityclasses", Name: tc.class.Metadata["name"].(string), Store: store(t, tc.classes...)}
			if tc.op == admission.Delete {
				q.Old = tc.class
			} else {
				q.Object = tc.class
			}
			v := sdktest.Validate(t, sdktest.Open[*admission.Points](t, "priority", ""), q)
			if v.Message != tc.want || v.Forbidden != (tc.want != "") {
				t.Errorf("forbidden %v %q, want %q", v.Forbidden, v.Message, tc.want)
			}
		})
	}
}
