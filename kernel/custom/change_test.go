package custom_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	kwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/registry/registrytest"
)

// heard are the warnings that a client was given.
type heard struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (h *heard) HandleWarningHeader(_ int, _ string, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, text)
}

var _ rest.WarningHandler = (*heard)(nil)

// TestChangedDefinition: a definition that changes while its objects are watched
// changes what is read, too; watches stay, and each version shows what it has.
func TestChangedDefinition(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd, ctx := s.create(definition(t, "crontabs")), t.Context()
	v1, v2 := s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	made, err := v1.Create(ctx, object(t, tab), metav1.CreateOptions{FieldValidation: "Ignore"})
	must(t, err)
	w, err := v1.Watch(ctx, metav1.ListOptions{ResourceVersion: made.GetResourceVersion()})
	must(t, err)
	defer w.Stop()

	next, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, crd.Name, metav1.GetOptions{})
	must(t, err)
	old := next.Spec.Versions[0].DeepCopy()
	spec := next.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec.Properties["zone"] = apiextensionsv1.JSONSchemaProps{Type: "string", Default: &apiextensionsv1.JSON{Raw: []byte(`"local"`)}}
	next.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec
	old.Name, old.Storage, old.SelectableFields = "v2", false, nil // upstream refuses equal ones beside unequal schemas
	next.Spec.Versions[0].Deprecated = true
	next.Spec.Versions = append(next.Spec.Versions, *old)
	next, err = s.crds.ApiextensionsV1().CustomResourceDefinitions().Update(ctx, next, metav1.UpdateOptions{})
	must(t, err)
	if next.Generation != 2 {
		t.Errorf("generation %d", next.Generation)
	}
	registrytest.Eventually(t, "what is stored has the new default", func() bool {
		u, err := v1.Get(ctx, "a", metav1.GetOptions{})
		must(t, err)
		return nested(t, u, "spec", "zone") == "local" && u.GetResourceVersion() == made.GetResourceVersion()
	})
	u, err := v2.Get(ctx, "a", metav1.GetOptions{})
	must(t, err)
	if u.GetAPIVersion() != "stable.example.com/v2" || nested(t, u, "spec", "zone") != nil || nested(t, u, "spec", "image") != "busybox" {
		t.Errorf("in a version without the field: %v", u.Object)
	}
	_, err = v2.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{})
	must(t, err)
	e, ok := <-w.ResultChan()
	if !ok || e.Type != kwatch.Modified {
		t.Fatalf("the watch from before the change tells %v", e)
	}
	if u := e.Object.(*unstructured.Unstructured); u.GetAPIVersion() != "stable.example.com/v1" || nested(t, u, "spec", "replicas") != int64(3) || nested(t, u, "spec", "zone") != "local" {
		t.Errorf("the watch tells %v", u.Object)
	}

	var warned heard
	c := s.Admin()
	c.WarningHandler = &warned
	client, err := dynamic.NewForConfig(c)
	must(t, err)
	_, err = client.Resource(resourceOf(crd, "v1")).Namespace("default").Get(ctx, "a", metav1.GetOptions{})
	must(t, err)
	if want := "stable.example.com/v1 CronTab is deprecated; use stable.example.com/v2 CronTab"; len(warned.texts) != 1 || warned.texts[0] != want {
		t.Errorf("warned of %q, want %q", warned.texts, want)
	}
}

// TestApplyDefinition: a definition may be made by server-side apply, as by
// `kubectl apply --server-side`, and its owner is who set a field, not who would
// have had it filled in.
func TestApplyDefinition(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := definition(t, "crontabs")
	data, err := os.ReadFile("testdata/crontabs.yaml")
	must(t, err)
	apply := func(manager string) *apiextensionsv1.CustomResourceDefinition {
		t.Helper()
		_, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Patch(t.Context(), crd.Name, types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: manager})
		must(t, err)
		return s.await(crd.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
			return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
		})
	}
	first := apply("one")
	if n := first.Spec.Names; n.ListKind != "CronTabList" || n.Singular != "crontab" {
		t.Errorf("names are not filled in: %+v", n)
	}
	if c := first.Spec.Conversion; c == nil || c.Strategy != apiextensionsv1.NoneConverter {
		t.Errorf("conversion is not filled in: %+v", c)
	}
	if second := apply("two"); second.Generation != first.Generation {
		t.Errorf("a second manager of the same changes the generation from %d to %d", first.Generation, second.Generation)
	}
	for _, e := range first.ManagedFields {
		if e.Manager == "one" && (strings.Contains(e.FieldsV1.GetRawString(), "f:listKind") || !strings.Contains(e.FieldsV1.GetRawString(), "f:shortNames")) {
			t.Errorf("fields of who applied: %s", e.FieldsV1.GetRawString())
		}
	}
	must(t, s.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), crd.Name, metav1.DeleteOptions{}))
	s.gone(crd.Name)
	created := s.create(crd)
	for _, e := range created.ManagedFields {
		if e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == "" && !strings.Contains(e.FieldsV1.GetRawString(), "f:scope") {
			t.Errorf("fields of who created: %s", e.FieldsV1.GetRawString())
		}
	}
}
