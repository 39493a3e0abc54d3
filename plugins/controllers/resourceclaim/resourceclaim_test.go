package resourceclaim

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func run(t *testing.T, name string, objects ...client.Object) (*sdktest.Store, controller.Result, error) {
	t.Helper()
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	res, err := reconcile(s.Client(), controller.Request{Namespace: "default", Name: name})
	return s, res, err
}

func claimNames(s *sdktest.Store) (out []string) {
	for _, k := range s.Keys() {
		if name, ok := strings.CutPrefix(k, claims+"/default/"); ok {
			out = append(out, name)
		}
	}
	return out
}

func TestClaimIsMade(t *testing.T) {
	s, _, err := run(t, ofPod+"p", aPod(), aTemplate())
	if err != nil {
		t.Fatal(err)
	}
	names := claimNames(s)
	if len(names) != 1 || !strings.HasPrefix(names[0], "p-gpu-") {
		t.Fatalf("claims %q", names)
	}
	made := &newClaim{}
	if err := s.Client().Get(made, "default", names[0]); err != nil {
		t.Fatal(err)
	}
	o := made.OwnerReferences
	if len(o) != 1 || o[0].UID != "uid-p" || o[0].Kind != "Pod" || o[0].Controller == nil || !*o[0].Controller || o[0].BlockOwnerDeletion != nil {
		t.Errorf("owners %+v", o)
	}
	if d := cmp.Diff(map[string]string{"c": "d", annotation: "gpu"}, made.Annotations); d != "" || made.Labels["a"] != "b" {
		t.Errorf("labels %v, annotations %s", made.Labels, d)
	}
	if !strings.Contains(string(made.Spec), `"deviceClassName":"gpu"`) {
		t.Errorf("spec %s", made.Spec)
	}
	p := &pod{}
	if err := s.Client().Get(p, "default", "p"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]claimStatus{{Name: "gpu", ClaimName: &names[0]}}, p.Status.Claims); d != "" {
		t.Error(d)
	}
}

func TestPod(t *testing.T) {
	for name, c := range map[string]struct {
		objects []client.Object
		claims  string // what there is afterwards
		of      string // what the pod says of it
		fails   string
		told    bool // in an event
	}{
		"made, and not told":    {[]client.Object{aPod(), aTemplate(), aClaim("p-gpu-7")}, "p-gpu-7", "p-gpu-7", "", false},
		"made and told":         {[]client.Object{aPod(told), aTemplate(), aClaim("p-gpu-1")}, "p-gpu-1", "p-gpu-1", "", false},
		"made for another's":    {[]client.Object{aPod(), aTemplate(), aClaim("p-net-1", func(c *claim) { c.Annotations[annotation] = "net" })}, "p-gpu-4 p-net-1", "p-gpu-4", "", false},
		"deleted by mistake":    {[]client.Object{aPod(told), aTemplate()}, "p-gpu-3", "p-gpu-3", "", false},
		"somebody else's":       {[]client.Object{aPod(told), aTemplate(), aClaim("p-gpu-1", shared)}, "p-gpu-4 p-gpu-1", "p-gpu-4", "", false},
		"being deleted":         {[]client.Object{aPod(), aTemplate(), aClaim("p-gpu-7", protected, deleted)}, "p-gpu-7", "p-gpu-7", "", false},
		"not needed":            {[]client.Object{aPod(without), aTemplate()}, "", "", "", false},
		"without its template":  {[]client.Object{aPod()}, "", "", `resource claim template "t": `, true},
		"in an unknown way":     {[]client.Object{aPod(func(p *pod) { p.Spec.Claims = []podClaim{{Name: "gpu"}} })}, "", "", "checking for claim before creating it: ", true},
		"the pod stops":         {[]client.Object{aPod(bound, going), aTemplate()}, "", "", "", false},
		"the pod has ended":     {[]client.Object{aPod(ended), aTemplate()}, "", "", "", false},
		"the pod has no claims": {[]client.Object{aPod(func(p *pod) { p.Spec.Claims = nil }), aTemplate()}, "", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := run(t, ofPod+"p", c.objects...)
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			short := func(names []string) string { return strings.ReplaceAll(strings.Join(names, " "), "-0000", "-") }
			if got := short(claimNames(s)); got != c.claims {
				t.Errorf("claims %q, want %q", got, c.claims)
			}
			p := &pod{}
			if err := s.Client().Get(p, "default", "p"); err != nil {
				t.Fatal(err)
			}
			of := ""
			for _, x := range p.Status.Claims {
				if x.Name == "gpu" && x.ClaimName != nil {
					of = short([]string{*x.ClaimName})
				}
			}
			if of != c.of {
				t.Errorf("the pod has %q, want %q", of, c.of)
			}
			want := "p FailedResourceClaimCreation: PodResourceClaim gpu: " + c.fails
			if got := slices.ContainsFunc(s.Notes, func(n string) bool { return strings.HasPrefix(n, want) }); got != c.told {
				t.Errorf("events %q", s.Notes)
			}
		})
	}
}

