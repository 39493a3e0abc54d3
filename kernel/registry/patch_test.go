package registry_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/registry"
)

func TestPatch(t *testing.T) {
	for name, tc := range map[string]struct {
		kind  types.PatchType
		patch string
		want  func(*corev1.Pod)
	}{
		"json": {types.JSONPatchType, `[{"op":"test","path":"/metadata/labels/app","value":"web"},{"op":"replace","path":"/spec/containers/0/image","value":"web:2"}]`,
			func(p *corev1.Pod) { p.Spec.Containers[0].Image = "web:2" }},
		"merge replaces lists": {types.MergePatchType, `{"metadata":{"labels":{"app":null,"tier":"x"}},"spec":{"containers":[{"name":"other","image":"o"}]}}`,
			func(p *corev1.Pod) {
				p.Labels = map[string]string{"tier": "x"}
				p.Spec.Containers = []corev1.Container{{Name: "other", Image: "o"}}
			}},
		"strategic merges lists by key": {types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"main","image":"web:2"},{"name":"side","image":"s"}]}}`,
			func(p *corev1.Pod) {
				p.Spec.Containers[0].Image = "web:2"
				p.Spec.Containers = append([]corev1.Container{}, p.Spec.Containers[0], corev1.Container{Name: "side", Image: "s"})
			}},
		"strategic deletes an item": {types.StrategicMergePatchType, `{"spec":{"containers":[{"name":"main","env":[{"name":"A","$patch":"delete"}]}]}}`,
			func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }},
		"a default comes back": {types.MergePatchType, `{"spec":{"restartPolicy":null}}`,
			func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			want := c.mustCreate(t, podsR, pod("p")).DeepCopyObject().(*corev1.Pod)
			res, err := c.Patch(t.Context(), at(podsR, "p"), tc.kind, []byte(tc.patch), registry.WriteOptions{FieldManager: "patcher"})
			if err != nil {
				t.Fatal(err)
			}
			got := res.Object.Obj.DeepCopyObject().(*corev1.Pod)
			tc.want(want)
			for _, p := range []*corev1.Pod{want, got} {
				p.ManagedFields, p.ResourceVersion, p.Generation = nil, "", 0
				for i := range p.Spec.Containers {
					if len(p.Spec.Containers[i].Env) == 0 {
						p.Spec.Containers[i].Env = nil
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatchAnswersAsUpstream(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	ops := `[` + strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"/x"},`, 10001), ",") + `]`
	for name, tc := range map[string]struct {
		target  registry.Target
		kind    types.PatchType
		patch   string
		o       registry.WriteOptions
		code    int32
		reason  metav1.StatusReason
		message string
	}{
		"missing": {at(podsR, "q"), types.MergePatchType, `{}`, registry.WriteOptions{}, 404, "NotFound", `pods "q" not found`},
		"no json": {at(podsR, "p"), types.JSONPatchType, `[{`, registry.WriteOptions{}, 400, "BadRequest", "invalid JSON patch"},
		"no operations": {at(podsR, "p"), types.JSONPatchType, `{}`, registry.WriteOptions{}, 400, "BadRequest",
			"json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
		"test fails": {at(podsR, "p"), types.JSONPatchType, `[{"op":"test","path":"/metadata/name","value":"x"}]`, registry.WriteOptions{}, 422, "Invalid",
			"the server rejected our request due to an error in our request"},
		"too many operations": {at(podsR, "p"), types.JSONPatchType, ops, registry.WriteOptions{}, 413, "RequestEntityTooLarge",
			"Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"},
		"resourceVersion": {at(podsR, "p"), types.MergePatchType, `{"metadata":{"resourceVersion":"1"}}`, registry.WriteOptions{}, 409, "Conflict",
			`Operation cannot be fulfilled on pods "p": the object has been modified; please apply your changes to the latest version and try again`},
		"name": {at(podsR, "p"), types.MergePatchType, `{"metadata":{"name":"q"}}`, registry.WriteOptions{}, 400, "BadRequest",
			"the name of the object (q) does not match the name on the URL (p)"},
		"unknown field, strict": {at(podsR, "p"), types.StrategicMergePatchType, `{"spec":{"nope":1}}`, registry.WriteOptions{FieldValidation: "Strict"}, 422, "Invalid",
			` "" is invalid: patch: Invalid value: "map[spec:map[nope:1]]": strict decoding error: unknown field "spec.nope"`},
		"duplicate field, strict": {at(podsR, "p"), types.MergePatchType, `{"metadata":{"labels":{"a":"1","a":"2"}}}`, registry.WriteOptions{FieldValidation: "Strict"}, 422, "Invalid", ""},
		"media type":              {at(podsR, "p"), "application/x", `{}`, registry.WriteOptions{}, 415, "UnsupportedMediaType", ""},
		"force without apply": {at(podsR, "p"), types.MergePatchType, `{}`, registry.WriteOptions{Force: true}, 422, "Invalid",
			"PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"},
		"apply without manager": {at(podsR, "p"), types.ApplyYAMLPatchType, `{}`, registry.WriteOptions{}, 422, "Invalid",
			"PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"},
		"not an object any more": {at(podsR, "p"), types.MergePatchType, `null`, registry.WriteOptions{}, 400, "BadRequest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Patch(t.Context(), tc.target, tc.kind, []byte(tc.patch), tc.o)
			if tc.message == "" {
				var s apierrors.APIStatus
				if !errors.As(err, &s) || s.Status().Code != tc.code {
					t.Errorf("got %v, want %d", err, tc.code)
				}
				return
			}
			wantStatus(t, err, tc.code, tc.reason, tc.message)
		})
	}
}

