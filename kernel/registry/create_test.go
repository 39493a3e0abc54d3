package registry_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/store"
)

func TestCreateFillsSystemFields(t *testing.T) {
	c := newCluster(t)
	in := configMap("a", map[string]string{"k": "v"})
	now := metav1.Now()
	in.UID, in.SelfLink, in.DeletionTimestamp, in.CreationTimestamp = "mine", "/x", &now, metav1.NewTime(now.AddDate(-1, 0, 0))
	res, err := c.Create(t.Context(), at(configMapsR, ""), in, registry.WriteOptions{FieldManager: "m"})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Object.Obj.(*corev1.ConfigMap)
	switch {
	case !res.Created:
		t.Error("Created is false")
	case got.UID == "" || got.UID == "mine":
		t.Errorf("uid %q", got.UID)
	case got.Namespace != "default" || got.SelfLink != "" || got.DeletionTimestamp != nil:
		t.Errorf("metadata %+v", got.ObjectMeta)
	case now.Sub(got.CreationTimestamp.Time).Hours() > 1:
		t.Errorf("creationTimestamp %s", got.CreationTimestamp)
	case got.ResourceVersion == "" || got.Kind != "ConfigMap":
		t.Errorf("resourceVersion %q, kind %q", got.ResourceVersion, got.Kind)
	case in.UID != "mine" || in.Namespace != "":
		t.Error("the caller's object was changed")
	}
	if got, want := managers(got), "m Update v1 "; got != want {
		t.Errorf("managers %q, want %q", got, want)
	}
}

func managers(obj runtime.Object) string {
	var out []string
	for _, e := range obj.(metav1.Object).GetManagedFields() {
		out = append(out, e.Manager+" "+string(e.Operation)+" "+e.APIVersion+" "+e.Subresource)
	}
	return strings.Join(out, ",")
}

func TestCreateAnswersAsUpstream(t *testing.T) {
	c := newCluster(t)
	c.mustCreate(t, configMapsR, configMap("taken", nil))
	leaving := configMap("leaving", nil)
	leaving.Finalizers = []string{"example.com/hold"}
	c.mustCreate(t, configMapsR, leaving)
	if _, err := c.Delete(t.Context(), at(configMapsR, "leaving"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.mustCreate(t, namespacesR, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}})
	if _, err := c.Delete(t.Context(), at(namespacesR, "going"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	in := func(ns string) registry.Target { return registry.Target{Resource: configMapsR, Namespace: ns} }
	with := func(f func(*corev1.ConfigMap)) *corev1.ConfigMap { m := configMap("x", nil); f(m); return m }
	for name, tc := range map[string]struct {
		target  registry.Target
		obj     runtime.Object
		code    int32
		reason  metav1.StatusReason
		message string
	}{
		"taken": {in("default"), configMap("taken", nil), 409, metav1.StatusReasonAlreadyExists, `configmaps "taken" already exists`},
		"taken by one that is being deleted": {in("default"), configMap("leaving", nil), 409, metav1.StatusReasonAlreadyExists,
			`object is being deleted: configmaps "leaving" already exists`},
		"resourceVersion": {in("default"), with(func(m *corev1.ConfigMap) { m.ResourceVersion = "5" }), 500, "",
			"resourceVersion should not be set on objects to be created"},
		"other namespace": {in("default"), with(func(m *corev1.ConfigMap) { m.Namespace = "other" }), 400, metav1.StatusReasonBadRequest,
			"the namespace of the provided object does not match the namespace sent on the request"},
		"missing namespace": {in("nowhere"), configMap("x", nil), 404, metav1.StatusReasonNotFound, `namespaces "nowhere" not found`},
		"terminating namespace": {in("going"), configMap("x", nil), 403, metav1.StatusReasonForbidden,
			`configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated`},
		"no name": {in("default"), configMap("", nil), 422, metav1.StatusReasonInvalid,
			`ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required`},
		"bad path segment": {in("default"), configMap("a/b", nil), 422, metav1.StatusReasonInvalid,
			`ConfigMap "a/b" is invalid: metadata.name: Invalid value: "a/b": may not contain '/'`},
		"invalid": {in("default"), configMap("x", map[string]string{"bad key": ""}), 422, metav1.StatusReasonInvalid,
			`ConfigMap "x" is invalid: data[bad key]: Invalid value: "bad key": a valid config key is needed`},
		"too large": {in("default"), configMap("x", map[string]string{"k": strings.Repeat("x", 2<<20)}), 413,
			metav1.StatusReasonRequestEntityTooLarge, "Request entity too large: object of 2097201 bytes, limit is 1572864"},
		"other kind": {in("default"), pod("x"), 400, metav1.StatusReasonBadRequest,
			`*v1.Pod in version "v1" cannot be handled as a ConfigMap`},
		"unknown resource": {registry.Target{Resource: schema.GroupVersionResource{Resource: "gizmos"}, Namespace: "default"},
			configMap("x", nil), 404, metav1.StatusReasonNotFound, "the server could not find the requested resource"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := c.store.counts()
			_, err := c.Create(t.Context(), tc.target, tc.obj, registry.WriteOptions{})
			if name == "too large" {
				var s apierrors.APIStatus
				if !errors.As(err, &s) || s.Status().Code != 413 {
					t.Fatalf("got %v", err)
				}
				return
			}
			wantStatus(t, err, tc.code, tc.reason, tc.message)
			if after, _ := c.store.counts(); after != before && tc.code != 409 {
				t.Error("a refused create reached the store")
			}
		})
	}
	_, err := c.Create(t.Context(), in("going"), configMap("x", nil), registry.WriteOptions{})
	if !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("cause NamespaceTerminating is missing: %v", err)
	}
}

