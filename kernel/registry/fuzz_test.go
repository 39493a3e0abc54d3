package registry_test

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
)

var patchTypes = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}

// FuzzPatch: whatever the bytes, the answer is an object or a Status of the
// client's fault, and the stored object stays valid.
func FuzzPatch(f *testing.F) {
	for kind, seeds := range [][]string{
		{`[{"op":"add","path":"/metadata/labels/x","value":"y"}]`, `[{"op":"copy","from":"/spec","path":"/spec/containers/0"}]`,
			`[{"op":"remove","path":""}]`, `[{"op":"replace","path":"","value":[]}]`, `[{"op":"move","from":"/spec","path":"/status"}]`, `[{}]`, `[null]`},
		{`{"metadata":{"labels":null}}`, `{"spec":{"containers":[{"name":1}]}}`, `null`, `[]`, `{"metadata":{"managedFields":[{"fieldsV1":{"f:":1}}]}}`, `{"kind":"X"}`},
		{`{"spec":{"containers":[{"name":"main","$patch":"delete"}]}}`, `{"$patch":"replace"}`, `{"spec":{"$setElementOrder/containers":[{"name":"x"}],"containers":[]}}`,
			`{"spec":{"$retainKeys":["x"]}}`, `{"metadata":{"$deleteFromPrimitiveList/finalizers":[1]}}`, `{"spec":{"containers":{"a":1}}}`, `{"spec":[[]]}`},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main, image: x}]}", "a: &a [*a]", "null", "[]",
			"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: main}, {name: main}]}", "apiVersion: v1\nkind: Pod\nmetadata: 3"},
	} {
		for _, s := range seeds {
			f.Add(uint8(kind), s, false)
			f.Add(uint8(kind), s, true)
		}
	}
	c := newCluster(f)
	f.Fuzz(func(t *testing.T, kind uint8, patch string, status bool) {
		target, pt := at(podsR, "p"), patchTypes[int(kind)%len(patchTypes)]
		if status {
			target.Subresource = "status"
		}
		if _, err := c.Get(t.Context(), at(podsR, "p"), metav1.GetOptions{}); apierrors.IsNotFound(err) {
			c.mustCreate(t, podsR, pod("p"))
		}
		for _, validation := range []string{"Ignore", "Strict"} {
			res, err := c.Patch(t.Context(), target, pt, []byte(patch), registry.WriteOptions{FieldManager: "fuzz", FieldValidation: validation, DryRun: validation == "Strict"})
			if err != nil {
				var s apierrors.APIStatus
				if !errors.As(err, &s) {
					t.Fatalf("%s %q: error %v is no Status", pt, patch, err)
				}
				continue
			}
			if m := res.Object.Obj.(metav1.Object); m.GetName() != "p" || m.GetNamespace() != "default" || m.GetUID() == "" {
				t.Fatalf("%s %q: metadata %+v", pt, patch, m)
			}
		}
	})
}

// FuzzContinue: a token is a client's bytes.
func FuzzContinue(f *testing.F) {
	c := newCluster(f)
	for _, name := range []string{"a", "b", "c"} {
		c.mustCreate(f, podsR, pod(name))
	}
	f.Add(c.list(f, metav1.ListOptions{Limit: 1}).Continue, "")
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYSJ9", "app=web")
	f.Add("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi9zZWNyZXRzIn0", "")
	f.Fuzz(func(t *testing.T, token, selector string) {
		l, err := c.List(t.Context(), at(podsR, ""), metav1.ListOptions{Limit: 2, Continue: token, LabelSelector: selector})
		var s apierrors.APIStatus
		if err != nil && !errors.As(err, &s) {
			t.Fatalf("error %v is no Status", err)
		}
		if err == nil && len(l.Items) > 2 {
			t.Fatalf("%d items", len(l.Items))
		}
	})
}