func TestFieldValidationWarns(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, podsR, pod("p"))
	for kind, patch := range map[types.PatchType]string{
		types.JSONPatchType:           `[{"op":"add","path":"/spec/nope","value":1}]`,
		types.MergePatchType:          `{"spec":{"nope":1}}`,
		types.StrategicMergePatchType: `{"spec":{"nope":1}}`,
	} {
		res, err := c.Patch(t.Context(), at(podsR, "p"), kind, []byte(patch), registry.WriteOptions{FieldValidation: "Warn"})
		if err != nil || len(res.Warnings) != 1 || res.Warnings[0] != `unknown field "spec.nope"` {
			t.Errorf("%s: %+v, %v", kind, res, err)
		}
		if res, err = c.Patch(t.Context(), at(podsR, "p"), kind, []byte(patch), registry.WriteOptions{FieldValidation: "Ignore"}); err != nil || len(res.Warnings) != 0 {
			t.Errorf("%s, Ignore: %+v, %v", kind, res, err)
		}
	}
}

// apply sends an apply configuration of a ConfigMap's or Deployment's name "x".
func (c *cluster) apply(t *testing.T, target registry.Target, manager, config string, force bool) (*registry.Result, error) {
	t.Helper()
	return c.Patch(t.Context(), target, types.ApplyYAMLPatchType, []byte(config), registry.WriteOptions{FieldManager: manager, Force: force, MayCreate: anybody})
}

func mapConfig(data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: " + data
}

func TestApply(t *testing.T) {
	c := newCluster(t)
	x := at(configMapsR, "x")
	data := func(res *registry.Result, err error) map[string]string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return res.Object.Obj.(*corev1.ConfigMap).Data
	}
	res, err := c.apply(t, x, "alice", mapConfig("{a: '1', shared: s}"), false)
	if diff := cmp.Diff(map[string]string{"a": "1", "shared": "s"}, data(res, err)); diff != "" || !res.Created {
		t.Fatalf("created %v: %s", res.Created, diff)
	}
	// Nothing new: nothing is written.
	again, err := c.apply(t, x, "alice", mapConfig("{a: '1', shared: s}"), false)
	if data(again, err); again.Object.Revision != res.Object.Revision || again.Created {
		t.Error("an apply without effect was written")
	}
	// A second manager shares a field of the same value and brings its own.
	res, err = c.apply(t, x, "bob", mapConfig("{b: '2', shared: s}"), false)
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2", "shared": "s"}, data(res, err)); diff != "" {
		t.Error(diff)
	}
	if got, want := managers(res.Object.Obj), "alice Apply v1 ,bob Apply v1 "; got != want {
		t.Errorf("managers %q, want %q", got, want)
	}
	// What alice leaves out goes, unless bob has it too.
	res, err = c.apply(t, x, "alice", mapConfig("{c: '3'}"), false)
	if diff := cmp.Diff(map[string]string{"b": "2", "c": "3", "shared": "s"}, data(res, err)); diff != "" {
		t.Error(diff)
	}
	// Another value for bob's field is a conflict.
	_, err = c.apply(t, x, "alice", mapConfig("{c: '3', b: mine}"), false)
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Apply failed with 1 conflict: conflict with "bob": .data.b`)
	var s apierrors.APIStatus
	errors.As(err, &s)
	want := []metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Message: `conflict with "bob"`, Field: ".data.b"}}
	if diff := cmp.Diff(want, s.Status().Details.Causes); diff != "" {
		t.Error(diff)
	}
	// Force takes it.
	res, err = c.apply(t, x, "alice", mapConfig("{c: '3', b: mine}"), true)
	if diff := cmp.Diff(map[string]string{"b": "mine", "c": "3", "shared": "s"}, data(res, err)); diff != "" {
		t.Error(diff)
	}
	// An update takes ownership without asking.
	res, err = c.Patch(t.Context(), x, types.MergePatchType, []byte(`{"data":{"c":"edited"}}`), registry.WriteOptions{FieldManager: "editor"})
	data(res, err)
	_, err = c.apply(t, x, "alice", mapConfig("{c: '3', b: mine}"), false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "editor" using v1`) {
		t.Errorf("got %v", err)
	}
}

