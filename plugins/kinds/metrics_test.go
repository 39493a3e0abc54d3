package kinds_test

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/ptr"
)

// metric is the sum of a metric's series with all of these labels.
func (g *governed) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	resp, err := g.HTTP().Get(g.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
series:
	for _, m := range regexp.MustCompile(`(?m)^`+name+`\{(.*)\} (.*)$`).FindAllStringSubmatch(string(text), -1) {
		for _, l := range labels {
			if !strings.Contains(m[1], l) {
				continue series
			}
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// TestAdmissionMetrics: what webhooks and policies took and refused is told under
// upstream's names.
func TestAdmissionMetrics(t *testing.T) {
	g := newGoverned(t)
	h := newHookServer(t)
	h.says(func(r *reviewv1.AdmissionReview) any {
		return response(r, func(a *reviewv1.AdmissionResponse) { a.Allowed = r.Request.Name != "denied" })
	})
	const hook, open = `name="measured.example.com"`, `name="open.example.com"`
	hooks := validatingHook(h, func(w *admissionv1.ValidatingWebhook) { w.Name = "measured.example.com" })
	failing := validatingHook(h, func(w *admissionv1.ValidatingWebhook) {
		w.Name, w.FailurePolicy, w.ClientConfig.URL = "open.example.com", ptr.To(admissionv1.Ignore), ptr.To("https://127.0.0.1:1/x")
	})
	hooks.Webhooks = append(hooks.Webhooks, failing.Webhooks...)
	g.in(t, hooks)
	g.policy(t, "measured", configMaps+`validations: [{expression: "object.metadata.name != 'judged'"}]`, "")
	until(t, "the policy counts", func() bool { return g.configMap(t.Context(), "default", "judged", nil, nil) != nil })
	for name, passes := range map[string]bool{"allowed": true, "denied": false, "judged": false} {
		if err := g.configMap(t.Context(), "default", name, nil, nil); (err == nil) != passes {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, tc := range []struct {
		name   string
		labels []string
	}{
		{"apiserver_admission_webhook_admission_duration_seconds_count", []string{hook, `type="validating"`, `operation="CREATE"`, `rejected="false"`}},
		{"apiserver_admission_webhook_admission_duration_seconds_count", []string{hook, `rejected="true"`}},
		{"apiserver_admission_webhook_request_total", []string{hook, `rejected="true"`}},
		{"apiserver_admission_webhook_rejection_count", []string{hook, `error_type="no_error"`, `operation="CREATE"`}},
		{"apiserver_admission_webhook_fail_open_count", []string{open, `type="validating"`}},
		{"apiserver_validating_admission_policy_check_total", []string{`policy="measured"`, `policy_binding="measured-binding"`, `enforcement_action="deny"`}},
	} {
		if n := g.metric(t, tc.name, tc.labels...); n < 1 {
			t.Errorf("%s %v is %v", tc.name, tc.labels, n)
		}
	}
}