func TestReserve(t *testing.T) {
	one := func(p *pod) { p.Spec.Claims = p.Spec.Claims[1:] }
	for name, c := range map[string]struct {
		pod   *pod
		claim *claim
		want  []consumer
	}{
		"given a node by somebody": {aPod(one, bound), aClaim("shared", shared, allocated), []consumer{forP}},
		"beside another":           {aPod(one, bound), aClaim("shared", shared, allocated, reserved(forQ)), []consumer{forQ, forP}},
		"reserved already":         {aPod(one, bound), aClaim("shared", shared, allocated, reserved(forP)), []consumer{forP}},
		"not allocated yet":        {aPod(one, bound), aClaim("shared", shared), nil},
		"for the scheduler to do":  {aPod(one), aClaim("shared", shared, allocated), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := run(t, ofPod+"p", c.pod, c.claim)
			if err != nil {
				t.Fatal(err)
			}
			got := &claim{}
			if err := s.Client().Get(got, "default", "shared"); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got.Status.ReservedFor); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestClaim(t *testing.T) {
	for name, c := range map[string]struct {
		objects []client.Object
		want    string
	}{
		"its pod runs":                     {[]client.Object{aPod(bound), aClaim("c", allocated, reserved(forP))}, "allocated protected pods/p"},
		"its pod waits":                    {[]client.Object{aPod(), aClaim("c")}, ""},
		"its pod has ended":                {[]client.Object{aPod(bound, ended), aClaim("c", allocated, reserved(forP))}, "gone"},
		"its pod went without a node":      {[]client.Object{aPod(going), aClaim("c", allocated, reserved(forP))}, "gone"},
		"its pod stops":                    {[]client.Object{aPod(bound, going), aClaim("c", allocated, reserved(forP))}, "allocated protected pods/p"},
		"its pod is gone":                  {[]client.Object{aClaim("c", allocated, reserved(forP))}, ""}, // for the garbage collector
		"its pod was replaced":             {[]client.Object{aPod(func(p *pod) { p.UID = "new" }), aClaim("c", allocated, reserved(forP))}, "gone"},
		"everybody's, whose pod has ended": {[]client.Object{aPod(bound, ended), aClaim("c", shared, allocated, reserved(forP))}, ""},
		"everybody's, one of two is gone":  {[]client.Object{aPod(bound), aClaim("c", shared, allocated, reserved(forP, forQ))}, "allocated protected pods/p"},
		"for others than pods":             {[]client.Object{aClaim("c", shared, allocated, reserved(forGroup, forQ))}, "allocated protected podgroups/g"},
		"allocated, for nobody yet":        {[]client.Object{aPod(), aClaim("c", allocated)}, "allocated protected"},
		"allocated, and its pod has ended": {[]client.Object{aPod(ended), aClaim("c", allocated)}, "allocated protected deleted"},
		"deleted":                          {[]client.Object{aClaim("c", shared, allocated, deleted)}, "gone"},
		"deleted, in use":                  {[]client.Object{aPod(bound), aClaim("c", shared, allocated, deleted, reserved(forP))}, "allocated protected deleted pods/p"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := run(t, "c", c.objects...)
			if err != nil {
				t.Fatal(err)
			}
			if got := described(t, s, "c"); got != c.want {
				t.Errorf("the claim is %q, want %q", got, c.want)
			}
		})
	}
}

func described(t *testing.T, s *sdktest.Store, name string) string {
	t.Helper()
	c := &claim{}
	if err := s.Client().Get(c, "default", name); err != nil {
		if !client.IsNotFound(err) {
			t.Fatal(err)
		}
		return "gone"
	}
	var out []string
	if c.Status.Allocation != nil {
		out = append(out, "allocated")
	}
	if slices.Contains(c.Finalizers, finalizer) {
		out = append(out, "protected")
	}
	if c.DeletionTimestamp != nil {
		out = append(out, "deleted")
	}
	for _, r := range c.Status.ReservedFor {
		out = append(out, r.Resource+"/"+r.Name)
	}
	return strings.Join(out, " ")
}

// TestWoken: who waits for a template or uses a claim is asked for, and what was made for
// a pod that is done.
func TestWoken(t *testing.T) {
	other := aPod(func(p *pod) {
		p.Name, p.UID, p.Spec.Claims = "q", "uid-q", []podClaim{{Name: "gpu", TemplateName: ptr("u")}}
	})
	for name, c := range map[string]struct {
		request string
		pod     *pod
		want    []string
	}{
		"a template":                   {ofTemplate + "t", aPod(), []string{ofPod + "p"}},
		"a template that was used":     {ofTemplate + "t", aPod(told), nil},
		"a template nobody needs":      {ofTemplate + "t", aPod(without), nil},
		"a claim":                      {usersOf + "shared", aPod(bound), []string{ofPod + "p"}},
		"a claim, without a node":      {usersOf + "shared", aPod(), nil},
		"a claim, of a pod that ended": {usersOf + "shared", aPod(bound, ended), nil},
		"a pod that is done":           {ofPod + "p", aPod(ended), []string{"p-gpu-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, res, err := run(t, c.request, c.pod, other, aClaim("p-gpu-1"), aClaim("shared", shared))
			var got []string
			for _, q := range res.Enqueue {
				got = append(got, q.Name)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestConflict: a reservation that came meanwhile is not lost.
func TestConflict(t *testing.T) {
	s, err := sdktest.NewStore(aClaim("c", shared, allocated, reserved(forQ)))
	if err != nil {
		t.Fatal(err)
	}
	late := &meanwhile{Client: s.Client(), do: func(c client.Client) {
		if err := c.Patch(aClaim("c"), client.Patch{Data: map[string]any{"status": map[string]any{"reservedFor": []consumer{forQ, forP}}}}); err != nil {
			t.Fatal(err)
		}
	}}
	if err := reconcileClaim(late, "default", "c"); !client.IsConflict(err) {
		t.Errorf("%v, want a conflict", err)
	}
	if got := described(t, s, "c"); got != "allocated protected pods/q pods/p" {
		t.Errorf("the claim is %q", got)
	}
	if err := s.Client().Create(aPod(bound)); err != nil {
		t.Fatal(err)
	}
	if err := reconcileClaim(s.Client(), "default", "c"); err != nil {
		t.Fatal(err)
	}
	if got := described(t, s, "c"); got != "allocated protected pods/p" {
		t.Errorf("the claim is %q", got)
	}
}

// meanwhile does something just before the first patch.
type meanwhile struct {
	client.Client
	do func(client.Client)
}

func (m *meanwhile) Patch(o client.Object, p client.Patch) error {
	if do := m.do; do != nil {
		m.do = nil
		do(m.Client)
	}
	return m.Client.Patch(o, p)
}
