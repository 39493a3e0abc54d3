package audit_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	upstream "k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/audit"
)

type kept []*auditinternal.Event

func (k *kept) ProcessEvents(events ...*auditinternal.Event) bool {
	for _, ev := range events {
		*k = append(*k, ev.DeepCopy())
	}
	return true
}

func (k *kept) Close() error { return nil }

func policyFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, policy string, to *kept) *audit.Auditor {
	t.Helper()
	a, err := audit.Open(audit.Config{Options: audit.Options{PolicyFile: policyFile(t, "apiVersion: audit.k8s.io/v1\nkind: Policy\n"+policy)}, Carriers: []schema.GroupResource{{Group: "x.example", Resource: "crates"}}, Backend: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// TestCarriers: of a request whose body is objects of other resources no policy records
// the body.
func TestCarriers(t *testing.T) {
	for resource, want := range map[string]auditinternal.Level{"crates": auditinternal.LevelMetadata, "things": auditinternal.LevelRequestResponse} {
		a := open(t, "rules:\n- level: RequestResponse\n", &kept{})
		ctx, _ := a.Begin(a.Context(t.Context(), "id"), httptest.NewRequest("POST", "/x", nil),
			authorizer.AttributesRecord{ResourceRequest: true, Verb: "create", APIGroup: "x.example", APIVersion: "v1", Resource: resource, User: &user.DefaultInfo{Name: "jane"}})
		if got := upstream.AuditContextFrom(ctx).GetEventLevel(); got != want {
			t.Errorf("%s: level %s, want %s", resource, got, want)
		}
	}
}

// TestPolicy: the first rule that matches decides.
func TestPolicy(t *testing.T) {
	pods := authorizer.AttributesRecord{ResourceRequest: true, Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "a", Name: "p", User: &user.DefaultInfo{Name: "jane", Groups: []string{"dev"}}}
	with := func(change func(a *authorizer.AttributesRecord)) authorizer.AttributesRecord {
		a := pods
		change(&a)
		return a
	}
	log := with(func(a *authorizer.AttributesRecord) { a.Subresource = "log" })
	healthz := authorizer.AttributesRecord{Verb: "get", Path: "/healthz/etcd"}
	for _, tc := range []struct {
		rule string
		of   authorizer.AttributesRecord
		want bool
	}{
		{"", pods, true},
		{"users: [jane]", pods, true},
		{"users: [joe]", pods, false},
		{"userGroups: [ops, dev]", pods, true},
		{"userGroups: [ops]", pods, false},
		{"userGroups: [ops]", healthz, false},
		{"verbs: [list, get]", pods, true},
		{"verbs: [list]", pods, false},
		{"namespaces: [a]", pods, true},
		{"namespaces: [b]", pods, false},
		{`namespaces: [""]`, healthz, false},
		{`resources: [{group: "", resources: [pods]}]`, pods, true},
		{`resources: [{group: apps, resources: [pods]}]`, pods, false},
		{`resources: [{group: "*", resources: [pods]}]`, pods, true},
		{`resources: [{group: ""}]`, log, true},
		{`resources: [{group: "", resources: [pods]}]`, log, false},
		{`resources: [{group: "", resources: [pods/log]}]`, log, true},
		{`resources: [{group: "", resources: [pods/*]}]`, log, true},
		{`resources: [{group: "", resources: ["*/log"]}]`, log, true},
		{`resources: [{group: "", resources: ["*"]}]`, log, true},
		{`resources: [{group: "", resources: [pods], resourceNames: [p]}]`, pods, true},
		{`resources: [{group: "", resources: [pods], resourceNames: [q]}]`, pods, false},
		{`resources: [{group: "", resources: [pods]}]`, healthz, false},
		{`nonResourceURLs: ["/healthz*"]`, healthz, true},
		{`nonResourceURLs: ["/healthz"]`, healthz, false},
		{`nonResourceURLs: ["*"]`, healthz, true},
		{`nonResourceURLs: ["*"]`, pods, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := open(t, "rules:\n- {level: Request, "+tc.rule+"}\n- level: Metadata\n", &kept{})
			want := auditinternal.LevelMetadata
			if tc.want {
				want = auditinternal.LevelRequest
			}
			ctx, _ := a.Begin(a.Context(t.Context(), "id"), httptest.NewRequest("GET", "/x", nil), tc.of)
			if got := upstream.AuditContextFrom(ctx).GetEventLevel(); got != want {
				t.Errorf("level %s, want %s", got, want)
			}
		})
	}
}

// TestStages: which stages of a request make an event.
func TestStages(t *testing.T) {
	for policy, want := range map[string]string{
		"rules: [{level: Metadata}]":                                                               "RequestReceived ResponseStarted ResponseComplete",
		"omitStages: [RequestReceived]\nrules: [{level: Metadata}]":                                "ResponseStarted ResponseComplete",
		"omitStages: [RequestReceived]\nrules: [{level: Metadata, omitStages: [ResponseStarted]}]": "ResponseComplete",
		"rules: [{level: Metadata, omitStages: [ResponseComplete, Panic]}]":                        "RequestReceived ResponseStarted",
		"rules: [{level: None}]":                                                                   "",
		"rules: [{level: Metadata, users: [nobody]}]":                                              "",
	} {
		var events kept
		a := open(t, policy, &events)
		_, q := a.Begin(a.Context(t.Context(), "id"), httptest.NewRequest("GET", "/x", nil), authorizer.AttributesRecord{Verb: "get", Path: "/x"})
		q.Received()
		q.Answered(200, true)
		q.Done(true)
		var got []string
		for _, ev := range events {
			got = append(got, string(ev.Stage))
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", policy, diff)
		}
	}
}

// A request within another is a request of its own.
func TestNestedRequests(t *testing.T) {
	var events kept
	a := open(t, "rules: [{level: Metadata}]", &events)
	r := httptest.NewRequest("GET", "/x", nil)
	attrs := authorizer.AttributesRecord{Verb: "get", Path: "/x"}
	outer, q := a.Begin(a.Context(t.Context(), "outer"), r, attrs)
	inner, p := a.Begin(a.Context(outer, "inner"), r, attrs)
	upstream.AddAuditAnnotation(inner, "a.example/x", "inner")
	upstream.AddAuditAnnotation(outer, "a.example/x", "outer")
	if audit.From(outer) != q || audit.From(inner) != p || p == q {
		t.Error("whose request a context is")
	}
	p.Done(false)
	q.Done(false)
	for i, want := range []string{"inner", "outer"} {
		if ev := events[i]; string(ev.AuditID) != want || ev.Annotations["a.example/x"] != want {
			t.Errorf("%s: %v", ev.AuditID, ev.Annotations)
		}
	}
}

// What is not recorded costs nothing and may be told everything.
func TestNothingIsRecorded(t *testing.T) {
	var a *audit.Auditor
	ctx := t.Context()
	r := httptest.NewRequest("GET", "/x", nil)
	allocs := testing.AllocsPerRun(100, func() {
		ctx, q := a.Begin(a.Context(ctx, "id"), r, nil)
		q.Received()
		q.Answered(200, true)
		q.Done(true)
		q.Status(nil)
		q.Patch(nil, "")
		q.Impersonates(nil, "")
		q.Response(nil, nil)
		if audit.From(ctx) != nil || q.WantsResponse() {
			t.Error("something is recorded")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestOpen(t *testing.T) {
	const head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
	some := audit.DefaultOptions()
	some.Log.Path = filepath.Join(t.TempDir(), "audit.log")
	for _, tc := range []struct {
		name, policy string
		change       func(*audit.Options)
		want         string // of the error; "": none
	}{
		{"good", head + "rules: [{level: Metadata}]", nil, ""},
		{"unknown field", head + "rules: [{level: Metadata, colour: red}]", nil, ""}, // as upstream, with a warning
		{"no rules", head, nil, "0 rules"},
		{"no level", head + "rules: [{users: [a]}]", nil, "rules[0].level"},
		{"bad level", head + "rules: [{level: All}]", nil, `rules[0].level: Unsupported value: "All"`},
		{"bad stage", head + "omitStages: [Never]\nrules: [{level: None}]", nil, "omitStages[0]"},
		{"bad stage of a rule", head + "rules: [{level: None, omitStages: [Never]}]", nil, "rules[0].omitStages[0]"},
		{"bad path", head + "rules: [{level: None, nonResourceURLs: [healthz]}]", nil, "rules[0].nonResourceURLs[0]"},
		{"star in a path", head + "rules: [{level: None, nonResourceURLs: ['/*/x']}]", nil, "must be the final character"},
		{"both", head + "rules: [{level: None, namespaces: [a], nonResourceURLs: [/x]}]", nil, "cannot apply to both"},
		{"names alone", head + "rules: [{level: None, resources: [{resourceNames: [a]}]}]", nil, "rules[0].resources.resourceNames"},
		{"bad group", head + "rules: [{level: None, resources: [{group: apps/v1}]}]", nil, "rules[0].resources.group"},
		{"other kind", "apiVersion: v1\nkind: ConfigMap\n", nil, `no kind "ConfigMap"`},
		{"no yaml", "{", nil, "--audit-policy-file"},
		{"no file", "", func(o *audit.Options) { o.PolicyFile += "x" }, "no such file"},
		{"bad mode", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Batch.Mode = "quick" }, `--audit-log-mode "quick"`},
		{"bad format", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Format = "xml" }, `--audit-log-format "xml"`},
		{"bad size", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.MaxSize = -1 }, "--audit-log-maxsize -1"},
		{"bad version", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Version = "audit.k8s.io/v1beta1" }, "--audit-log-version"},
		{"bad buffer", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Batch.Mode, o.Log.Batch.BufferSize = audit.ModeBatch, 0 }, "--audit-log-batch-buffer-size 0"},
		{"bad throttle", head + "rules: [{level: None}]", func(o *audit.Options) { o.Webhook.ConfigFile, o.Webhook.Batch.ThrottleQPS = "x", 0 }, "--audit-webhook-batch-throttle-qps 0"},
		{"bad truncation", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Truncate.MaxBatchSize = 1 }, "--audit-log-truncate-max-batch-size 1"},
		{"no kubeconfig", head + "rules: [{level: None}]", func(o *audit.Options) { o.Webhook.ConfigFile = "/none/x" }, "--audit-webhook-config-file /none/x"},
		{"no directory", head + "rules: [{level: None}]", func(o *audit.Options) { o.Log.Path = "/proc/none/x" }, "--audit-log-path"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := some
			o.PolicyFile = policyFile(t, tc.policy)
			if tc.change != nil {
				tc.change(&o)
			}
			a, err := audit.Open(audit.Config{Options: o})
			if err == nil {
				defer a.Close()
			}
			if tc.want == "" && (err != nil || a == nil) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	for name, o := range map[string]audit.Options{"nothing": {}, "no policy": some, "no backend": {PolicyFile: policyFile(t, head+"rules: [{level: None}]")}} {
		if a, err := audit.Open(audit.Config{Options: o}); a != nil || err != nil {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
}

// BenchmarkRequest is what recording one request costs beside serving it.
func BenchmarkRequest(b *testing.B) {
	for _, level := range []auditinternal.Level{auditinternal.LevelNone, auditinternal.LevelMetadata} {
		b.Run(string(level), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "policy.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: %s}]\n", level), 0o600); err != nil {
				b.Fatal(err)
			}
			o := audit.DefaultOptions()
			o.PolicyFile, o.Log.Path = file, filepath.Join(b.TempDir(), "audit.log")
			a, err := audit.Open(audit.Config{Options: o})
			if err != nil {
				b.Fatal(err)
			}
			defer a.Close()
			r := httptest.NewRequest("GET", "/api/v1/namespaces/a/pods/p", nil)
			attrs := authorizer.AttributesRecord{ResourceRequest: true, Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "a", Name: "p", User: &user.DefaultInfo{Name: "jane", Groups: []string{"dev", user.AllAuthenticated}}}
			b.ReportAllocs()
			for b.Loop() {
				ctx, q := a.Begin(a.Context(b.Context(), "4c3c3a4b-64a6-4f1f-a5b2-94ff39a3b7a5"), r, attrs)
				q.Received()
				upstream.AddAuditAnnotations(ctx, "authorization.k8s.io/decision", "allow", "authorization.k8s.io/reason", "RBAC: allowed by ClusterRoleBinding \"x\"")
				q.Answered(200, false)
				q.Done(false)
			}
		})
	}
}