func TestGenerateName(t *testing.T) {
	c := newCluster(t)
	form := regexp.MustCompile(`^web-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	p := pod("")
	p.GenerateName = "web-"
	for range 20 {
		got := c.mustCreate(t, podsR, p).(*corev1.Pod)
		if !form.MatchString(got.Name) {
			t.Fatalf("name %q", got.Name)
		}
	}
	long := pod("")
	long.GenerateName = strings.Repeat("a", 80)
	if got := c.mustCreate(t, podsR, long).(*corev1.Pod); len(got.Name) != 63 {
		t.Errorf("name of %d characters", len(got.Name))
	}
	// Every name that is drawn is taken: upstream gives up after 8.
	tries := 0
	c.store.intercept(func(ops []store.Op) {
		if strings.HasPrefix(ops[0].Key, "/registry/pods/") {
			tries++
			if _, err := c.store.Store.Commit(context.Background(), []store.Op{{Key: ops[0].Key, Value: ops[0].Value, Expect: store.Any}}); err != nil {
				t.Error(err)
			}
		}
	})
	_, err := c.Create(t.Context(), at(podsR, ""), p, registry.WriteOptions{})
	var s apierrors.APIStatus
	if !errors.As(err, &s) || s.Status().Reason != metav1.StatusReasonAlreadyExists ||
		!strings.HasSuffix(s.Status().Message, "already exists, the server was not able to generate a unique name for the object") {
		t.Errorf("got %v", err)
	}
	if tries != 8 {
		t.Errorf("%d tries, want 8", tries)
	}
}

func TestCreateDryRunWritesNothing(t *testing.T) {
	c := newCluster(t)
	before, _ := c.store.counts()
	res, err := c.Create(t.Context(), at(configMapsR, ""), configMap("a", nil), registry.WriteOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Object.Obj.(*corev1.ConfigMap); got.UID == "" || got.ResourceVersion != "" {
		t.Errorf("uid %q, resourceVersion %q", got.UID, got.ResourceVersion)
	}
	if after, _ := c.store.counts(); after != before {
		t.Error("a dry run was committed")
	}
	c.mustCreate(t, configMapsR, configMap("a", nil))
	_, err = c.Create(t.Context(), at(configMapsR, ""), configMap("a", nil), registry.WriteOptions{DryRun: true})
	wantStatus(t, err, 409, metav1.StatusReasonAlreadyExists, `configmaps "a" already exists`)
}

func TestCreateWithoutManagedFieldsWhenTooLarge(t *testing.T) {
	c := newCluster(t)
	data := map[string]string{}
	for i := range 20000 {
		data[strings.Repeat("k", 40)+string(rune('a'+i%26))+strings.Repeat("x", i%7)+regexp.QuoteMeta(string(rune(0x4e00+i)))] = "v"
	}
	got := c.mustCreate(t, configMapsR, configMap("big", data)).(*corev1.ConfigMap)
	if len(got.ManagedFields) != 0 || len(got.Data) != 20000 {
		t.Errorf("%d entries of managedFields, %d of data", len(got.ManagedFields), len(got.Data))
	}
}

func TestDuplicateOwnersAreDropped(t *testing.T) {
	c := newCluster(t)
	ref := metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "u"}
	m := configMap("a", nil)
	m.OwnerReferences = []metav1.OwnerReference{ref, ref}
	res, err := c.Create(t.Context(), at(configMapsR, ""), m, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject " +
		"such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: u"
	if len(res.Warnings) != 1 || res.Warnings[0] != want {
		t.Errorf("warnings %q", res.Warnings)
	}
	if n := len(res.Object.Obj.(*corev1.ConfigMap).OwnerReferences); n != 1 {
		t.Errorf("%d owners", n)
	}
}
