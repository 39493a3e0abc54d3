package custom_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/pintle-io/pintle/kernel/registry/registrytest"
)

// converter is a webhook between v1, which has spec.address, and v2, which has
// spec.host and spec.port.
type converter struct {
	*httptest.Server
	broken atomic.Bool
	calls  atomic.Int64
	most   atomic.Int64 // objects in a review
	hang   atomic.Bool  // until the client goes
	left   chan struct{}
}

func newConverter(t *testing.T) *converter {
	c := &converter{left: make(chan struct{}, 100)}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.calls.Add(1)
		var review apiextensionsv1.ConversionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if c.hang.Load() {
			<-r.Context().Done()
			c.left <- struct{}{}
			return
		}
		c.most.Store(max(c.most.Load(), int64(len(review.Request.Objects))))
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

// created creates addresses in v1, and has v2 stored from then on: whoever reads v2 has
// all of them converted.
func (c *converter) created(t *testing.T, s *server, n int, change func(*unstructured.Unstructured)) (v1, v2 dynamic.ResourceInterface) {
	t.Helper()
	crd := s.create(c.definition(t))
	v1, v2 = s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	for i := range n {
		u := object(t, fmt.Sprintf("apiVersion: net.example/v1\nkind: Address\nmetadata: {name: a%04d}\nspec: {address: 'x%d:1'}", i, i))
		if change != nil {
			change(u)
		}
		_, err := v1.Create(t.Context(), u, metav1.CreateOptions{})
		must(t, err)
	}
	current, err := s.crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), crd.Name, metav1.GetOptions{})
	must(t, err)
	current.Spec.Versions[0].Storage, current.Spec.Versions[1].Storage = false, true
	_, err = s.crds.ApiextensionsV1().CustomResourceDefinitions().Update(t.Context(), current, metav1.UpdateOptions{})
	must(t, err)
	registrytest.Eventually(t, "the definition is followed", func() bool {
		d := s.Catalog().Lookup(resourceOf(crd, "v2").GroupResource())
		return d != nil && d.StorageVersion == "v2"
	})
	c.calls.Store(0)
	c.most.Store(0)
	return v1, v2
}

// TestListsAreConvertedAtOnce: a webhook is asked about a list in one review, as upstream
// asks it, be it shown as it is or as a table, and the answers are in order.
func TestListsAreConvertedAtOnce(t *testing.T) {
	t.Parallel()
	s, hook := start(t), newConverter(t)
	const n = 120
	_, v2 := hook.created(t, s, n, nil)
	l, err := v2.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for i := range l.Items {
		if got := nested(t, &l.Items[i], "spec", "host"); got != fmt.Sprint("x", i) || l.Items[i].GetName() != fmt.Sprintf("a%04d", i) {
			t.Fatalf("item %d is %s with host %v", i, l.Items[i].GetName(), got)
		}
	}
	if len(l.Items) != n || hook.calls.Load() != 1 || hook.most.Load() != n {
		t.Errorf("%d objects in %d reviews of %d at most, want one of %d", len(l.Items), hook.calls.Load(), hook.most.Load(), n)
	}
	// Until the cache has read the objects anew by the definition that has changed, once.
	registrytest.Eventually(t, "what is known is not asked again", func() bool {
		before := hook.calls.Load()
		_, err := v2.List(t.Context(), metav1.ListOptions{})
		return err == nil && hook.calls.Load() == before
	})
	if calls := hook.calls.Load(); calls > 2 || hook.most.Load() != n {
		t.Errorf("%d reviews of %d at most", calls, hook.most.Load())
	}
	before := hook.calls.Load()
	var table metav1.Table
	must(t, json.Unmarshal([]byte(s.document("/apis/net.example/v2/namespaces/default/addresses?includeObject=Object", "application/json;as=Table;g=meta.k8s.io;v=v1")), &table))
	if len(table.Rows) != n || hook.calls.Load() != before+1 {
		t.Errorf("a table of %d rows took %d reviews, want one", len(table.Rows), hook.calls.Load()-before)
	}
}

// TestConversionEndsWithItsClient: who goes takes his question to the webhook with him,
// and a request's deadline is the question's.
func TestConversionEndsWithItsClient(t *testing.T) {
	t.Parallel()
	s, hook := start(t), newConverter(t)
	v1, v2 := hook.created(t, s, 1, func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"example.com/held"}) })
	old := object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: a0000}\nspec: {address: 'y:1'}")
	added := object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: new}\nspec: {address: 'y:1'}")
	hook.hang.Store(true)
	for what, ask := range map[string]func(context.Context) error{
		"create": func(ctx context.Context) error { _, err := v1.Create(ctx, added, metav1.CreateOptions{}); return err },
		"update": func(ctx context.Context) error {
			u := old.DeepCopy()
			u.SetResourceVersion("1")
			_, err := v1.Update(ctx, u, metav1.UpdateOptions{})
			return err
		},
		"patch": func(ctx context.Context) error {
			_, err := v2.Patch(ctx, "a0000", types.MergePatchType, []byte(`{"spec":{"host":"z"}}`), metav1.PatchOptions{})
			return err
		},
		"apply": func(ctx context.Context) error {
			_, err := v1.Apply(ctx, "a0000", old, metav1.ApplyOptions{FieldManager: "f", Force: true})
			return err
		},
		"delete": func(ctx context.Context) error { return v2.Delete(ctx, "a0000", metav1.DeleteOptions{}) },
		"get":    func(ctx context.Context) error { _, err := v2.Get(ctx, "a0000", metav1.GetOptions{}); return err },
		"list":   func(ctx context.Context) error { _, err := v2.List(ctx, metav1.ListOptions{}); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		before := hook.calls.Load()
		done := make(chan error, 1)
		go func() { done <- ask(ctx) }()
		registrytest.Eventually(t, "the webhook is asked", func() bool { return hook.calls.Load() > before })
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s: no error", what)
		}
		select {
		case <-hook.left:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the webhook is still asked though nobody waits", what)
		}
	}
}

