package kinds_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel"
)

// hookServer is a webhook's server. What it is asked it keeps, and answers by answer.
type hookServer struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []reviewv1.AdmissionRequest // guarded by mu
	answer func(r *reviewv1.AdmissionReview) any
}

func newHookServer(t testing.TB) *hookServer {
	h := &hookServer{}
	h.Server = httptest.NewTLSServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var review reviewv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.asked = append(h.asked, *review.Request)
	answer := h.answer
	h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch out := answer(&review).(type) {
	case []byte:
		_, _ = w.Write(out)
	case func(http.ResponseWriter, *http.Request):
		out(w, r)
	default:
		_ = json.NewEncoder(w).Encode(out)
	}
}

// says sets the answer, and forgets what was asked.
func (h *hookServer) says(answer func(r *reviewv1.AdmissionReview) any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer, h.asked = answer, nil
}

func (h *hookServer) requests() []reviewv1.AdmissionRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func (h *hookServer) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
}

func response(r *reviewv1.AdmissionReview, set func(*reviewv1.AdmissionResponse)) any {
	out := &reviewv1.AdmissionResponse{UID: r.Request.UID, Allowed: true}
	set(out)
	return &reviewv1.AdmissionReview{TypeMeta: r.TypeMeta, Response: out}
}

func allow(r *reviewv1.AdmissionReview) any {
	return response(r, func(*reviewv1.AdmissionResponse) {})
}

func patch(r *reviewv1.AdmissionReview, patch string) any {
	return response(r, func(a *reviewv1.AdmissionResponse) {
		a.Patch, a.PatchType = []byte(patch), ptr.To(reviewv1.PatchTypeJSONPatch)
	})
}

// validatingHook is a webhook for config maps, which set changes.
func validatingHook(h *hookServer, set func(*admissionv1.ValidatingWebhook)) *admissionv1.ValidatingWebhookConfiguration {
	hook := admissionv1.ValidatingWebhook{Name: "x.example.com", SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To(h.URL + "/x"), CABundle: h.ca()},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"},
			Rule: admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"configmaps"}}}}}
	if set != nil {
		set(&hook)
	}
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Webhooks: []admissionv1.ValidatingWebhook{hook}}
}

// in puts a configuration in force for one test: a second webhook, of a name that
// nobody matches but for one label, says when.
func (g *governed) in(t *testing.T, c *admissionv1.ValidatingWebhookConfiguration) {
	t.Helper()
	c = c.DeepCopy()
	flag := *c.Webhooks[0].DeepCopy()
	flag.Name, flag.FailurePolicy, flag.MatchConditions = "flag.example.com", ptr.To(admissionv1.Fail), nil
	flag.ClientConfig = admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1")}
	flag.Rules = []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"CREATE"}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}}}}
	flag.NamespaceSelector, flag.ObjectSelector, flag.SideEffects, flag.AdmissionReviewVersions = nil, nil, ptr.To(admissionv1.SideEffectClassNone), []string{"v1"}
	c.Webhooks = append(c.Webhooks, flag)
	api := g.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := api.Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	raised := func(ctx context.Context) bool {
		_, err := g.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, dry)
		return err != nil
	}
	until(t, "in force", func() bool { return raised(t.Context()) })
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = api.Delete(ctx, c.Name, metav1.DeleteOptions{})
		until(t, "gone", func() bool { return !raised(ctx) })
	})
}

