package conversion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"
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

// answering are clients of a webhook that does to each review what it says.
type answering struct {
	client *rest.RESTClient
	sizes  []int // of the reviews, in objects
}

func (a *answering) HookClient(webhookutil.ClientConfig) (*rest.RESTClient, error) {
	return a.client, nil
}

func newAnswering(t *testing.T, change func([]map[string]any) []map[string]any) *answering {
	t.Helper()
	a := &answering{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			APIVersion, Kind string
			Request          struct {
				UID, DesiredAPIVersion string
				Objects                []map[string]any
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		a.sizes = append(a.sizes, len(review.Request.Objects))
		for _, o := range review.Request.Objects {
			o["apiVersion"] = review.Request.DesiredAPIVersion
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": map[string]any{
			"uid": review.Request.UID, "result": map[string]any{"status": "Success"}, "convertedObjects": change(review.Request.Objects)}}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client, err := rest.UnversionedRESTClientFor(&rest.Config{Host: s.URL, ContentConfig: rest.ContentConfig{
		NegotiatedSerializer: serializer.NegotiatedSerializerWrapper(runtime.SerializerInfo{Serializer: serializer.NewCodecFactory(scheme).LegacyCodec(apiextensionsv1.SchemeGroupVersion)})}})
	if err != nil {
		t.Fatal(err)
	}
	a.client = client
	return a
}

func same(in []map[string]any) []map[string]any { return in }

// Objects are asked about together, in reviews of a bounded size, and come back in
// their order.
func TestBatches(t *testing.T) {
	to := schema.GroupVersion{Group: "x.example", Version: "v2"}
	for name, x := range map[string]struct {
		bytes []int
		want  []int
	}{
		"small":          {[]int{1, 1, 1, 1}, []int{4}},
		"too much":       {[]int{MaxReview / 3, MaxReview / 3, MaxReview / 3, 1, 1}, []int{2, 3}},
		"one too large":  {[]int{1, 2 * MaxReview, 1}, []int{1, 1, 1}},
		"large one last": {[]int{1, 1, MaxReview}, []int{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswering(t, same)
			var in []*unstructured.Unstructured
			for i, n := range x.bytes {
				in = append(in, thing("v1", fmt.Sprint("n", i), map[string]any{"annotations": map[string]any{"pad": strings.Repeat("x", n)}}))
			}
			out, err := (&Converter{ask: (&webhook{clients: a, v1: true}).ask}).Convert(t.Context(), in, to)
			if err != nil {
				t.Fatal(err)
			}
			for i, u := range out {
				if u.GetName() != in[i].GetName() || u.GetAPIVersion() != to.String() || len(u.GetAnnotations()["pad"]) != x.bytes[i] {
					t.Errorf("object %d is %s %s", i, u.GetAPIVersion(), u.GetName())
				}
			}
			if len(out) != len(in) || !slices.Equal(a.sizes, x.want) {
				t.Errorf("%d objects in reviews of %v, want %v", len(out), a.sizes, x.want)
			}
		})
	}
}

// What a webhook answers in another order, or of another number, is refused whole.
func TestAnswersOfBatches(t *testing.T) {
	to := schema.GroupVersion{Group: "x.example", Version: "v2"}
	for name, x := range map[string]struct {
		change func([]map[string]any) []map[string]any
		want   string
	}{
		"order":   {func(in []map[string]any) []map[string]any { slices.Reverse(in); return in }, `name must be "a", not "b" (object 1 of 2)`},
		"missing": {func(in []map[string]any) []map[string]any { return in[:1] }, "it returned 1 objects, expected 2"},
		"more":    {func(in []map[string]any) []map[string]any { return append(in, in[0]) }, "it returned 3 objects, expected 2"},
		"none":    {func([]map[string]any) []map[string]any { return nil }, "it returned 0 objects, expected 2"},
		"null":    {func(in []map[string]any) []map[string]any { return []map[string]any{in[0], nil} }, "invalid object"},
		"uid": {func(in []map[string]any) []map[string]any {
			in[1]["metadata"].(map[string]any)["uid"] = "w"
			return in
		}, `UID must be "u", not "w" (object 2 of 2)`},
	} {
		out, err := (&Converter{ask: (&webhook{clients: newAnswering(t, x.change), v1: true}).ask}).Convert(t.Context(), []*unstructured.Unstructured{thing("v1", "a", nil), thing("v1", "b", nil)}, to)
		if out != nil || err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %d objects, %v, want %s", name, len(out), err, x.want)
		}
	}
}