// TestDeletionWithABrokenWebhook: what nothing holds can be deleted though the webhook is
// away; what a finalizer holds cannot be marked, and that is told without asking about
// each.
func TestDeletionWithABrokenWebhook(t *testing.T) {
	t.Parallel()
	s, hook := start(t), newConverter(t)
	held := func(u *unstructured.Unstructured) { u.SetFinalizers([]string{"example.com/held"}) }
	const n = 100
	v1, v2 := hook.created(t, s, n, held)
	hook.broken.Store(true)
	err := v2.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
	if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("objects that are held: %v", err)
	}
	if calls := hook.calls.Load(); calls >= n/2 {
		t.Errorf("the webhook, which fails, was asked %d times", calls)
	}
	hook.broken.Store(false)
	for i := range n {
		_, err := v1.Patch(t.Context(), fmt.Sprintf("a%04d", i), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		must(t, err)
	}
	hook.broken.Store(true)
	must(t, v1.Delete(t.Context(), "a0000", metav1.DeleteOptions{}))
	// Though what is gone cannot be shown as v1, in which the client asks.
	must(t, v1.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{Limit: 10}))
	must(t, v2.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	hook.broken.Store(false)
	if l, err := v2.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("left: %v, %v", l, err)
	}
}

// TestSelectorsAcrossVersions: a field selector is about objects as the version of the
// request has them, in lists and in watches.
func TestSelectorsAcrossVersions(t *testing.T) {
	t.Parallel()
	s, hook := start(t), newConverter(t)
	def := hook.definition(t)
	def.Spec.Versions[0].SelectableFields = []apiextensionsv1.SelectableField{{JSONPath: ".spec.address"}}
	def.Spec.Versions[1].SelectableFields = []apiextensionsv1.SelectableField{{JSONPath: ".spec.host"}}
	crd := s.create(def)
	ctx, v1, v2 := t.Context(), s.of(crd, "v1", "default"), s.of(crd, "v2", "default")
	w, err := v2.Watch(ctx, metav1.ListOptions{FieldSelector: "spec.host=x"})
	must(t, err)
	defer w.Stop()
	for name, address := range map[string]string{"a": "x:1", "b": "y:1", "c": "x:2"} {
		_, err := v1.Create(ctx, object(t, "apiVersion: net.example/v1\nkind: Address\nmetadata: {name: "+name+"}\nspec: {address: '"+address+"'}"), metav1.CreateOptions{})
		must(t, err)
	}
	for _, x := range []struct {
		of             dynamic.ResourceInterface
		selector, want string
	}{
		{v2, "spec.host=x", "a c"}, {v2, "spec.host=y", "b"}, {v2, "spec.host!=x", "b"}, {v2, "spec.host=x,metadata.name=c", "c"}, {v2, "spec.host=z", ""},
		{v1, "spec.address=y:1", "b"}, {v1, "spec.address=x", ""},
	} {
		l, err := x.of.List(ctx, metav1.ListOptions{FieldSelector: x.selector, Limit: 1})
		must(t, err)
		var names []string
		for i := range l.Items {
			names = append(names, l.Items[i].GetName())
		}
		if got := strings.Join(names, " "); got != x.want {
			t.Errorf("%s selects %q, want %q", x.selector, got, x.want)
		}
	}
	for selector, of := range map[string]dynamic.ResourceInterface{"spec.address=x:1": v2, "spec.host=x": v1} {
		if _, err := of.List(ctx, metav1.ListOptions{FieldSelector: selector}); !apierrors.IsBadRequest(err) {
			t.Errorf("%s, a field of another version: %v", selector, err)
		}
	}
	patch := func(name, address string) {
		t.Helper()
		_, err := v1.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"address":"`+address+`"}}`), metav1.PatchOptions{})
		must(t, err)
	}
	patch("b", "x:9") // comes into view
	patch("b", "x:8")
	patch("b", "y:8") // leaves it
	must(t, v1.Delete(ctx, "b", metav1.DeleteOptions{}))
	patch("a", "x:7")
	must(t, v1.Delete(ctx, "a", metav1.DeleteOptions{}))
	seen := map[string][]string{}
	for len(seen["a"]) < 3 {
		select {
		case e := <-w.ResultChan():
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok {
				t.Fatalf("%v", e)
			}
			if host := nested(t, u, "spec", "host"); e.Type != "DELETED" && host != "x" {
				t.Errorf("%s %s has host %v", e.Type, u.GetName(), host)
			}
			seen[u.GetName()] = append(seen[u.GetName()], string(e.Type))
		case <-time.After(20 * time.Second):
			t.Fatalf("seen: %v", seen)
		}
	}
	for name, want := range map[string]string{"a": "ADDED MODIFIED DELETED", "b": "ADDED MODIFIED DELETED", "c": "ADDED"} {
		if got := strings.Join(seen[name], " "); got != want {
			t.Errorf("of %s %s was told, want %s", name, got, want)
		}
	}
}
