package aggregation

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestParseResources: what extension servers say that they serve, and what is not
// believed.
func TestParseResources(t *testing.T) {
	gv := schema.GroupVersion{Group: "shop.example", Version: "v1"}
	head := `{"kind":"APIResourceList","groupVersion":"shop.example/v1","resources":[`
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a","kind":"A"},`, maxResources+1), ",")
	for name, c := range map[string]struct{ doc, want, err string }{
		"resources": {head + `{"name":"orders","singularName":"order","namespaced":true,"kind":"Order","verbs":["get"]},{"name":"orders/scale","kind":"Scale","group":"autoscaling","version":"v1","verbs":["get"]},{"name":"shops","kind":"Shop","verbs":["list"]}]}`,
			"orders Namespaced shop.example/v1, Kind=Order [get] scale:autoscaling/v1, Kind=Scale; shops Cluster shop.example/v1, Kind=Shop [list]; ", ""},
		"a subresource first": {head + `{"name":"orders/scale","namespaced":true,"kind":"Scale","verbs":["get"]},{"name":"orders","namespaced":true,"kind":"Order","verbs":["get"]}]}`,
			"orders Namespaced shop.example/v1, Kind=Order [get] scale:shop.example/v1, Kind=Scale; ", ""},
		"nothing":         {"", "", "larger than 2 MiB"},
		"no JSON":         {"<html>", "", "invalid character"},
		"another kind":    {`{"kind":"Status"}`, "", `it is a "Status"`},
		"another version": {`{"kind":"APIResourceList","groupVersion":"apps/v1"}`, "", `it is about "apps/v1"`},
		"too many":        {head + many + "]}", "", fmt.Sprintf("at most %d", maxResources)},
		"no name":         {head + `{"name":""}]}`, "", "without a name"},
		"half a name":     {head + `{"name":"a/"}]}`, "", "without a name"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := parseResources([]byte(c.doc), gv)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, r := range list {
				k := r.ResponseKind
				fmt.Fprintf(&got, "%s %s %s/%s, Kind=%s %v", r.Resource, r.Scope, k.Group, k.Version, k.Kind, r.Verbs)
				for _, s := range r.Subresources {
					fmt.Fprintf(&got, " %s:%s/%s, Kind=%s", s.Subresource, s.ResponseKind.Group, s.ResponseKind.Version, s.ResponseKind.Kind)
				}
				got.WriteString("; ")
			}
			if got.String() != c.want {
				t.Errorf("got  %s\nwant %s", got.String(), c.want)
			}
		})
	}
}

// TestPriorities: upstream's of some group versions, custom kinds last.
func TestPriorities(t *testing.T) {
	for gv, want := range map[schema.GroupVersion]priority{
		{Version: "v1"}:                                   {18000, 1},
		{Group: "apps", Version: "v1"}:                    {17800, 15},
		{Group: "autoscaling", Version: "v2"}:             {17500, 30},
		{Group: "resource.k8s.io", Version: "v1"}:         {16200, 21},
		{Group: "metrics.k8s.io", Version: "v1beta1"}:     {100, 100},
		{Group: "pintle.dev", Version: "v1alpha1"}:        {15000, 15},
		{Group: "storagemigration.k8s.io", Version: "v1"}: {15800, 15},
	} {
		if got := priorityOf(gv, true); got != want {
			t.Errorf("%s: %v, want %v", gv, got, want)
		}
	}
	if got := priorityOf(schema.GroupVersion{Group: "shop.example", Version: "v1"}, false); got != ofDefined {
		t.Errorf("a custom kind: %v", got)
	}
}