func TestValidatingWebhooks(t *testing.T) {
	g := newGoverned(t)
	h := newHookServer(t)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	deny := func(s *metav1.Status) func(*reviewv1.AdmissionReview) any {
		return func(r *reviewv1.AdmissionReview) any {
			return response(r, func(a *reviewv1.AdmissionResponse) {
				a.Allowed, a.Result, a.Warnings = false, s, []string{"mind the gap"}
			})
		}
	}
	const failed = `500 InternalError Internal error occurred: failed calling webhook "x.example.com": `
	ignore := func(w *admissionv1.ValidatingWebhook) { w.FailurePolicy = ptr.To(admissionv1.Ignore) }
	for _, tc := range []struct {
		name   string
		answer func(*reviewv1.AdmissionReview) any
		set    func(*admissionv1.ValidatingWebhook)
		labels map[string]string
		want   string
		calls  int
		warns  string
	}{
		{name: "allowed", answer: allow, want: "ok", calls: 1},
		{name: "denied", answer: deny(&metav1.Status{Message: "no"}), want: `400  admission webhook "x.example.com" denied the request: no`, calls: 1, warns: "mind the gap"},
		{name: "denied with a code", answer: deny(&metav1.Status{Message: "no", Code: 418, Reason: "Teapot"}), want: `418 Teapot admission webhook "x.example.com" denied the request: no`, calls: 1, warns: "mind the gap"},
		{name: "denied without explanation", answer: deny(nil), want: `400  admission webhook "x.example.com" denied the request without explanation`, calls: 1, warns: "mind the gap"},
		{name: "another's answer", answer: func(r *reviewv1.AdmissionReview) any {
			return response(r, func(a *reviewv1.AdmissionResponse) { a.UID = "other" })
		}, want: failed + "received invalid webhook response: expected response.uid=", calls: 1},
		{name: "no answer", answer: func(*reviewv1.AdmissionReview) any { return []byte(`{}`) }, want: failed + "received invalid webhook response: webhook response was absent", calls: 1},
		{name: "no JSON", answer: func(*reviewv1.AdmissionReview) any { return []byte(`hello`) }, want: failed + "failed to call webhook: couldn't get version/kind; json parse error: ", calls: 1},
		{name: "a patch", answer: func(r *reviewv1.AdmissionReview) any { return patch(r, `[]`) }, want: failed + "received invalid webhook response: validating webhook may not return response.patch", calls: 1},
		{name: "too much", answer: func(*reviewv1.AdmissionReview) any { return make([]byte, 9<<20) }, want: failed + "failed to call webhook: unexpected error when reading response body. Please retry. Original error: the answer is larger than 8 MiB", calls: 1},
		{name: "an error", answer: func(*reviewv1.AdmissionReview) any {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }
		}, want: failed + `failed to call webhook: an error on the server ("broken") has prevented the request from succeeding`, calls: 1},
		{name: "an error that is ignored", answer: func(*reviewv1.AdmissionReview) any { return []byte(`{}`) }, set: ignore, want: "ok", calls: 1},
		{name: "nobody there", set: func(w *admissionv1.ValidatingWebhook) { w.ClientConfig.URL = ptr.To("https://127.0.0.1:1/x") },
			want: failed + `failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused`},
		{name: "another CA", set: func(w *admissionv1.ValidatingWebhook) { w.ClientConfig.CABundle = g.PKI.CAPEM() },
			want: failed + `failed to call webhook: Post "` + h.URL + `/x?timeout=10s": tls: failed to verify certificate: x509: `},
		{name: "a Service that is not there", set: func(w *admissionv1.ValidatingWebhook) {
			w.ClientConfig.URL, w.ClientConfig.Service = nil, &admissionv1.ServiceReference{Namespace: "default", Name: "nothing", Path: ptr.To("/hook")}
		}, want: failed + `failed to call webhook: Post "https://nothing.default.svc:443/hook?timeout=10s": service "nothing" not found`},
		{name: "too slow", answer: func(*reviewv1.AdmissionReview) any {
			return func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-r.Context().Done():
				case <-never:
				}
			}
		}, set: func(w *admissionv1.ValidatingWebhook) { w.TimeoutSeconds = ptr.To[int32](1) }, want: failed + `failed to call webhook: Post "` + h.URL + `/x?timeout=1s": context deadline exceeded`, calls: 1},
		{name: "side effects", set: func(w *admissionv1.ValidatingWebhook) {
			w.SideEffects = ptr.To(admissionv1.SideEffectClassNoneOnDryRun)
		}, answer: allow, want: "ok", calls: 1},
		{name: "match conditions", answer: deny(nil), set: func(w *admissionv1.ValidatingWebhook) {
			w.MatchConditions = []admissionv1.MatchCondition{{Name: "none", Expression: "object.metadata.name == 'other'"}}
		}, want: "ok"},
		{name: "a condition that fails", answer: deny(nil), set: func(w *admissionv1.ValidatingWebhook) {
			w.MatchConditions = []admissionv1.MatchCondition{{Name: "none", Expression: "object.missing == 'other'"}}
		}, want: `403 Forbidden configmaps "x" is forbidden: expression 'object.missing == 'other'' resulted in error: no such key: missing`},
		{name: "selected by label", answer: allow, labels: map[string]string{"a": "b"}, set: func(w *admissionv1.ValidatingWebhook) {
			w.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}, want: "ok", calls: 1},
		{name: "not selected", answer: deny(nil), set: func(w *admissionv1.ValidatingWebhook) {
			w.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}, want: "ok"},
		{name: "another namespace", answer: deny(nil), set: func(w *admissionv1.ValidatingWebhook) {
			w.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}}
		}, want: "ok"},
		{name: "v1beta1", set: func(w *admissionv1.ValidatingWebhook) { w.AdmissionReviewVersions = []string{"v1beta1", "v1"} },
			answer: func(r *reviewv1.AdmissionReview) any {
				if r.APIVersion != "admission.k8s.io/v1beta1" {
					return []byte("wrong version " + r.APIVersion)
				}
				return []byte(`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","response":{"allowed":false}}`)
			}, want: `400  admission webhook "x.example.com" denied the request without explanation`, calls: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.says(tc.answer)
			g.in(t, validatingHook(h, tc.set))
			h.says(tc.answer)
			g.warnings = nil
			got := words(g.configMap(t.Context(), "default", "x", tc.labels, nil))
			if got != tc.want && (tc.want == "ok" || !strings.HasPrefix(got, tc.want)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if n := len(h.requests()); n != tc.calls {
				t.Errorf("%d calls, want %d", n, tc.calls)
			}
			if w := strings.Join(g.warnings, ","); w != tc.warns {
				t.Errorf("warnings %q, want %q", w, tc.warns)
			}
		})
	}
	t.Run("side effects that a dry run must not have", func(t *testing.T) {
		c := validatingHook(h, nil)
		c.Webhooks[0].AdmissionReviewVersions = []string{"v1"}
		h.says(allow)
		g.in(t, c)
		if _, err := g.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "real"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := h.requests(); len(r) != 1 || *r[0].DryRun {
			t.Errorf("%+v", r)
		}
	})
}

