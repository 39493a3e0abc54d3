package custom_test

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// converter is a webhook between v1, which has spec.address, and v2, which has
// spec.host and spec.port.
type converter struct {
	*httptest.Server
	broken atomic.Bool
	calls  atomic.Int64
}

func newConverter(t *testing.T) *converter {
	c := &converter{}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.calls.Add(1)
		var review apiextensionsv1.ConversionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &apiextensionsv1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
		if c.broken.Load() {
			review.Response.Result = metav1.Status{Status: metav1.StatusFailure, Message: "out of order"}
		}
		for _, o := range review.Request.Objects {
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(o.Raw); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			exchange(u, review.Request.DesiredAPIVersion)
			review.Response.ConvertedObjects = append(review.Response.ConvertedObjects, runtime.RawExtension{Object: u})
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(c.Close)
	return c
}

func exchange(u *unstructured.Unstructured, to string) {
	spec, _ := u.Object["spec"].(map[string]any)
	switch {
	case spec == nil || u.GetAPIVersion() == to:
	case strings.HasSuffix(to, "/v2"):
		address, _ := spec["address"].(string)
		host, port, _ := strings.Cut(address, ":")
		u.Object["spec"] = map[string]any{"host": host, "port": port}
	default:
		host, _ := spec["host"].(string)
		port, _ := spec["port"].(string)
		u.Object["spec"] = map[string]any{"address": host + ":" + port}
	}
	u.SetAPIVersion(to)
	u.SetGeneration(77) // metadata is not the webhook's
	u.SetLabels(map[string]string{"converted": strings.ReplaceAll(to, "/", "-")})
}

// definition of the kind that the webhook converts.
func (c *converter) definition(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crd := definition(t, "addresses")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	crd.Spec.Conversion.Webhook.ClientConfig = &apiextensionsv1.WebhookClientConfig{URL: &c.URL, CABundle: ca}
	return crd
}

// TestConversionWebhook: objects are converted for whoever reads or writes them in
// another version than that in which they are stored, before and after the storage
// version changes.
func TestConversionWebhook(t *testing.T) {
	t.Parallel()
	s, hook := start(t), newConverter(t)
	crd := s.create(hook.definition(t))
	ctx, v1, v2 := t.Context(), s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	is := func(u *unstructured.Unstructured, err error, path, want string) *unstructured.Unstructured {
		t.Helper()
		must(t, err)
		if got := nested(t, u, "spec", path); got != want {
			t.Errorf("spec.%s of %v, want %q", path, u.Object, want)
		}
		return u
	}
	u, err := v1.Create(ctx, object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: a}\nspec: {address: 'x:1'}"), metav1.CreateOptions{})
	is(u, err, "address", "x:1")
	if n := hook.calls.Load(); n != 0 {
		t.Errorf("the webhook was called %d times for the storage version", n)
	}
	u, err = v2.Get(ctx, "a", metav1.GetOptions{})
	if is(u, err, "host", "x"); u.GetGeneration() != 1 || u.GetLabels()["converted"] != "net.example-v2" {
		t.Errorf("metadata: %v", u.Object["metadata"])
	}
	u, err = v2.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"port":"2"}}`), metav1.PatchOptions{})
	is(u, err, "port", "2")
	u, err = v1.Get(ctx, "a", metav1.GetOptions{})
	if is(u, err, "address", "x:2"); u.GetGeneration() != 2 {
		t.Errorf("generation %d", u.GetGeneration())
	}
	if _, err := v2.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"port":"no number"}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.port") {
		t.Errorf("validation in the version of the request: %v", err)
	}
	u, err = v2.Create(ctx, object(t, "apiVersion: net.example/v2\nkind: Address\nmetadata: {name: b}\nspec: {host: yy, port: '3'}"), metav1.CreateOptions{})
	is(u, err, "host", "yy")

	current, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, crd.Name, metav1.GetOptions{})
	must(t, err)
	current.Spec.Versions[0].Storage, current.Spec.Versions[1].Storage = false, true
	current, err = s.crds.ApiextensionsV1().CustomResourceDefinitions().Update(ctx, current, metav1.UpdateOptions{})
	must(t, err)
	if got := current.Status.StoredVersions; len(got) != 2 || got[1] != "v2" {
		t.Errorf("stored versions: %v", got)
	}
	for name, want := range map[string]string{"a": "x:2", "b": "yy:3"} {
		u, err = v1.Get(ctx, name, metav1.GetOptions{})
		is(u, err, "address", want)
	}
	l, err := v2.List(ctx, metav1.ListOptions{})
	must(t, err)
	if len(l.Items) != 2 || nested(t, &l.Items[0], "spec", "host") != "x" {
		t.Errorf("list: %v", l.Items)
	}
	u, err = v1.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"address":"z:9"}}`), metav1.PatchOptions{})
	is(u, err, "address", "z:9")
	u, err = v2.Get(ctx, "a", metav1.GetOptions{})
	is(u, err, "host", "z")

	hook.broken.Store(true)
	if _, err := v1.Get(ctx, "a", metav1.GetOptions{}); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "conversion webhook for net.example/v2, Kind=Address failed: out of order") {
		t.Errorf("a webhook that fails: %v", err)
	}
	if _, err := v1.Create(ctx, object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: c}\nspec: {address: 'x:1'}"), metav1.CreateOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("creation with a webhook that fails: %v", err)
	}
	u, err = v2.Get(ctx, "a", metav1.GetOptions{})
	is(u, err, "host", "z")
	hook.broken.Store(false)
	must(t, v1.Delete(ctx, "b", metav1.DeleteOptions{}))
}
