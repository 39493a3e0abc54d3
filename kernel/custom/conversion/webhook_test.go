package conversion

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func thing(version, name string, meta map[string]any) *unstructured.Unstructured {
	m := map[string]any{"name": name, "namespace": "n", "uid": "u"}
	for k, v := range meta {
		m[k] = v
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "x.example/" + version, "kind": "Thing", "metadata": m}}
}

// What a webhook may not change is refused, or taken back.
func TestCheck(t *testing.T) {
	to := schema.GroupVersion{Group: "x.example", Version: "v2"}
	for name, x := range map[string]struct {
		answer *unstructured.Unstructured
		want   string // part of the error
	}{
		"version":     {thing("v1", "a", nil), `groupVersion must be "x.example/v2", not "x.example/v1"`},
		"name":        {thing("v2", "b", nil), `name must be "a", not "b"`},
		"uid":         {thing("v2", "a", map[string]any{"uid": "other"}), `UID must be "u", not "other"`},
		"metadata":    {&unstructured.Unstructured{Object: map[string]any{"apiVersion": "x.example/v2", "kind": "Thing", "metadata": "none"}}, "must be"},
		"labels":      {thing("v2", "a", map[string]any{"labels": "none"}), "metadata.labels is of type string"},
		"label":       {thing("v2", "a", map[string]any{"labels": map[string]any{"a": int64(1)}}), "contains non-string value"},
		"annotations": {thing("v2", "a", map[string]any{"annotations": []any{}}), "metadata.annotations is of type"},
		"as it is":    {thing("v2", "a", map[string]any{"labels": map[string]any{"new": "x"}, "generation": int64(9)}), ""},
	} {
		in := thing("v1", "a", map[string]any{"labels": map[string]any{"old": "x"}, "generation": int64(3)})
		err := check(in, x.answer, to)
		if x.want != "" {
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: %v, want %s", name, err, x.want)
			}
			continue
		}
		if err != nil || x.answer.GetGeneration() != 3 || x.answer.GetLabels()["new"] != "x" || x.answer.GetLabels()["old"] != "" {
			t.Errorf("%s: %v, %v", name, err, x.answer)
		}
	}
}
