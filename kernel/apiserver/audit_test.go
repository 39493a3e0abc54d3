package apiserver_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/audit/backend"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
)

// eventLog is a backend that keeps the events of clients; loses makes it lose what comes.
type eventLog struct {
	mu     sync.Mutex
	events []*auditinternal.Event
	loses  bool
}

func (r *eventLog) ProcessEvents(events ...*auditinternal.Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		r.events = append(r.events, ev.DeepCopy())
	}
	return !r.loses
}

func (r *eventLog) Close() error { return nil }

// of are the events of a request, by its ID, when the last stage is there.
func (r *eventLog) of(t *testing.T, id string, last auditinternal.Stage) []*auditinternal.Event {
	t.Helper()
	var out []*auditinternal.Event
	for range 4000 {
		out = nil
		r.mu.Lock()
		for _, ev := range r.events {
			if string(ev.AuditID) == id {
				out = append(out, ev)
			}
		}
		r.mu.Unlock()
		if len(out) > 0 && out[len(out)-1].Stage == last {
			return out
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("of request %s there are %d events, and none of stage %s", id, len(out), last)
	return nil
}

func stages(events []*auditinternal.Event) (out []auditinternal.Stage) {
	for _, ev := range events {
		out = append(out, ev.Stage)
	}
	return out
}

func bodyIn(u *runtime.Unknown) map[string]any {
	if u == nil {
		return nil
	}
	var out map[string]any
	if err := json.Unmarshal(u.Raw, &out); err != nil {
		return map[string]any{"error": err.Error()}
	}
	return out
}

// startAudited runs a server that records by a policy.
func startAudited(t *testing.T, to backend.Backend, policy string, adjust func(*apiserver.Config)) *kerneltest.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n"+policy), 0o600); err != nil {
		t.Fatal(err)
	}
	return kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{Audit: to, API: adjust},
		Config: func(c *kernel.Config) { c.Audit = audit.Options{PolicyFile: file} }})
}

func ask(t *testing.T, c *kerneltest.Server, method, path string, header http.Header, body string) *http.Response {
	t.Helper()
	return askBy(t, c.HTTP(), c, method, path, header, body)
}

// askBy returns when the answer begins.
func askBy(t *testing.T, hc *http.Client, c *kerneltest.Server, method, path string, header http.Header, body string) *http.Response {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, content)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header.Clone()
	}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

const (
	received = auditinternal.StageRequestReceived
	started  = auditinternal.StageResponseStarted
	complete = auditinternal.StageResponseComplete
)

// TestAuditLevels: what an event has of a write, at every level.
func TestAuditLevels(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, `
rules:
- {level: None, namespaces: [none]}
- {level: Metadata, namespaces: [metadata]}
- {level: Request, namespaces: [request]}
- {level: RequestResponse, namespaces: [all], omitManagedFields: true}
- {level: RequestResponse}
`, nil)
	for _, ns := range []string{"none", "metadata", "request", "all", "fields"} {
		resp := ask(t, c, "POST", "/api/v1/namespaces", http.Header{"Content-Type": {"application/json"}}, `{"metadata":{"name":"`+ns+`"}}`)
		if text(t, resp); resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.Status)
		}
	}
	for _, tc := range []struct {
		namespace         string
		level             auditinternal.Level
		request, response bool
		managedFields     bool
	}{
		{"metadata", auditinternal.LevelMetadata, false, false, false},
		{"request", auditinternal.LevelRequest, true, false, false},
		{"all", auditinternal.LevelRequestResponse, true, true, false},
		{"fields", auditinternal.LevelRequestResponse, true, true, true},
	} {
		t.Run(tc.namespace, func(t *testing.T) {
			id := "level-" + tc.namespace
			resp := ask(t, c, "POST", "/api/v1/namespaces/"+tc.namespace+"/configmaps?dryRun=All&fieldManager=me", http.Header{"Content-Type": {"application/json"}, "Audit-Id": {id}, "User-Agent": {"tester/1"}},
				`{"metadata":{"name":"m"},"data":{"k":"v"}}`)
			if text(t, resp); resp.StatusCode != http.StatusCreated || resp.Header.Get("Audit-Id") != id {
				t.Fatalf("%s, Audit-ID %q", resp.Status, resp.Header.Get("Audit-Id"))
			}
			got := events.of(t, id, complete)
			if diff := cmp.Diff([]auditinternal.Stage{received, complete}, stages(got)); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
			ev := got[len(got)-1]
			if ev.Level != tc.level || ev.Verb != "create" || ev.ResponseStatus.Code != 201 || ev.UserAgent != "tester/1" || len(ev.SourceIPs) != 1 ||
				ev.RequestURI != "/api/v1/namespaces/"+tc.namespace+"/configmaps?dryRun=All&fieldManager=me" || ev.User.Username != "kubernetes-admin" ||
				ev.RequestReceivedTimestamp.IsZero() || ev.StageTimestamp.Before(&ev.RequestReceivedTimestamp) {
				t.Errorf("event %+v", ev)
			}
			if diff := cmp.Diff(&auditinternal.ObjectReference{Resource: "configmaps", Namespace: tc.namespace, Name: "m", APIVersion: "v1"}, ev.ObjectRef); diff != "" {
				t.Errorf("objectRef (-want +got):\n%s", diff)
			}
			if ev.Annotations["authorization.k8s.io/decision"] != "allow" {
				t.Errorf("annotations %v", ev.Annotations)
			}
			in, out := bodyIn(ev.RequestObject), bodyIn(ev.ResponseObject)
			if (in != nil) != tc.request || (out != nil) != tc.response {
				t.Errorf("request %v, response %v", in, out)
			}
			if tc.request && (in["kind"] != "ConfigMap" || in["data"].(map[string]any)["k"] != "v") {
				t.Errorf("request %v", in)
			}
			if tc.response {
				meta, _ := out["metadata"].(map[string]any)
				if out["kind"] != "ConfigMap" || meta["uid"] == nil || (meta["managedFields"] != nil) != tc.managedFields {
					t.Errorf("response %v", out)
				}
			}
		})
	}
	resp := ask(t, c, "GET", "/api/v1/namespaces/none/configmaps", http.Header{"Audit-Id": {"level-none"}}, "")
	text(t, resp)
	events.mu.Lock()
	defer events.mu.Unlock()
	if slices.ContainsFunc(events.events, func(ev *auditinternal.Event) bool { return ev.AuditID == "level-none" }) {
		t.Error("what the policy leaves out was recorded")
	}
}

