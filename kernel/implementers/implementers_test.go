package implementers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/implementers"
	"github.com/pintle-io/pintle/kernel/resource"
)

var (
	sets  = schema.GroupResource{Group: "apps", Resource: "statefulsets"}
	pods  = schema.GroupResource{Resource: "pods"}
	plain = schema.GroupResource{Resource: "configmaps"}
)

func TestSet(t *testing.T) {
	var s implementers.Set
	check := func(gr schema.GroupResource, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, s.Of(gr)); d != "" {
			t.Errorf("%s (-want +got):\n%s", gr, d)
		}
	}
	check(pods)
	s.Declare("nobody")
	s.Declare("b", pods, sets)
	s.Declare("a", pods)
	check(pods, "a", "b")
	check(sets, "b")
	s.Declare("b", pods) // another version of it
	check(sets)
	s.Declare("a")
	check(pods, "b")
	s.Declare("b")
	check(pods)
}

type table map[schema.GroupResource]*resource.Definition

func (k table) Lookup(gr schema.GroupResource) *resource.Definition { return k[gr] }

func TestRule(t *testing.T) {
	known := make(chan struct{})
	set := &implementers.Set{}
	rule := implementers.Rule{Set: set, Known: known, Kinds: table{
		sets:  {Kind: "StatefulSet", NeedsImplementer: true},
		plain: {Kind: "ConfigMap"},
	}}
	warned := func(gr schema.GroupResource, op admission.Operation, sub string) bool {
		t.Helper()
		var got []string
		a := &admission.Attributes{Operation: op, Subresource: sub, Resource: gr.WithVersion("v1"), Warnings: func(s string) { got = append(got, s) }}
		if err := rule.Validate(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 && !strings.Contains(got[0], gr.String()) {
			t.Errorf("the warning does not name the resource: %q", got)
		}
		return len(got) == 1
	}
	if warned(sets, admission.Create, "") {
		t.Error("warned while plugins are being loaded")
	}
	close(known)
	for _, c := range []struct {
		gr   schema.GroupResource
		op   admission.Operation
		sub  string
		want bool
	}{
		{sets, admission.Create, "", true},
		{sets, admission.Update, "", false},
		{sets, admission.Delete, "", false},
		{sets, admission.Create, "scale", false},
		{plain, admission.Create, "", false},
		{pods, admission.Create, "", false}, // not in the table
	} {
		if got := warned(c.gr, c.op, c.sub); got != c.want {
			t.Errorf("%s of %s %q: warned %t, want %t", c.op, c.gr, c.sub, got, c.want)
		}
	}
	set.Declare("plugin/sets", sets)
	if warned(sets, admission.Create, "") {
		t.Error("warned of what has an implementer")
	}
	set.Declare("plugin/sets")
	if !warned(sets, admission.Create, "") {
		t.Error("not warned once the implementer is gone")
	}
}