func TestApplyAnswersAsUpstream(t *testing.T) {
	c := newCluster(t)
	x := at(configMapsR, "x")
	for name, tc := range map[string]struct {
		config  string
		code    int32
		reason  metav1.StatusReason
		message string
	}{
		"unknown field": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\nnope: 1", 500, "",
			"failed to create typed patch object (default/x; /v1, Kind=ConfigMap): .nope: field not declared in schema"},
		"other version": {"apiVersion: v2\nkind: ConfigMap\nmetadata: {name: x}", 400, "BadRequest", ""},
		"managedFields": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, managedFields: []}", 400, "BadRequest", "metadata.managedFields must be nil"},
		"uid":           {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, uid: u}", 409, "Conflict", `Operation cannot be fulfilled on configmaps "x": uid mismatch: the provided object specified uid u, and no existing object was found`},
		"other name":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}", 400, "BadRequest", "the name of the object (other) does not match the name on the URL (x)"},
		"not yaml":      {"a: b: c", 400, "BadRequest", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.apply(t, x, "m", tc.config, false)
			if tc.message == "" {
				var s apierrors.APIStatus
				if !errors.As(err, &s) || s.Status().Code != tc.code {
					t.Errorf("got %v, want %d", err, tc.code)
				}
				return
			}
			wantStatus(t, err, tc.code, tc.reason, tc.message)
		})
	}
}

// The fields of an object that was created by an ordinary create are owned
// precisely, also when they came from the set kept for its template.
func TestApplyAfterCreateByTemplate(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"x", "y", "z"} { // y and z have x's template
		c.mustCreate(t, deploymentsR, deployment(name, 2))
	}
	fieldsOf := func(name string) string {
		d := c.mustGet(t, deploymentsR, name).(*appsv1.Deployment)
		return strings.ReplaceAll(d.ManagedFields[0].FieldsV1.GetRawString(), name, "N")
	}
	if fieldsOf("x") != fieldsOf("y") || fieldsOf("x") == "" {
		t.Errorf("x has %s\ny has %s", fieldsOf("x"), fieldsOf("y"))
	}
	config := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: z}\nspec: {replicas: 5}"
	_, err := c.apply(t, at(deploymentsR, "z"), "scaler", config, false)
	wantStatus(t, err, 409, metav1.StatusReasonConflict, `Apply failed with 1 conflict: conflict with "test" using apps/v1: .spec.replicas`)
	res, err := c.apply(t, at(deploymentsR, "z"), "scaler", config, true)
	if err != nil || *res.Object.Obj.(*appsv1.Deployment).Spec.Replicas != 5 {
		t.Errorf("%v", err)
	}
}

func TestStatusApplyOwnsStatusOnly(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, deploymentsR, deployment("x", 2))
	config := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 9}\nstatus: {observedGeneration: 1, replicas: 1}"
	res, err := c.apply(t, sub(deploymentsR, "x", "status"), "controller", config, true)
	if err != nil {
		t.Fatal(err)
	}
	d := res.Object.Obj.(*appsv1.Deployment)
	if *d.Spec.Replicas != 2 || d.Status.Replicas != 1 {
		t.Errorf("replicas %d, status %d", *d.Spec.Replicas, d.Status.Replicas)
	}
	for _, e := range d.ManagedFields {
		if e.Manager == "controller" && (e.Subresource != "status" || strings.Contains(e.FieldsV1.GetRawString(), "f:spec")) {
			t.Errorf("entry %+v: %s", e, e.FieldsV1.GetRawString())
		}
	}
	// And the object's own path does not come to own status.
	in := d.DeepCopy()
	in.Status.Replicas, in.Labels = 7, map[string]string{"l": "v"}
	res, err = c.Update(t.Context(), at(deploymentsR, "x"), in, registry.WriteOptions{FieldManager: "user"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range res.Object.Obj.(*appsv1.Deployment).ManagedFields {
		if e.Manager == "user" && strings.Contains(e.FieldsV1.GetRawString(), "f:status") {
			t.Errorf("user owns %s", e.FieldsV1.GetRawString())
		}
	}
}

func TestMalformedManagedFieldsDoNoHarm(t *testing.T) {
	c := newCluster(t)
	for _, entries := range []string{
		`[{"manager":"m","operation":"Bogus","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{}}]`,
		`[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"x:y":{}}}]`,
		`[{"manager":"m","operation":"Apply","apiVersion":"","fieldsType":"FieldsV9","fieldsV1":{"f:a":"b"}}]`,
		`[{}]`,
	} {
		m := configMap("x", map[string]string{"a": "1"})
		if err := json.Unmarshal([]byte(entries), &m.ManagedFields); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Create(t.Context(), at(configMapsR, ""), m, registry.WriteOptions{FieldManager: "c"}); err != nil {
			t.Fatalf("%s: create: %v", entries, err)
		}
		patch := []byte(`{"metadata":{"managedFields":` + entries + `},"data":{"b":"2"}}`)
		if _, err := c.Patch(t.Context(), at(configMapsR, "x"), types.MergePatchType, patch, registry.WriteOptions{FieldManager: "p"}); err != nil {
			t.Errorf("%s: patch: %v", entries, err)
		}
		if _, err := c.apply(t, at(configMapsR, "x"), "a", mapConfig("{c: '3'}"), false); err != nil {
			t.Errorf("%s: apply: %v", entries, err)
		}
		if _, err := c.Delete(t.Context(), at(configMapsR, "x"), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