// TestAuditForms: the answer is recorded as JSON, whatever the client gets.
func TestAuditForms(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n- level: RequestResponse\n", nil)
	resp := ask(t, c, "POST", "/api/v1/namespaces/default/configmaps", http.Header{"Content-Type": {"application/yaml"}}, "metadata: {name: m}")
	text(t, resp)
	for _, tc := range []struct {
		name, method, path string
		header             http.Header
		body               string
		code               int32
		kind, request      string
	}{
		{"protobuf", "GET", "/api/v1/namespaces/default/configmaps/m", http.Header{"Accept": {"application/vnd.kubernetes.protobuf"}}, "", 200, "ConfigMap", ""},
		{"protobuf list", "GET", "/api/v1/namespaces/default/configmaps", http.Header{"Accept": {"application/vnd.kubernetes.protobuf"}}, "", 200, "ConfigMapList", ""},
		{"list", "GET", "/api/v1/namespaces/default/configmaps", nil, "", 200, "ConfigMapList", ""},
		{"table", "GET", "/api/v1/namespaces/default/configmaps?includeObject=Object", http.Header{"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io"}}, "", 200, "Table", ""},
		{"metadata", "GET", "/api/v1/namespaces/default/configmaps/m", http.Header{"Accept": {"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}}, "", 200, "PartialObjectMetadata", ""},
		{"not found", "GET", "/api/v1/namespaces/default/configmaps/nobody", nil, "", 404, "Status", ""},
		{"merge patch", "PATCH", "/api/v1/namespaces/default/configmaps/m", http.Header{"Content-Type": {"application/merge-patch+json"}}, `{"data":{"a":"b"}}`, 200, "ConfigMap", `{"data":{"a":"b"}}`},
		{"apply", "PATCH", "/api/v1/namespaces/default/configmaps/m?fieldManager=f&force=true", http.Header{"Content-Type": {"application/apply-patch+yaml"}}, "apiVersion: v1\nkind: ConfigMap\ndata: {c: d}", 200, "ConfigMap", `{"apiVersion":"v1","data":{"c":"d"},"kind":"ConfigMap"}`},
		{"bad patch", "PATCH", "/api/v1/namespaces/default/configmaps/m", http.Header{"Content-Type": {"application/merge-patch+json"}}, `{`, 400, "Status", ""},
		{"delete", "DELETE", "/api/v1/namespaces/default/configmaps/m?dryRun=All", http.Header{"Content-Type": {"application/json"}}, `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`, 200, "Status", `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}`},
		{"discovery", "GET", "/api/v1", nil, "", 200, "APIResourceList", ""},
		{"groups", "GET", "/apis", nil, "", 200, "APIGroupList", ""},
		{"group", "GET", "/apis/apps", nil, "", 200, "APIGroup", ""},
		{"core versions", "GET", "/api", nil, "", 200, "APIVersions", ""},
		{"aggregated discovery", "GET", "/apis", http.Header{"Accept": {"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}}, "", 200, "APIGroupDiscoveryList", ""},
		{"aggregated discovery of the core as protobuf", "GET", "/api", http.Header{"Accept": {"application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}}, "", 200, "APIGroupDiscoveryList", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := tc.header.Clone()
			if h == nil {
				h = http.Header{}
			}
			h.Set("Audit-Id", tc.name)
			resp := ask(t, c, tc.method, tc.path, h, tc.body)
			answer := text(t, resp)
			got := events.of(t, tc.name, complete)
			ev := got[0]
			out := bodyIn(ev.ResponseObject)
			if len(got) != 1 || ev.ResponseStatus.Code != tc.code || out["kind"] != tc.kind {
				t.Errorf("%d events, %d, response %v; the client got %s", len(got), ev.ResponseStatus.Code, out, answer)
			}
			if ev.ResponseObject != nil && strings.Contains(string(ev.ResponseObject.Raw), "managedFields") {
				t.Errorf("managedFields in %s", ev.ResponseObject.Raw)
			}
			request := ""
			if ev.RequestObject != nil {
				request = string(ev.RequestObject.Raw)
			}
			if request != tc.request {
				t.Errorf("request %s, want %s", request, tc.request)
			}
		})
	}
}

// TestAuditWho: who asked, as whom, and what was decided.
func TestAuditWho(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules:\n- level: Metadata\n", nil)
	t.Run("impersonated", func(t *testing.T) {
		resp := ask(t, c, "GET", "/api/v1/namespaces/default/secrets/s", http.Header{"Audit-Id": {"as"}, "Impersonate-User": {"jane"}, "Impersonate-Group": {"dev"}}, "")
		text(t, resp)
		got := events.of(t, "as", complete)
		ev := got[1]
		if ev.User.Username != "kubernetes-admin" || ev.ImpersonatedUser == nil || ev.ImpersonatedUser.Username != "jane" || !slices.Contains(ev.ImpersonatedUser.Groups, "dev") {
			t.Errorf("user %+v as %+v", ev.User, ev.ImpersonatedUser)
		}
		if ev.ResponseStatus.Code != 403 || ev.Annotations["authorization.k8s.io/decision"] != "forbid" || ev.ResponseStatus.Reason != "Forbidden" {
			t.Errorf("status %+v, annotations %v", ev.ResponseStatus, ev.Annotations)
		}
		if got[0].ImpersonatedUser != nil {
			t.Error("a request that has just come is nobody else's")
		}
	})
	t.Run("unknown", func(t *testing.T) {
		hc, err := rest.HTTPClientFor(c.Bearer("nonsense"))
		if err != nil {
			t.Fatal(err)
		}
		resp := askBy(t, hc, c, "GET", "/api/v1/pods", http.Header{"Audit-Id": {"unknown"}}, "")
		text(t, resp)
		got := events.of(t, "unknown", started)
		if ev := got[0]; len(got) != 1 || resp.StatusCode != 401 || ev.ResponseStatus.Code != 401 || ev.User.Username != "" || ev.ObjectRef.Resource != "pods" {
			t.Errorf("%d events: %+v", len(got), ev)
		}
	})
	t.Run("secret", func(t *testing.T) {
		resp := ask(t, c, "POST", "/api/v1/namespaces/default/secrets", http.Header{"Audit-Id": {"secret"}, "Content-Type": {"application/json"}}, `{"metadata":{"name":"s"},"stringData":{"password":"hunter2"}}`)
		text(t, resp)
		for _, ev := range events.of(t, "secret", complete) {
			b, err := json.Marshal(ev)
			if err != nil || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "aHVudGVyMg") {
				t.Errorf("%s, %v", b, err)
			}
		}
	})
	t.Run("bad timeout", func(t *testing.T) {
		resp := ask(t, c, "GET", "/api/v1/pods?timeout=soon", http.Header{"Audit-Id": {"timeout"}}, "")
		text(t, resp)
		if got := events.of(t, "timeout", started); len(got) != 1 || got[0].ResponseStatus.Code != 400 {
			t.Errorf("%d events: %+v", len(got), got[0])
		}
	})
	t.Run("made", func(t *testing.T) {
		resp := ask(t, c, "GET", "/version", nil, "")
		text(t, resp)
		ev := events.of(t, resp.Header.Get("Audit-Id"), complete)[1]
		if ev.Verb != "get" || ev.ObjectRef != nil || ev.RequestURI != "/version" {
			t.Errorf("%+v", ev)
		}
	})
}

// TestAuditExec: a command that is run in a pod is recorded when it begins and when it
// ends, with what was asked for, over WebSocket and over SPDY.
func TestAuditExec(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules:\n- level: RequestResponse\n", nil)
	_, cs := withAgent(t, c, "n1")
	for _, tc := range []struct {
		name string
		make func(*rest.Config, string, *url.URL) (remotecommand.Executor, error)
	}{
		{"websocket", func(cfg *rest.Config, _ string, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(cfg, http.MethodGet, u.String())
		}},
		{"spdy", remotecommand.NewSPDYExecutor},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := c.Admin()
			cfg.UserAgent = "exec-" + tc.name
			u := cs.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").Name("p").SubResource("exec").
				VersionedParams(&corev1.PodExecOptions{Container: "c", Command: []string{"true"}, Stdin: true, Stdout: true}, scheme.ParameterCodec).URL()
			e, err := tc.make(cfg, http.MethodPost, u)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out}); err != nil || out.String() != "HELLO" {
				t.Fatalf("%q, %v", out.String(), err)
			}
			got := events.from(t, cfg.UserAgent, complete)
			if diff := cmp.Diff([]auditinternal.Stage{received, started, complete}, stages(got)); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
			ev := got[len(got)-1]
			if diff := cmp.Diff(&auditinternal.ObjectReference{Resource: "pods", Subresource: "exec", Namespace: "default", Name: "p", APIVersion: "v1"}, ev.ObjectRef); diff != "" {
				t.Errorf("objectRef (-want +got):\n%s", diff)
			}
			if ev.ResponseStatus.Code != http.StatusSwitchingProtocols || !strings.Contains(ev.RequestURI, "command=true") || ev.ResponseObject != nil {
				t.Errorf("event %+v", ev)
			}
		})
	}
}

// from are the events of a client, by its name, when the last stage is there.
func (r *eventLog) from(t *testing.T, agent string, last auditinternal.Stage) []*auditinternal.Event {
	t.Helper()
	var id string
	for range 4000 {
		r.mu.Lock()
		for _, ev := range r.events {
			if ev.UserAgent == agent {
				id = string(ev.AuditID)
			}
		}
		r.mu.Unlock()
		if id != "" {
			return r.of(t, id, last)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no event of %s", agent)
	return nil
}

// TestAuditStreams: a watch has a stage of its own when its answer begins.
func TestAuditStreams(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules:\n- level: RequestResponse\n", nil)
	resp := ask(t, c, "GET", "/api/v1/namespaces/default/configmaps?watch=true", http.Header{"Audit-Id": {"watch"}}, "")
	got := events.of(t, "watch", started)
	if ev := got[1]; ev.ResponseStatus.Code != 200 || ev.Verb != "watch" || ev.ResponseObject != nil {
		t.Errorf("%+v", ev)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	got = events.of(t, "watch", complete)
	if diff := cmp.Diff([]auditinternal.Stage{received, started, complete}, stages(got)); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	resp = ask(t, c, "GET", "/api/v1/namespaces/default/pods/none/log", http.Header{"Audit-Id": {"log"}}, "")
	text(t, resp)
	got = events.of(t, "log", complete)
	if ev := got[2]; ev.ResponseStatus.Code != 404 || ev.ObjectRef.Subresource != "log" || ev.ObjectRef.Name != "none" || bodyIn(ev.ResponseObject)["kind"] != "Status" {
		t.Errorf("%+v", ev)
	}
}

// TestAuditPanic: the last stage of a request that panics is Panic.
func TestAuditPanic(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules:\n- level: Metadata\n", func(cfg *apiserver.Config) {
		all := cfg.Registry
		cfg.Registry = accessFunc(func(u user.Info) registry.Registry { return panics{all.As(u)} })
	})
	resp := ask(t, c, "GET", "/api/v1/configmaps", http.Header{"Audit-Id": {"panic"}}, "")
	text(t, resp)
	got := events.of(t, "panic", auditinternal.StagePanic)
	if ev := got[1]; resp.StatusCode != 500 || ev.ResponseStatus.Code != 500 || !strings.HasPrefix(ev.ResponseStatus.Message, "APIServer panic'd: ") {
		t.Errorf("%s, %+v", resp.Status, ev)
	}
}

// TestAuditStrict: a backend that reports a loss refuses the request that has come.
func TestAuditStrict(t *testing.T) {
	t.Parallel()
	events := &eventLog{loses: true}
	c := startAudited(t, events, "rules:\n- {level: None, users: ['system:apiserver']}\n- {level: Metadata, resources: [{resources: [configmaps]}]}\n", nil)
	resp := get(t, c, "/api/v1/namespaces/default/configmaps", nil)
	if body := text(t, resp); resp.StatusCode != 500 || !strings.Contains(body, "failed to store audit event") {
		t.Errorf("%s: %s", resp.Status, body)
	}
	resp = get(t, c, "/metrics", nil)
	if body := text(t, resp); !strings.Contains(body, "apiserver_audit_requests_rejected_total 1") || !strings.Contains(body, `apiserver_audit_level_total{level="None"}`) {
		t.Errorf("metrics lack the refusal")
	}
}
