package custom_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

const tab = `
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: a, namespace: default}
spec:
  cronSpec: "* * * * */5"
  port: http
  unknown: {x: 1}
  ports: [{name: web}, {name: dns, port: 53}]
  tags: [a, b]
  config: {any: {thing: [1, 2]}}
  template: {apiVersion: v1, kind: Pod, metadata: {name: x, labels: {a: b}, junk: 1}, spec: {deep: 1}}
  nothing: null
status: {replicas: 3}
`

func nested(t *testing.T, u *unstructured.Unstructured, path ...string) any {
	t.Helper()
	v, _, err := unstructured.NestedFieldNoCopy(u.Object, path...)
	must(t, err)
	return v
}

// TestObjects: what a schema says of its objects holds on each way in which one is
// written or read.
func TestObjects(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := s.create(definition(t, "crontabs"))
	tabs := s.of(crd, "v1", "default")
	ctx := t.Context()

	made, err := tabs.Create(ctx, object(t, tab), metav1.CreateOptions{FieldValidation: "Ignore"})
	must(t, err)
	spec := made.Object["spec"].(map[string]any)
	if spec["unknown"] != nil || spec["image"] != "busybox" || spec["replicas"] != int64(1) || spec["port"] != "http" || made.Object["status"] != nil || made.GetGeneration() != 1 {
		t.Errorf("created: %v", made.Object)
	}
	if v, ok := spec["nothing"]; !ok || v != nil {
		t.Errorf("a nullable field is %v", v)
	}
	if nested(t, made, "spec", "config", "any") == nil || nested(t, made, "spec", "template", "spec", "deep") == nil || nested(t, made, "spec", "template", "metadata", "junk") != nil {
		t.Errorf("open parts: %v", spec)
	}
	if ports := spec["ports"].([]any); ports[0].(map[string]any)["port"] != int64(80) {
		t.Errorf("default in a list: %v", ports)
	}
	_, err = tabs.Create(ctx, object(t, strings.Replace(tab, "name: a,", "name: b,", 1)), metav1.CreateOptions{FieldValidation: "Strict"})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `unknown field "spec.unknown"`) || !strings.Contains(err.Error(), `unknown field "spec.template.metadata.junk"`) {
		t.Errorf("strict: %v", err)
	}
	for name, x := range map[string]struct{ from, to, want string }{
		"pattern":        {`cronSpec: "* * * * */5"`, `cronSpec: never`, "spec.cronSpec in body should match"},
		"type":           {`tags: [a, b]`, `tags: text`, "spec.tags in body must be of type array"},
		"maximum":        {`port: http`, `replicas: 11`, "spec.replicas in body should be less than or equal to 10"},
		"set":            {`tags: [a, b]`, `tags: [a, a]`, `spec.tags[1]: Duplicate value: "a"`},
		"map":            {`[{name: web}, {name: dns, port: 53}]`, `[{name: web}, {name: web}]`, `spec.ports[1]: Duplicate value`},
		"rule":           {`port: http`, `minReplicas: 5`, "replicas must be at least five"},
		"int or string":  {`port: http`, `port: [1]`, `spec.port in body must be of type`},
		"embedded":       {`labels: {a: b}`, `labels: {a: "b-"}`, "spec.template.metadata.labels"},
		"metadata":       {`metadata: {name: a,`, `metadata: {labels: {a: 1}, name: c,`, "cannot be handled as a CronTab"},
		"name":           {`metadata: {name: a,`, `metadata: {name: a_b,`, "metadata.name: Invalid value"},
		"required field": {`cronSpec: "* * * * */5"`, `image: x`, "spec.cronSpec: Required value"},
	} {
		text := strings.Replace(strings.Replace(tab, x.from, x.to, 1), "name: a,", "name: bad,", 1)
		if _, err := tabs.Create(ctx, object(t, text), metav1.CreateOptions{FieldValidation: "Ignore"}); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if _, err := tabs.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"image":"other"}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "image is immutable") {
		t.Errorf("transition rule: %v", err)
	}
	patched, err := tabs.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"replicas":2,"junk":1},"status":{"replicas":5}}`), metav1.PatchOptions{})
	must(t, err)
	if patched.GetGeneration() != 2 || patched.Object["status"] != nil || nested(t, patched, "spec", "junk") != nil {
		t.Errorf("patched: %v", patched.Object)
	}
	patched.Object["status"] = map[string]any{"replicas": int64(2), "labelSelector": "a=b", "junk": int64(1)}
	unstructured.RemoveNestedField(patched.Object, "spec")
	status, err := tabs.UpdateStatus(ctx, patched, metav1.UpdateOptions{})
	must(t, err)
	if status.GetGeneration() != 2 || nested(t, status, "status", "replicas") != int64(2) || nested(t, status, "status", "junk") != nil || nested(t, status, "spec", "replicas") != int64(2) {
		t.Errorf("status: %v", status.Object)
	}
	if _, err := tabs.Patch(ctx, "a", types.MergePatchType, []byte(`{"status":{"replicas":101}}`), metav1.PatchOptions{}, "status"); !apierrors.IsInvalid(err) {
		t.Errorf("invalid status: %v", err)
	}
	scale, err := tabs.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}, "scale")
	must(t, err)
	if scale.GetKind() != "Scale" || nested(t, scale, "spec", "replicas") != int64(4) || nested(t, scale, "status", "selector") != "a=b" || nested(t, scale, "status", "replicas") != int64(2) {
		t.Errorf("scale: %v", scale.Object)
	}
	scale, err = tabs.Patch(ctx, "a", types.ApplyPatchType, []byte(`{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"replicas":4}}`),
		metav1.PatchOptions{FieldManager: "scaler"}, "scale")
	must(t, err)
	if nested(t, scale, "spec", "replicas") != int64(4) {
		t.Errorf("applied scale: %v", scale.Object)
	}
	if table := s.document("/apis/stable.example.com/v1/namespaces/default/crontabs/a/scale", "application/json;as=Table;v=v1;g=meta.k8s.io"); !strings.Contains(table, `"name":"Desired"`) || !strings.Contains(table, `"cells":["a",4,2,`) {
		t.Errorf("a scale as a table: %s", table)
	}
	whole, err := tabs.Get(ctx, "a", metav1.GetOptions{})
	must(t, err)
	if !slices.ContainsFunc(whole.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == "scaler" && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "scale" && e.FieldsV1.GetRawString() == `{"f:spec":{"f:replicas":{}}}`
	}) {
		t.Errorf("who applied the scale owns no replicas: %v", whole.GetManagedFields())
	}
	for selector, want := range map[string]int{"spec.image=busybox": 1, "spec.image!=busybox": 0, "metadata.name=a": 1, "metadata.namespace=default": 1} {
		if l, err := s.of(crd, "v1", "").List(ctx, metav1.ListOptions{FieldSelector: selector}); err != nil || len(l.Items) != want {
			t.Errorf("%s: %v, %v", selector, l, err)
		}
	}
	if _, err := tabs.List(ctx, metav1.ListOptions{FieldSelector: "spec.replicas=4"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a field that is not selectable: %v", err)
	}
}

// TestApply: fields have owners by the schema's types of lists.
func TestApply(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := s.create(definition(t, "crontabs"))
	tabs := s.of(crd, "v1", "default")
	head := "apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: a, namespace: default}\n"
	must1 := func(u *unstructured.Unstructured, err error) *unstructured.Unstructured {
		t.Helper()
		must(t, err)
		return u
	}
	must1(tabs.Apply(t.Context(), "a", object(t, head+`spec: {cronSpec: "* * * * *", ports: [{name: web, port: 1}], tags: [x]}`), metav1.ApplyOptions{FieldManager: "one"}))
	u := must1(tabs.Apply(t.Context(), "a", object(t, head+`spec: {ports: [{name: dns, port: 53}], tags: [z]}`), metav1.ApplyOptions{FieldManager: "two"}))
	if ports, tags := nested(t, u, "spec", "ports").([]any), nested(t, u, "spec", "tags").([]any); len(ports) != 2 || len(tags) != 2 {
		t.Errorf("lists are not merged: %v", u.Object["spec"])
	}
	if _, err := tabs.Apply(t.Context(), "a", object(t, head+`spec: {ports: [{name: web, port: 2}]}`), metav1.ApplyOptions{FieldManager: "two"}); !apierrors.IsConflict(err) {
		t.Errorf("conflict: %v", err)
	}
	if _, err := tabs.Apply(t.Context(), "a", object(t, head+`spec: {nosuch: 1}`), metav1.ApplyOptions{FieldManager: "two"}); err == nil || !strings.Contains(err.Error(), "field not declared in schema") {
		t.Errorf("unknown field: %v", err)
	}
	u = must1(tabs.Apply(t.Context(), "a", object(t, head+`spec: {cronSpec: "* * * * *", tags: [x]}`), metav1.ApplyOptions{FieldManager: "one"}))
	if ports := nested(t, u, "spec", "ports").([]any); len(ports) != 1 || u.Object["spec"].(map[string]any)["image"] != "busybox" {
		t.Errorf("what was given up stays: %v", u.Object["spec"])
	}
}

func (s *server) document(path, accept string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	must(s.t, err)
	req.Header.Set("Accept", accept)
	resp, err := s.HTTP().Do(req)
	must(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return string(b)
}

// TestDescribed: discovery, OpenAPI and tables tell of a kind as soon as it is
// established.
func TestDescribed(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := s.create(definition(t, "crontabs"))
	list, err := s.crds.Discovery().ServerResourcesForGroupVersion("stable.example.com/v1")
	must(t, err)
	var names []string
	for _, r := range list.APIResources {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"crontabs", "crontabs/status", "crontabs/scale"}) || list.APIResources[0].ShortNames[0] != "ct" || list.APIResources[0].Categories[0] != "all" {
		t.Errorf("discovery: %+v", list.APIResources)
	}
	if doc := s.document("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"); !strings.Contains(doc, `"resource":"crontabs"`) {
		t.Error("aggregated discovery lacks the kind")
	}
	v3 := s.document("/openapi/v3/apis/stable.example.com/v1", "application/json")
	for _, want := range []string{`"description":"When it runs."`, `"x-kubernetes-list-map-keys":["name"]`, `"com.example.stable.v1.CronTab"`, "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale", "x-kubernetes-validations"} {
		if !strings.Contains(v3, want) {
			t.Errorf("openapi v3 lacks %s", want)
		}
	}
	if strings.Contains(v3, "strategic-merge-patch") {
		t.Error("openapi v3 offers a patch that nobody can apply")
	}
	if v2 := s.document("/openapi/v2", "application/json"); !strings.Contains(v2, `"description":"When it runs."`) {
		t.Error("openapi v2 lacks the kind")
	}
	_, err = s.of(crd, "v1", "default").Create(t.Context(), object(t, tab), metav1.CreateOptions{})
	must(t, err)
	var table metav1.Table
	must(t, json.Unmarshal([]byte(s.document("/apis/stable.example.com/v1/namespaces/default/crontabs", "application/json;as=Table;g=meta.k8s.io;v=v1")), &table))
	if len(table.ColumnDefinitions) != 4 || table.ColumnDefinitions[1].Name != "Spec" || len(table.Rows) != 1 || table.Rows[0].Cells[1] != "* * * * */5" || table.Rows[0].Cells[2] != 1.0 {
		t.Errorf("table: %+v", table)
	}
}

// TestDefinitionGoes: a definition that is deleted takes its objects with it, and
// waits for those that a finalizer holds.
func TestDefinitionGoes(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := s.create(definition(t, "crontabs"))
	tabs := s.of(crd, "v1", "default")
	held := object(t, tab)
	held.SetFinalizers([]string{"example.com/held"})
	_, err := tabs.Create(t.Context(), held, metav1.CreateOptions{})
	must(t, err)
	free := object(t, tab)
	free.SetName("b")
	_, err = tabs.Create(t.Context(), free, metav1.CreateOptions{})
	must(t, err)
	must(t, s.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), crd.Name, metav1.DeleteOptions{}))
	s.await(crd.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		c := apihelpers.FindCRDCondition(crd, apiextensionsv1.Terminating)
		return c != nil && c.Reason == "InstanceDeletionInProgress"
	})
	another := object(t, tab)
	another.SetName("c")
	if _, err := tabs.Create(t.Context(), another, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "terminating") {
		t.Errorf("creation while the definition goes: %v", err)
	}
	list, err := s.crds.Discovery().ServerResourcesForGroupVersion("stable.example.com/v1")
	must(t, err)
	if got := strings.Join(list.APIResources[0].Verbs, " "); got != "delete deletecollection get list watch" {
		t.Errorf("discovery tells of %s while the definition goes", got)
	}
	_, err = tabs.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	must(t, err)
	s.gone(crd.Name)
	registrytest.Eventually(t, "the kind is gone", func() bool {
		_, err := tabs.List(t.Context(), metav1.ListOptions{})
		return apierrors.IsNotFound(err)
	})
	s.create(definition(t, "crontabs"))
	if l, err := tabs.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("the next definition begins with %v, %v", l, err)
	}
}

// TestDefinitionComesBackAtOnce: a definition of the same name waits until the objects of
// the one before are gone, and begins with none.
func TestDefinitionComesBackAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	crds := s.crds.ApiextensionsV1().CustomResourceDefinitions()
	for round := range 10 {
		crd := s.create(definition(t, "crontabs"))
		tabs := s.of(crd, "v1", "default")
		if l, err := tabs.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
			t.Fatalf("round %d begins with %v, %v", round, l, err)
		}
		for i := range 20 {
			u := object(t, tab)
			u.SetName(fmt.Sprint("t", i))
			_, err := tabs.Create(t.Context(), u, metav1.CreateOptions{})
			must(t, err)
		}
		must(t, crds.Delete(t.Context(), crd.Name, metav1.DeleteOptions{}))
		registrytest.Eventually(t, "the name is free", func() bool {
			_, err := crds.Create(t.Context(), definition(t, "crontabs"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatalf("round %d: %v", round, err)
			}
			return err == nil
		})
	}
}

// TestNames: a name has one owner in its group, and whoever waits for it gets it
// once it is free.
func TestNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := definition(t, "crontabs")
	s.create(first)
	second := definition(t, "crontabs")
	second.Name, second.Spec.Names = "others.stable.example.com", apiextensionsv1.CustomResourceDefinitionNames{Plural: "others", Singular: "other", Kind: "CronTab", ShortNames: []string{"ct"}}
	_, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), second, metav1.CreateOptions{})
	must(t, err)
	refused := s.await(second.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionFalse(crd, apiextensionsv1.NamesAccepted)
	})
	if c := apihelpers.FindCRDCondition(refused, apiextensionsv1.NamesAccepted); c.Reason != "ListKindConflict" || !apihelpers.IsCRDConditionFalse(refused, apiextensionsv1.Established) || refused.Status.AcceptedNames.Plural != "others" {
		t.Errorf("status: %+v", refused.Status)
	}
	must(t, s.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), first.Name, metav1.DeleteOptions{}))
	s.await(second.Name, func(crd *apiextensionsv1.CustomResourceDefinition) bool {
		return apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established)
	})
	if _, err := s.of(second, "v1", "default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// TestServersFollow: a definition that one server was asked for is served by all.
func TestServersFollow(t *testing.T) {
	t.Parallel()
	shared, dir := memory.New(), t.TempDir()
	s := start(t, func(o *kerneltest.Options) { o.Store, o.Dir = shared, dir })
	other := start(t, func(o *kerneltest.Options) {
		o.Store, o.Dir = shared, t.TempDir()
		must(t, os.CopyFS(filepath.Join(o.Dir, "pki"), os.DirFS(filepath.Join(dir, "pki"))))
	})
	crd := definition(t, "crontabs")
	s.create(crd)
	_, err := other.of(crd, "v1", "default").Create(t.Context(), object(t, tab), metav1.CreateOptions{})
	must(t, err)
	if u, err := s.of(crd, "v1", "default").Get(t.Context(), "a", metav1.GetOptions{}); err != nil || u.GetName() != "a" {
		t.Errorf("%v, %v", u, err)
	}
	must(t, other.crds.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), crd.Name, metav1.DeleteOptions{}))
	other.gone(crd.Name)
}
