package webhook_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/admission/webhook"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// configured is a source of configurations that stay as they are.
type configured map[string][]*watch.Object

func (c configured) List(_ context.Context, t registry.Target, _ metav1.ListOptions) (*registry.List, error) {
	return &registry.List{Items: c[t.Resource.Resource], Revision: 1}, nil
}

func (c configured) Watch(context.Context, registry.Target, metav1.ListOptions) (registry.Watcher, error) {
	return quiet{make(chan watch.Event)}, nil
}

// quiet is a watch that tells nothing until it is stopped.
type quiet struct{ events chan watch.Event }

func (q quiet) Events() <-chan watch.Event { return q.events }
func (q quiet) Err() error                 { return nil }
func (q quiet) Stop()                      {}

func (q quiet) Next(ctx context.Context) ([]watch.Event, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// objects has no namespaces: nothing here asks for one.
type objects struct{}

func (objects) Get(_ context.Context, gr schema.GroupResource, _, name string) (runtime.Object, error) {
	return nil, apierrors.NewNotFound(gr, name)
}
func (objects) List(context.Context, schema.GroupResource, string) ([]runtime.Object, error) {
	return nil, nil
}

type store struct{}

func (store) Get(_ context.Context, t registry.Target, _ metav1.GetOptions) (*watch.Object, error) {
	return nil, apierrors.NewNotFound(t.Resource.GroupResource(), t.Name)
}

// newChain is a chain with a mutating webhook for pods, whose server is h.
func newChain(t testing.TB, h http.Handler, logs ...*slog.Logger) *admission.Chain {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	define := func(group, plural, kind string, namespaced bool) *resource.Definition {
		return &resource.Definition{Group: group, Resource: plural, Kind: kind, Namespaced: namespaced, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/" + plural}
	}
	table := &resource.Table{Scheme: scheme, Definitions: []*resource.Definition{define("", "pods", "Pod", true),
		define(dynamic.Group, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false), define(dynamic.Group, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false)}}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	catalog := resource.NewCatalog(table)
	config := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Webhooks: []admissionv1.MutatingWebhook{{
		Name: "x.example.com", SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"}, NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
		ClientConfig: admissionv1.WebhookClientConfig{URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
		Rules:        []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}}}}}
	chain := &admission.Chain{}
	w, err := webhook.New(webhook.Config{Chain: chain, Kinds: &dynamic.Kinds{Catalog: catalog, Codec: resource.NewCodec(catalog)}, Objects: &dynamic.Objects{Reader: objects{}, Getter: store{}},
		Registry: configured{"mutatingwebhookconfigurations": {{Key: "/registry/x", Revision: 1, Obj: config}}}, Log: append(logs, nil)[0]})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-w.Synced()
	return chain
}

func createPod() *admission.Attributes {
	return &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"), Kind: corev1.SchemeGroupVersion.WithKind("Pod"),
		Namespace: "default", Name: "p", User: &user.DefaultInfo{Name: "u"},
		Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}}
}

// A chain without webhooks of a kind has no rule for them, and one is asked about
// what it names alone.
func TestRulesComeWithWebhooks(t *testing.T) {
	asked := 0
	chain := newChain(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; http.Error(w, "no", http.StatusTeapot) }))
	stats := chain.Stats()
	if len(stats) != 1 || stats[0].Name != webhook.MutatingName || stats[0].Order != admission.OrderMutatingWebhooks {
		t.Fatalf("rules %+v", stats)
	}
	a := createPod()
	a.Resource.Resource = "services"
	if err := chain.Mutate(t.Context(), a); err != nil || asked != 0 {
		t.Errorf("%v, %d calls", err, asked)
	}
	if err := chain.Mutate(admission.WithOwnObjects(t.Context()), createPod()); err != nil || asked != 0 {
		t.Errorf("the server's own object: %v, %d calls", err, asked)
	}
	if err := chain.Mutate(t.Context(), createPod()); err == nil || asked != 1 {
		t.Errorf("%v, %d calls", err, asked)
	}
}

// FuzzAnswers: whatever a webhook answers, the request is refused or its object is a
// pod, and the server lives.
func FuzzAnswers(f *testing.F) {
	for _, patch := range []string{`[]`, `[{"op":"add","path":"/metadata/labels/x","value":"y"}]`, `[{"op":"copy","from":"/spec","path":"/spec/x"}]`, `[{"op":"remove","path":""}]`,
		`[{"op":"replace","path":"","value":[]}]`, `[{"op":"replace","path":"","value":{"kind":"Service","apiVersion":"v1"}}]`, `[{"op":"test","path":"/kind","value":null}]`, `{}`, `nonsense`} {
		review, err := json.Marshal(&reviewv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Response: &reviewv1.AdmissionResponse{UID: "UID", Allowed: true, Patch: []byte(patch), PatchType: ptr.To(reviewv1.PatchTypeJSONPatch)}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(review)
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":false,"status":{"code":-1,"details":{"causes":[{}]}}}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Status","code":99999}`))
	f.Add([]byte(`null`))
	var answer atomic.Pointer[[]byte]
	chain := newChain(f, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review reviewv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.ReplaceAll(string(*answer.Load()), "UID", string(review.Request.UID)))
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer.Store(&data)
		a := createPod()
		err := chain.Mutate(t.Context(), a)
		if err != nil {
			if _, ok := err.(apierrors.APIStatus); !ok { // what clients are told is not wrapped
				t.Errorf("%T %v is no answer for a client", err, err)
			}
			return
		}
		p, ok := a.Object.(*corev1.Pod)
		if !ok || p.Kind != "" && p.Kind != "Pod" {
			t.Errorf("the object is a %T %s", a.Object, a.Object.GetObjectKind().GroupVersionKind())
		}
	})
}
