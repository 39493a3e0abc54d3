package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// gizmoTypes are the objects of a custom kind: unstructured, with the fields
// that a schema has in all versions and a default for the last of them.
type gizmoTypes struct {
	resource.Types
	fields []string
}

func (g *gizmoTypes) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if strings.HasSuffix(gvk.Kind, "List") {
		l := &unstructured.UnstructuredList{Object: map[string]any{}}
		l.SetGroupVersionKind(gvk)
		return l, nil
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (g *gizmoTypes) Recognizes(gvk schema.GroupVersionKind) bool {
	return gvk.Group == "shop.example" && gvk.Kind == "Gizmo"
}

func (g *gizmoTypes) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	return []schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()}, false, nil
}

func (g *gizmoTypes) Default(obj runtime.Object) {
	if u, ok := obj.(*unstructured.Unstructured); ok && len(g.fields) > 1 {
		if last := g.fields[len(g.fields)-1]; u.Object[last] == nil {
			u.Object[last] = "default"
		}
	}
}

func (g *gizmoTypes) Prune(obj runtime.Object) (unknown []error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	for name := range u.Object {
		if !slices.Contains(append([]string{"apiVersion", "kind", "metadata"}, g.fields...), name) {
			delete(u.Object, name)
			unknown = append(unknown, fmt.Errorf("unknown field %q", name))
		}
	}
	return unknown
}

func (g *gizmoTypes) ConvertToVersion(obj runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	gvk, ok := to.KindForGroupVersionKinds([]schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()})
	if gv, is := to.(schema.GroupVersion); is {
		gvk, ok = gv.WithKind(obj.GetObjectKind().GroupVersionKind().Kind), true
	}
	if !ok {
		return nil, fmt.Errorf("no version of %s for %v", obj.GetObjectKind().GroupVersionKind(), to)
	}
	out := obj.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out, nil
}

func gizmos(fields []string, versions ...string) *resource.Definition {
	return &resource.Definition{
		Group: "shop.example", Resource: "gizmos", Singular: "gizmo", Kind: "Gizmo", ListKind: "GizmoList", Namespaced: true,
		Versions: versions, StorageVersion: versions[0], KeyPrefix: "/registry/shop.example/gizmos", JSONStored: true,
		Verbs: []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}, ShortNames: []string{"gz"},
		Types: &gizmoTypes{fields: fields},
		Schema: func(string, bool) *spec.Schema {
			s := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Description: "A thing of the shop.", Properties: map[string]spec.Schema{}}}
			for _, f := range fields {
				s.Properties[f] = *spec.StringProperty()
			}
			return s
		},
	}
}

// api reads documents of an API server.
type api struct {
	t *testing.T
	c *kerneltest.Server
}

func (a api) document(path, accept string) []byte {
	a.t.Helper()
	code := 0
	req := kerneltest.Client(a.t, a.c.Admin()).Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", accept)
	res := req.Do(a.t.Context()).StatusCode(&code)
	body, err := res.Raw()
	if err != nil && code != 404 {
		a.t.Fatalf("%s: %v", path, err)
	}
	if code == 404 {
		return nil
	}
	return body
}

func (a api) hashes() map[string]string {
	a.t.Helper()
	body := a.document("/openapi/v3", "application/json")
	var index struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		}
	}
	if err := json.Unmarshal(body, &index); err != nil {
		a.t.Fatal(err)
	}
	out := map[string]string{}
	for path, e := range index.Paths {
		out[path] = e.URL
	}
	return out
}

const aggregatedDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// TestKindsComeAndGo adds a kind while the server runs and is under load, gives
// it another version and another schema, and takes it away. Clients, watches,
// discovery and OpenAPI follow at once; what is not about the kind stays.
func TestKindsComeAndGo(t *testing.T) {
	t.Parallel()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: table})
	docs, ctx := api{t, c}, t.Context()
	client, err := dynamic.NewForConfig(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	v1 := schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "gizmos"}
	v2 := v1.GroupResource().WithVersion("v2")
	producer := c.Catalog().Producer("shop")
	apply := func(d *resource.Definition) {
		t.Helper()
		if err := producer.Apply([]*resource.Definition{d}); err != nil {
			t.Fatal(err)
		}
	}
	busy, relax := context.WithCancel(ctx)
	var load sync.WaitGroup
	var written atomic.Int64
	load.Go(func() { // of the kind, and of another
		others := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
		for i := 0; busy.Err() == nil; i++ {
			if _, err := others.Create(ctx, configMap(fmt.Sprint("load", i), nil), metav1.CreateOptions{}); err != nil {
				t.Errorf("another kind is disturbed: %v", err)
			}
			if _, err := client.Resource(v1).Namespace("default").Create(ctx, gizmo(fmt.Sprint("load", i), "v1", nil), metav1.CreateOptions{}); err == nil {
				written.Add(1)
			} else if !apierrors.IsNotFound(err) {
				t.Errorf("create under load: %v", err)
			}
		}
	})
	defer func() { relax(); load.Wait() }()

	before := docs.hashes()
	if body := docs.document("/apis/shop.example/v1", "application/json"); body != nil {
		t.Fatal("the kind is there before it comes")
	}
	apply(gizmos([]string{"size"}, "v1"))
	if body := docs.document("/apis/shop.example/v1", "application/json"); !strings.Contains(string(body), `"shortNames":["gz"]`) {
		t.Errorf("discovery: %s", body)
	}
	if body := docs.document("/apis", aggregatedDiscovery); !strings.Contains(string(body), `"resource":"gizmos"`) {
		t.Error("aggregated discovery does not have the kind")
	}
	first := docs.hashes()
	if first["apis/apps/v1"] != before["apis/apps/v1"] || first["apis/shop.example/v1"] == "" {
		t.Errorf("openapi v3: apps/v1 moved from %s to %s; of the kind: %q", before["apis/apps/v1"], first["apis/apps/v1"], first["apis/shop.example/v1"])
	}
	if body := docs.document("/openapi/v2", "application/json"); !strings.Contains(string(body), `"example.shop.v1.Gizmo":`) || !strings.Contains(string(body), `"io.k8s.api.core.v1.Pod":`) {
		t.Error("openapi v2 does not have the kind beside the others")
	}

	things := client.Resource(v1).Namespace("default")
	made, err := things.Create(ctx, gizmo("a", "v1", map[string]any{"size": "l", "junk": "x"}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Object["junk"] != nil || made.Object["size"] != "l" {
		t.Errorf("created %v", made.Object)
	}
	if _, err := things.Create(ctx, gizmo("b", "v1", map[string]any{"junk": "x"}), metav1.CreateOptions{FieldValidation: "Strict"}); !apierrors.IsBadRequest(err) {
		t.Errorf("strict creation with an unknown field: %v", err)
	}
	if _, err := things.Patch(ctx, "a", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsUnsupportedMediaType(err) {
		t.Errorf("strategic merge patch: %v", err)
	}
	applied, err := things.Apply(ctx, "a", gizmo("a", "v1", map[string]any{"size": "xl"}), metav1.ApplyOptions{FieldManager: "me", Force: true})
	if err != nil || applied.Object["size"] != "xl" {
		t.Errorf("apply: %v, %v", applied, err)
	}
	w, err := things.Watch(ctx, metav1.ListOptions{ResourceVersion: applied.GetResourceVersion(), FieldSelector: "metadata.name=a"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	apply(gizmos([]string{"size", "color"}, "v2", "v1"))
	if body := docs.document("/apis", aggregatedDiscovery); !strings.Contains(string(body), `"version":"v2","resources":[{"resource":"gizmos"`) {
		t.Error("aggregated discovery does not have the new version")
	}
	second := docs.hashes()
	if second["apis/apps/v1"] != before["apis/apps/v1"] || second["apis/shop.example/v1"] == first["apis/shop.example/v1"] || second["apis/shop.example/v2"] == "" {
		t.Errorf("openapi v3 after the change: %v, before it %v", second["apis/shop.example/v1"], first["apis/shop.example/v1"])
	}
	if body := docs.document("/openapi/v3/apis/shop.example/v2", "application/json"); !strings.Contains(string(body), `"color"`) {
		t.Error("openapi v3 does not have the new field")
	}
	patched, err := client.Resource(v2).Namespace("default").Patch(ctx, "a", types.MergePatchType, []byte(`{"size":"m"}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if patched.GetAPIVersion() != "shop.example/v2" || patched.Object["color"] != "default" {
		t.Errorf("patched in the new version: %v", patched.Object)
	}
	e, ok := <-w.ResultChan()
	if !ok || e.Type != kwatch.Modified {
		t.Fatalf("the watch from before the change ended, or tells %v", e)
	}
	if u := e.Object.(*unstructured.Unstructured); u.GetAPIVersion() != "shop.example/v1" || u.Object["size"] != "m" || u.GetResourceVersion() != patched.GetResourceVersion() {
		t.Errorf("the watch tells %v", u.Object)
	}

	if err := producer.Apply(nil, v1.GroupResource()); err != nil {
		t.Fatal(err)
	}
	if e, ok := <-w.ResultChan(); ok {
		t.Errorf("the watch of what is gone tells %v", e)
	}
	if _, err := things.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get of what is gone: %v", err)
	}
	last := docs.hashes()
	if last["apis/apps/v1"] != before["apis/apps/v1"] || last["apis/shop.example/v1"] != "" {
		t.Errorf("openapi v3 after the removal: %q", last["apis/shop.example/v1"])
	}
	if body := docs.document("/apis", aggregatedDiscovery); strings.Contains(string(body), "shop.example") {
		t.Error("aggregated discovery still has the kind")
	}
	if written.Load() == 0 {
		t.Error("nothing was written under load")
	}
}

func gizmo(name, version string, fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	for k, v := range fields {
		u.Object[k] = v
	}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "shop.example", Version: version, Kind: "Gizmo"})
	u.SetName(name)
	return u
}
