package registry_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/patch"
)

// doubling is a JSON patch that copies a text again and again.
func doubling(item string, times int) string {
	ops := []string{`{"op":"add","path":"/metadata/annotations","value":{"x":"` + item + `"}}`}
	for i := range times {
		from := "x"
		if i > 0 {
			from = fmt.Sprint("y", i-1)
		}
		ops = append(ops, fmt.Sprintf(`{"op":"copy","from":"/metadata/annotations/%s","path":"/metadata/annotations/y%d"}`, from, i))
	}
	return "[" + strings.Join(ops, ",") + "]"
}

// Small patches must not become large objects, nor much memory on the way.
func TestPatchesDoNotAmplify(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"name":"c%d"},`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, tc := range map[string]struct {
		kind  types.PatchType
		patch string
		want  string
	}{
		"copied texts":           {types.JSONPatchType, doubling(strings.Repeat("x", 1000), 4000), "rejected"},
		"copied up to the bound": {types.JSONPatchType, doubling(strings.Repeat("x", 1000), 2900), "Too long"},
		"many values":            {types.JSONPatchType, `[{"op":"add","path":"/spec/containers","value":[` + strings.TrimSuffix(strings.Repeat("{},", patch.MaxValues), ",") + `]}]`, "values"},
		"a long strategic patch": {types.StrategicMergePatchType, `{"spec":{"containers":[` + list(20000) + `]}}`, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.mustCreate(t, podsR, pod("p"))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.Patch(t.Context(), at(podsR, "p"), tc.kind, []byte(tc.patch), registry.WriteOptions{FieldManager: "m", FieldValidation: "Strict"})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 10000 {
				t.Errorf("got %.300v, want an error about %q", err, tc.want)
			}
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 256 {
				t.Errorf("a patch of %d KiB took %d MiB", len(tc.patch)>>10, n)
			}
		})
	}
}

// Whatever the patch, an absurd quantity is refused before it is read.
func TestAbsurdQuantities(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	item := `{"name":"main","resources":{"limits":{"cpu":"1e20000000"}}}`
	for kind, patch := range map[types.PatchType]string{
		types.JSONPatchType:           `[{"op":"add","path":"/spec/containers/0/resources","value":{"limits":{"cpu":"1e20000000"}}}]`,
		types.MergePatchType:          `{"spec":{"containers":[` + item + `]}}`,
		types.StrategicMergePatchType: `{"spec":{"containers":[` + strings.ReplaceAll(item, "1e", `1\u0065`) + `]}}`,
		types.ApplyYAMLPatchType:      "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: main\n    resources: {limits: {cpu: \"1\\x6520000000\"}}\n",
	} {
		_, err := c.Patch(t.Context(), at(podsR, "p"), kind, []byte(patch), registry.WriteOptions{FieldManager: "m", Force: kind == types.ApplyYAMLPatchType})
		if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "spec.containers[0].resources.limits[cpu]") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	// As a text it may stand anywhere else.
	if _, err := c.Patch(t.Context(), at(podsR, "p"), types.StrategicMergePatchType, []byte(`{"metadata":{"annotations":{"commit":"1e20000000"}}}`), registry.WriteOptions{}); err != nil {
		t.Errorf("as an annotation: %v", err)
	}
}

// Each term of a selector is compared with each object, and for a watch with
// each event.
func TestSelectorsAreBounded(t *testing.T) {
	c := newCluster(t)
	labels := func(n int) string { return "a in (" + strings.TrimSuffix(strings.Repeat("x,", n), ",") + ")" }
	distinct := func(n int) string {
		var vs []string
		for i := range n {
			vs = append(vs, fmt.Sprint("v", i))
		}
		return "a in (" + strings.Join(vs, ",") + ")"
	}
	for name, tc := range map[string]struct {
		o  metav1.ListOptions
		ok bool
	}{
		"many values":  {metav1.ListOptions{LabelSelector: distinct(1001)}, false},
		"some values":  {metav1.ListOptions{LabelSelector: distinct(999)}, true},
		"one value":    {metav1.ListOptions{LabelSelector: labels(5000)}, true},
		"many terms":   {metav1.ListOptions{LabelSelector: strings.TrimSuffix(strings.Repeat("a,", 1001), ",")}, false},
		"many fields":  {metav1.ListOptions{FieldSelector: strings.TrimSuffix(strings.Repeat("metadata.name!=x,", 1001), ",")}, false},
		"both":         {metav1.ListOptions{LabelSelector: distinct(600), FieldSelector: strings.TrimSuffix(strings.Repeat("metadata.name!=x,", 600), ",")}, false},
		"a usual one":  {metav1.ListOptions{LabelSelector: "app=x,tier notin (a,b),!c", FieldSelector: "metadata.name!=x"}, true},
		"nothing much": {metav1.ListOptions{}, true},
	} {
		_, err := c.List(t.Context(), at(podsR, ""), tc.o)
		if (err == nil) != tc.ok || err != nil && !apierrors.IsBadRequest(err) {
			t.Errorf("list by %s: %.200v", name, err)
		}
		w, err := c.Watch(t.Context(), at(podsR, ""), tc.o)
		if (err == nil) != tc.ok {
			t.Errorf("watch by %s: %.200v", name, err)
		}
		if err == nil {
			w.Stop()
		}
	}
}
