package resourceclaim

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

func ptr[T any](v T) *T { return &v }

// aPod has one claim from a template, "gpu", and names one of everybody's, "shared".
func aPod(edit ...func(*pod)) *pod {
	p := &pod{}
	p.Namespace, p.Name, p.UID = "default", "p", "uid-p"
	p.Spec.Claims = []podClaim{{Name: "gpu", TemplateName: ptr("t")}, {Name: "net", ClaimName: ptr("shared")}}
	for _, f := range edit {
		f(p)
	}
	return p
}

func bound(p *pod) { p.Spec.NodeName = "n" }
func ended(p *pod) { p.Status.Phase = corev1.PodSucceeded }
func going(p *pod) {
	at := metav1.Time("2026-01-01T00:00:00Z")
	p.DeletionTimestamp, p.Finalizers = &at, []string{"x"}
}
func told(p *pod)    { p.Status.Claims = []claimStatus{{Name: "gpu", ClaimName: ptr("p-gpu-1")}} }
func without(p *pod) { p.Status.Claims = []claimStatus{{Name: "gpu"}} }

func aTemplate() *template2 {
	t := &template2{}
	t.Namespace, t.Name = "default", "t"
	t.Spec.Metadata.Labels, t.Spec.Metadata.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	t.Spec.Spec = json.RawMessage(`{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"gpu","count":9007199254740993}}]}}`)
	return t
}

// template2 is a template with its name, to store one.
type template2 struct {
	metav1.ObjectMeta `json:"metadata"`
	template
}

// aClaim is one that was made for the pod.
func aClaim(name string, edit ...func(*claim)) *claim {
	c := &claim{}
	c.Namespace, c.Name, c.Annotations = "default", name, map[string]string{annotation: "gpu"}
	c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "uid-p", Controller: ptr(true)}}
	for _, f := range edit {
		f(c)
	}
	return c
}

func shared(c *claim)    { c.OwnerReferences, c.Annotations = nil, nil }
func protected(c *claim) { c.Finalizers = []string{finalizer} }
func allocated(c *claim) { c.Status.Allocation = &struct{}{}; protected(c) }
func deleted(c *claim)   { at := metav1.Time("2026-01-01T00:00:00Z"); c.DeletionTimestamp = &at }
func reserved(of ...consumer) func(*claim) {
	return func(c *claim) { c.Status.ReservedFor = of }
}

var (
	forP     = consumer{Resource: "pods", Name: "p", UID: "uid-p"}
	forQ     = consumer{Resource: "pods", Name: "q", UID: "uid-q"}
	forGroup = consumer{APIGroup: "scheduling.k8s.io", Resource: "podgroups", Name: "g", UID: "uid-g"}
)

func TestClaimOf(t *testing.T) {
	for name, c := range map[string]struct {
		pod   *pod
		claim podClaim
		want  named
		fails string
	}{
		"everybody's":   {aPod(), podClaim{Name: "net", ClaimName: ptr("shared")}, named{name: "shared"}, ""},
		"not yet made":  {aPod(), podClaim{Name: "gpu", TemplateName: ptr("t")}, named{generated: true}, ""},
		"made":          {aPod(told), podClaim{Name: "gpu", TemplateName: ptr("t")}, named{name: "p-gpu-1", generated: true}, ""},
		"not needed":    {aPod(without), podClaim{Name: "gpu", TemplateName: ptr("t")}, named{needless: true}, ""},
		"a later field": {aPod(), podClaim{Name: "new"}, named{}, `pod "default/p", spec.resourceClaim "new": none of the supported fields are set`},
	} {
		got, err := claimOf(c.pod, &c.claim)
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && err.Error() != c.fails {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestGenerateName(t *testing.T) {
	long := strings.Repeat("p", 60)
	for _, c := range []struct{ pod, claim, want string }{
		{"p", "gpu", "p-gpu-"},
		{strings.Repeat("p", 40), strings.Repeat("c", 15), strings.Repeat("p", 40) + "-" + strings.Repeat("c", 15) + "-"}, // 57, just as long as may be
		{long, "gpu", long[:60*57/65] + "-" + "gpu"[:3*57/65]},
		{"p", strings.Repeat("c", 63), "-" + strings.Repeat("c", 63*57/66)},
	} {
		got := generateName(c.pod, c.claim)
		if got != c.want || len(got) > maxBase {
			t.Errorf("%s, %s: %q, want %q", c.pod, c.claim, got, c.want)
		}
	}
}

func TestStepOf(t *testing.T) {
	for name, c := range map[string]struct {
		claim     *claim
		remaining []consumer
		want      step
	}{
		"all use it":                {aClaim("c", allocated, reserved(forP, forQ)), []consumer{forP, forQ}, step{}},
		"one is left":               {aClaim("c", allocated, reserved(forP, forQ)), []consumer{forQ}, step{status: true, remaining: []consumer{forQ}}},
		"none is left":              {aClaim("c", allocated, reserved(forP)), nil, step{status: true, deallocate: true, unprotect: true}},
		"none, by another's rules":  {aClaim("c", allocated, reserved(forP), func(c *claim) { c.Finalizers = nil }), nil, step{status: true}},
		"nobody used it yet":        {aClaim("c", allocated), nil, step{}},
		"deleted, in use":           {aClaim("c", allocated, deleted, reserved(forP)), []consumer{forP}, step{}},
		"deleted, not in use":       {aClaim("c", allocated, deleted), nil, step{status: true, deallocate: true, unprotect: true}},
		"deleted, never allocated":  {aClaim("c", protected, deleted), nil, step{unprotect: true}},
		"deleted, held by others":   {aClaim("c", deleted), nil, step{}},
		"freed, and not told so":    {aClaim("c", protected), nil, step{}},
		"deleted as its last ended": {aClaim("c", allocated, deleted, reserved(forP)), nil, step{status: true, deallocate: true, unprotect: true}},
	} {
		if got := stepOf(c.claim, c.remaining); cmp.Diff(c.want, got, cmp.AllowUnexported(step{})) != "" {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestKeeps(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *pod
		want bool
	}{
		"waits for a node":          {aPod(), true},
		"runs":                      {aPod(bound), true},
		"is stopping":               {aPod(bound, going), true},
		"has ended":                 {aPod(bound, ended), false},
		"went before it had a node": {aPod(going), false},
		"is gone":                   {nil, false},
		"is another one":            {aPod(func(p *pod) { p.UID = "other" }), false},
	} {
		if got := keeps(forP, c.pod); got != c.want {
			t.Errorf("a pod that %s keeps its reservation: %v", name, got)
		}
	}
}

func TestStatusesWith(t *testing.T) {
	p := aPod()
	p.Status.Claims = []claimStatus{{Name: "z", ClaimName: ptr("z1")}, {Name: "none"}, {Name: "gpu", ClaimName: ptr("old")}}
	want := []claimStatus{{Name: "a", ClaimName: ptr("a1")}, {Name: "gpu", ClaimName: ptr("new")}, {Name: "z", ClaimName: ptr("z1")}, {Name: "none"}}
	if d := cmp.Diff(want, statusesWith(p, map[string]string{"a": "a1", "gpu": "new"})); d != "" {
		t.Error(d)
	}
}
