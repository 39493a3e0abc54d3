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

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
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

func (g *gizmoTypes) Prune(obj runtime.Object, _ bool) (unknown []error, err error) {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	for name := range u.Object {
		if !slices.Contains(append([]string{"apiVersion", "kind", "metadata"}, g.fields...), name) {
			delete(u.Object, name)
			unknown = append(unknown, fmt.Errorf("unknown field %q", name))
		}
	}
	return unknown, nil
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

// The plugins of TestKindsComeAndGo: both are loaded before the kind is there.
var (
	byName = newReconciled("kinds-by-name", controller.Watch{Resource: "shop.example/v1/gizmos"})
	ofAll  = newReconciled("kinds-of-all", controller.Watch{Resource: controller.AllResources, Metadata: true})
)

// reconciled is a plugin that counts what it was asked to reconcile.
type reconciled struct {
	name string
	mu   sync.Mutex
	seen map[string]int // by name; guarded by mu
}

func newReconciled(name string, w controller.Watch) *reconciled {
	r := &reconciled{name: name, seen: map[string]int{}}
	sdk.Register(sdk.Plugin{Name: name, New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: []controller.Watch{w}, Reconcile: func(_ client.Client, q controller.Request) (controller.Result, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.seen[q.Name]++
			return controller.Result{}, nil
		}}, nil
	}})
	return r
}

func (r *reconciled) times(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[name]
}

// load makes the Plugin and waits until it is in use.
func (r *reconciled) load(t *testing.T, c *kerneltest.Server) {
	t.Helper()
	target := registry.Target{Resource: v1alpha1.Plugins, Name: r.name}
	p := &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"}, ObjectMeta: metav1.ObjectMeta{Name: r.name},
		Spec: v1alpha1.PluginSpec{Plugin: r.name, Host: v1alpha1.HostNative,
			Permissions: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}}}}}
	if _, err := c.Registry.Create(t.Context(), target, p, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	registrytest.Eventually(t, "plugin "+r.name+" is ready", func() bool {
		o, err := c.Registry.Get(t.Context(), target, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		status := o.Obj.(*v1alpha1.Plugin).Status
		if status.Phase == v1alpha1.Failed {
			t.Fatalf("plugin %s: %s", r.name, status.Message)
		}
		return status.Phase == v1alpha1.Ready
	})
}

// told waits until both plugins were asked about an object more often than
// before, and returns how often they were.
func told(t *testing.T, what, name string, before [2]int) [2]int {
	t.Helper()
	var now [2]int
	registrytest.Eventually(t, what+": plugins are asked about "+name, func() bool {
		now = [2]int{byName.times(name), ofAll.times(name)}
		return now[0] > before[0] && now[1] > before[1]
	})
	return now
}

// TestKindsComeAndGo adds a kind while the server runs and is under load, gives
// it another version and another schema, and takes it away. Clients, watches,
// discovery, OpenAPI, kubectl's mapping of kinds and plugins follow at once; what
// is not about the kind stays.
func TestKindsComeAndGo(t *testing.T) {
	t.Parallel()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
	}})
	byName.load(t, c)
	ofAll.load(t, c)
	docs, ctx := api{t, c}, t.Context()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kerneltest.Client(t, c.Admin()).Discovery()))
	kind := schema.GroupKind{Group: "shop.example", Kind: "Gizmo"}
	dyn, err := dynamic.NewForConfig(c.Admin())
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
	for i := range 6 {
		load.Go(func() { written.Add(newShopper(t, c, fmt.Sprint("load", i), v1).shop(busy)) })
	}
	defer func() { relax(); load.Wait() }()

	before := docs.hashes()
	if body := docs.document("/apis/shop.example/v1", "application/json"); body != nil {
		t.Fatal("the kind is there before it comes")
	}
	if m, err := mapper.RESTMapping(kind); !meta.IsNoMatchError(err) {
		t.Fatalf("the kind is mapped before it comes: %v, %v", m, err)
	}
	apply(gizmos([]string{"size"}, "v1"))
	mapper.Reset()
	if m, err := mapper.RESTMapping(kind); err != nil || m.Resource != v1 {
		t.Errorf("kubectl's mapping: %v, %v", m, err)
	}
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

	things := dyn.Resource(v1).Namespace("default")
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
	asked := told(t, "a kind that comes", "a", [2]int{})
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
	patched, err := dyn.Resource(v2).Namespace("default").Patch(ctx, "a", types.MergePatchType, []byte(`{"size":"m"}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if patched.GetAPIVersion() != "shop.example/v2" || patched.Object["color"] != "default" {
		t.Errorf("patched in the new version: %v", patched.Object)
	}
	told(t, "a kind that changed", "a", asked)
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
	mapper.Reset()
	if m, err := mapper.RESTMapping(kind); !meta.IsNoMatchError(err) {
		t.Errorf("what is gone is mapped: %v, %v", m, err)
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
	relax()
	load.Wait()
	if written.Load() == 0 {
		t.Error("nothing was written under load")
	}
}

// shopper is one client of many: what it has of the kind, and of another.
type shopper struct {
	t      *testing.T
	name   string
	things dynamic.ResourceInterface
	others typedcorev1.ConfigMapInterface
}

func newShopper(t *testing.T, c *kerneltest.Server, name string, gvr schema.GroupVersionResource) *shopper {
	dyn, err := dynamic.NewForConfig(c.Admin())
	if err != nil {
		t.Error(err)
	}
	return &shopper{t: t, name: name, things: dyn.Resource(gvr).Namespace("default"), others: kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")}
}

// shop goes through the verbs until busy ends: of a kind that is gone nothing is
// found, and that is the only complaint; the other kind has none. It returns how
// many objects of the kind were made.
func (s *shopper) shop(busy context.Context) (made int64) {
	ctx := context.WithoutCancel(busy)
	for i := 0; busy.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%d", s.name, i)
		_, err := s.others.Create(ctx, configMap(name, nil), metav1.CreateOptions{})
		s.fine("create of another kind", err)
		_, err = s.others.Get(ctx, name, metav1.GetOptions{})
		s.fine("get of another kind", err)
		_, err = s.things.Create(ctx, gizmo(name, "v1", nil), metav1.CreateOptions{})
		if err == nil {
			made++
		}
		s.foundOrFine("create", err)
		_, err = s.things.Get(ctx, name, metav1.GetOptions{})
		s.foundOrFine("get", err)
		_, err = s.things.Patch(ctx, name, types.MergePatchType, []byte(`{"size":"s"}`), metav1.PatchOptions{})
		s.foundOrFine("patch", err)
		_, err = s.things.List(ctx, metav1.ListOptions{Limit: 10})
		s.foundOrFine("list", err)
		s.foundOrFine("delete", s.things.Delete(ctx, name, metav1.DeleteOptions{}))
	}
	return made
}

func (s *shopper) fine(what string, err error) {
	if err != nil {
		s.t.Errorf("%s under load: %v", what, err)
	}
}

func (s *shopper) foundOrFine(what string, err error) {
	if !apierrors.IsNotFound(err) {
		s.fine(what, err)
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