// TestReviews: what a webhook is told of a request.
func TestReviews(t *testing.T) {
	g := newGoverned(t)
	h := newHookServer(t)
	h.says(allow)
	ctx := t.Context()
	g.in(t, validatingHook(h, func(w *admissionv1.ValidatingWebhook) {
		w.Rules = []admissionv1.RuleWithOperations{
			{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps", "namespaces", "pods/*"}}},
			{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"autoscaling"}, APIVersions: []string{"v1"}, Resources: []string{"horizontalpodautoscalers"}}},
			{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments/scale"}}},
			{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{APIGroups: []string{"admissionregistration.k8s.io"}, APIVersions: []string{"*"}, Resources: []string{"*"}}},
		}
	}))
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	maps := g.CoreV1().ConfigMaps("default")
	h.says(allow)
	must(maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "1"}}, metav1.CreateOptions{FieldManager: "m"}))
	must(maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"k":"2"}}`), metav1.PatchOptions{DryRun: dry.DryRun}))
	must(nil, maps.Delete(ctx, "a", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
	must(g.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}}, metav1.CreateOptions{}))
	must(g.AutoscalingV2().HorizontalPodAutoscalers("default").Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "d", APIVersion: "apps/v1"}}}, metav1.CreateOptions{}))
	labels := map[string]string{"a": "b"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	must(g.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}}, metav1.CreateOptions{}))
	must(g.AppsV1().Deployments("default").UpdateScale(ctx, "d", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, metav1.UpdateOptions{}))
	must(g.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: template.Spec}, metav1.CreateOptions{}))
	must(nil, g.CoreV1().Pods("default").Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, metav1.CreateOptions{}))

	kindOf := func(raw []byte) string {
		var o struct {
			APIVersion, Kind string
			Spec             struct{ Replicas *int }
			Data             map[string]string
		}
		if len(raw) == 0 || string(raw) == "null" {
			return "-"
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Error(err)
		}
		s := o.APIVersion + " " + o.Kind
		if o.Spec.Replicas != nil {
			s += fmt.Sprint(" ", *o.Spec.Replicas)
		}
		if o.Data["k"] != "" {
			s += " " + o.Data["k"]
		}
		return s
	}
	var got []string
	for _, r := range h.requests() {
		line := fmt.Sprintf("%s %s/%s of %s/%s by %s: %s was %s, %s", r.Operation, r.Resource.Resource, r.SubResource, r.Namespace, r.Name, r.UserInfo.Username, kindOf(r.Object.Raw), kindOf(r.OldObject.Raw), kindOf(r.Options.Raw))
		if *r.DryRun {
			line += ", dry"
		}
		if r.RequestKind.Version != r.Kind.Version {
			line += ", asked as " + r.RequestKind.Version
		}
		got = append(got, line)
	}
	want := []string{
		"CREATE configmaps/ of default/a by kubernetes-admin: v1 ConfigMap 1 was -, meta.k8s.io/v1 CreateOptions",
		"UPDATE configmaps/ of default/a by kubernetes-admin: v1 ConfigMap 2 was v1 ConfigMap 1, meta.k8s.io/v1 UpdateOptions, dry",
		"DELETE configmaps/ of default/a by kubernetes-admin: - was v1 ConfigMap 1, meta.k8s.io/v1 DeleteOptions",
		"CREATE namespaces/ of ns/ns by kubernetes-admin: v1 Namespace was -, meta.k8s.io/v1 CreateOptions",
		"CREATE horizontalpodautoscalers/ of default/h by kubernetes-admin: autoscaling/v1 HorizontalPodAutoscaler was -, meta.k8s.io/v1 CreateOptions, asked as v2",
		"UPDATE deployments/scale of default/d by kubernetes-admin: autoscaling/v1 Scale 3 was autoscaling/v1 Scale 1, meta.k8s.io/v1 UpdateOptions",
		"CREATE pods/ of default/p by kubernetes-admin: v1 Pod was -, meta.k8s.io/v1 CreateOptions",
		"CREATE pods/binding of default/p by kubernetes-admin: v1 Binding was -, meta.k8s.io/v1 CreateOptions",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func mutatingHook(h *hookServer, name string, set func(*admissionv1.MutatingWebhook)) *admissionv1.MutatingWebhookConfiguration {
	hook := admissionv1.MutatingWebhook{Name: name + ".example.com", SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To(h.URL + "/" + name), CABundle: h.ca()},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"*"},
			Rule: admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"configmaps", "deployments/scale", "pods"}}}}}
	if set != nil {
		set(&hook)
	}
	return &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}, Webhooks: []admissionv1.MutatingWebhook{hook}}
}

// mutates puts configurations in force: the last of them is asked when all are.
func (g *governed) mutates(t *testing.T, configs ...*admissionv1.MutatingWebhookConfiguration) {
	t.Helper()
	api := g.AdmissionregistrationV1().MutatingWebhookConfigurations()
	flag := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "zz"}, Webhooks: []admissionv1.MutatingWebhook{{
		Name: "flag.example.com", SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1")},
		Rules:        []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{"CREATE"}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}}}}}}}
	for _, c := range append(configs, flag) {
		if _, err := api.Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	raised := func(ctx context.Context) bool {
		_, err := g.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, dry)
		return err != nil
	}
	until(t, "in force", func() bool { return raised(t.Context()) })
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_ = api.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		until(t, "gone", func() bool { return !raised(ctx) })
	})
}

func TestMutatingWebhooks(t *testing.T) {
	g := newGoverned(t)
	ctx := t.Context()
	a, b := newHookServer(t), newHookServer(t)
	make := func(t *testing.T, name string) (*corev1.ConfigMap, error) {
		t.Helper()
		return g.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, dry)
	}
	count := func(r *reviewv1.AdmissionReview, key string) any {
		var m corev1.ConfigMap
		if err := json.Unmarshal(r.Request.Object.Raw, &m); err != nil {
			t.Error(err)
		}
		if m.Data == nil {
			return patch(r, fmt.Sprintf(`[{"op":"add","path":"/data","value":{%q:"1"}}]`, key))
		}
		return patch(r, fmt.Sprintf(`[{"op":"add","path":"/data/%s","value":"%d"}]`, key, len(m.Data[key])+1))
	}
	for _, tc := range []struct {
		name  string
		set   func(*admissionv1.MutatingWebhook)
		want  map[string]string
		calls string
	}{
		{"one after the other", nil, map[string]string{"a": "1", "b": "1"}, "1 1"},
		{"the first again when the second changed", func(w *admissionv1.MutatingWebhook) {
			w.ReinvocationPolicy = ptr.To(admissionv1.IfNeededReinvocationPolicy)
		}, map[string]string{"a": "2", "b": "1"}, "2 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.says(func(r *reviewv1.AdmissionReview) any { return count(r, "a") })
			b.says(func(r *reviewv1.AdmissionReview) any { return count(r, "b") })
			g.mutates(t, mutatingHook(a, "a", tc.set), mutatingHook(b, "b", nil))
			m, err := make(t, "x")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, m.Data); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if calls := fmt.Sprint(len(a.requests()), " ", len(b.requests())); calls != tc.calls {
				t.Errorf("calls %s, want %s", calls, tc.calls)
			}
		})
	}
	t.Run("answers", func(t *testing.T) {
		g.mutates(t, mutatingHook(a, "a", nil))
		const failed = `500 InternalError Internal error occurred: failed calling webhook "a.example.com": `
		for answer, want := range map[string]string{
			`[{"op":"add","path":"/metadata/labels","value":{"l":"x"}}]`: "ok",
			`[]`:                            "ok",
			`hello`:                         failed + "received undecodable patch in webhook response: ",
			`[{"op":"remove","path":"/x"}]`: `500 InternalError Internal error occurred: error in remove for path: '/x': Unable to remove nonexistent key: x: missing value`,
			`[{"op":"replace","path":"/metadata/name","value":7}]`:       `500 InternalError Internal error occurred: json: cannot unmarshal`,
			`[{"op":"add","path":"/metadata/labels","value":{"-":"x"}}]`: "422 Invalid ConfigMap \"x\" is invalid: metadata.labels: Invalid value: \"-\"",
		} {
			a.says(func(r *reviewv1.AdmissionReview) any { return patch(r, answer) })
			_, err := make(t, "x")
			if got := words(err); got != want && (want == "ok" || !strings.HasPrefix(got, want)) {
				t.Errorf("%s:\ngot  %s\nwant %s", answer, got, want)
			}
		}
		a.says(func(r *reviewv1.AdmissionReview) any {
			return response(r, func(x *reviewv1.AdmissionResponse) { x.Patch = []byte(`[]`) })
		})
		if _, err := make(t, "x"); !strings.HasPrefix(words(err), failed+"received invalid webhook response: webhook returned response.patch but not response.patchType") {
			t.Error(words(err))
		}
	})
	t.Run("a pod is defaulted again, a scale is changed, a deletion is not", func(t *testing.T) {
		labels := map[string]string{"a": "b"}
		spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
		if _, err := g.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		g.mutates(t, mutatingHook(a, "a", nil))
		a.says(func(r *reviewv1.AdmissionReview) any {
			return patch(r, `[{"op":"add","path":"/spec/initContainers","value":[{"name":"added","image":"busybox"}]}]`)
		})
		p, err := g.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if c := p.Spec.InitContainers; len(c) != 1 || c[0].TerminationMessagePath != "/dev/termination-log" || c[0].ImagePullPolicy != corev1.PullAlways {
			t.Errorf("%+v", c)
		}
		a.says(func(r *reviewv1.AdmissionReview) any {
			return patch(r, `[{"op":"replace","path":"/spec/replicas","value":7}]`)
		})
		if _, err := g.AppsV1().Deployments("default").UpdateScale(ctx, "d", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default"}, Spec: autoscalingv1.ScaleSpec{Replicas: 3}}, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if d, err := g.AppsV1().Deployments("default").Get(ctx, "d", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 7 {
			t.Errorf("%v replicas, %v", *d.Spec.Replicas, err)
		}
		err = g.CoreV1().Pods("default").Delete(ctx, "p", metav1.DeleteOptions{})
		if got, want := words(err), `500 InternalError Internal error occurred: admission webhook "a.example.com" attempted to modify the object, which is not supported for this operation`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestWebhookBehindService: the server finds the Service's endpoints by itself, and
// whoever answers there must have the Service's certificate.
func TestWebhookBehindService(t *testing.T) {
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("hook.default.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &hookServer{}
	h.Server = httptest.NewUnstartedServer(h)
	h.TLS = tlsOf(t, certPEM, keyPEM)
	h.StartTLS()
	t.Cleanup(h.Close)
	var dialed []string
	var mu sync.Mutex
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			dialed = append(dialed, address)
			mu.Unlock()
			if !strings.HasPrefix(address, "127.") {
				address = h.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	})
	ctx := t.Context()
	if _, err := g.CoreV1().Services("default").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "hook"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 8443}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	h.says(func(r *reviewv1.AdmissionReview) any {
		return response(r, func(a *reviewv1.AdmissionResponse) {
			a.Allowed, a.Result = false, &metav1.Status{Message: "by " + r.Request.Name, Code: 403}
		})
	})
	g.in(t, validatingHook(h, func(w *admissionv1.ValidatingWebhook) {
		w.ClientConfig = admissionv1.WebhookClientConfig{CABundle: certPEM, Service: &admissionv1.ServiceReference{Namespace: "default", Name: "hook", Port: ptr.To[int32](8443)}}
	}))
	const failed = `500 InternalError Internal error occurred: failed calling webhook "x.example.com": failed to call webhook: Post "https://hook.default.svc:8443/?timeout=10s": `
	if got, want := words(g.configMap(ctx, "default", "x", nil, nil)), failed+`no endpoints available for service "hook"`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, s := range []struct {
		name, address string
		ready         bool
	}{{"away", "10.1.2.4", false}, {"there", "10.1.2.3", true}} {
		if _, err := g.DiscoveryV1().EndpointSlices("default").Create(ctx, &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{discoveryv1.LabelServiceName: "hook"}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To[int32](9443)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{s.address}, Conditions: discoveryv1.EndpointConditions{Ready: &s.ready}}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := words(g.configMap(ctx, "default", "x", nil, nil)), `403  admission webhook "x.example.com" denied the request: by x`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if d := strings.Join(dialed, ","); d != "127.0.0.1:1,10.1.2.3:9443" {
		t.Errorf("dialed %s", d)
	}
}

func tlsOf(t *testing.T, certPEM, keyPEM []byte) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
