package conversion

import (
	"bytes"
	"context"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// seeing is a plugin that keeps what it was shown.
type seeing struct{ saw *[]byte }

func (s seeing) Convert(_ context.Context, _ string, objects [][]byte, to string) ([][]byte, error) {
	*s.saw = objects[0]
	return [][]byte{bytes.Replace(objects[0], []byte("x.example/v1"), []byte(to), 1)}, nil
}

// TestManagersAreNotShown: a plugin gets the object without its field managers, and the
// answer has them again.
func TestManagersAreNotShown(t *testing.T) {
	var saw []byte
	crd := &apiextensionsv1.CustomResourceDefinition{}
	crd.Annotations = map[string]string{PluginAnnotation: "p"}
	c, err := New(crd, nil, seeing{&saw})
	if err != nil {
		t.Fatal(err)
	}
	for name, meta := range map[string]map[string]any{
		"managed":   {"managedFields": []any{map[string]any{"manager": "m"}}, "labels": map[string]any{"a": "b"}},
		"unmanaged": {"labels": map[string]any{"a": "b"}},
	} {
		in := thing("v1", "n", meta)
		managers := len(in.GetManagedFields())
		out, err := c.Convert(t.Context(), []*unstructured.Unstructured{in}, schema.GroupVersion{Group: "x.example", Version: "v2"})
		if err != nil {
			t.Fatal(name, err)
		}
		if bytes.Contains(saw, []byte("managedFields")) || !bytes.Contains(saw, []byte(`"labels":{"a":"b"}`)) || !strings.Contains(string(saw), `"name":"n"`) {
			t.Errorf("%s: the plugin was shown %s", name, saw)
		}
		if got := len(out[0].GetManagedFields()); got != managers || len(in.GetManagedFields()) != managers {
			t.Errorf("%s: %d managers in the answer and %d in the object, want %d", name, got, len(in.GetManagedFields()), managers)
		}
	}
}
