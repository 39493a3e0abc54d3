package discovery_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/apiserver/discovery"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
)

// newDiscovery is of a catalog with one group, to which more can be added.
func newDiscovery(t *testing.T) (*discovery.Discovery, *resource.Producer) {
	t.Helper()
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", Singular: "pod", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/pods", Verbs: []string{"get", "list"},
			ShortNames: []string{"po"}, Categories: []string{"all"}, Subresources: []resource.Subresource{{Name: "log", Style: resource.StyleConnect, Verbs: []string{"get"}}}},
		{Resource: "bindings", Singular: "binding", Kind: "Binding", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"create"}},
	}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		t.Fatal(err)
	}
	c := resource.NewCatalog(table)
	return &discovery.Discovery{Catalog: endpoint.NewCatalog(c), Response: response.Writer{Log: slog.New(slog.DiscardHandler)}}, c.Producer("shop")
}

func ask(t *testing.T, d *discovery.Discovery, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	if !d.Serve(w, r) {
		return nil
	}
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestServe: which paths are discovery's, and what is there.
func TestServe(t *testing.T) {
	d, shop := newDiscovery(t)
	if err := shop.Apply(registrytest.DefineGizmos(func(d *resource.Definition) { d.Versions = []string{"v2", "v1"} })); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path string
		code         int // 0: not served here
		want         []string
	}{
		"core versions":      {"GET", "/api", 200, []string{`"kind":"APIVersions"`, `"versions":["v1"]`, `"clientCIDR":"0.0.0.0/0"`}},
		"groups":             {"GET", "/apis", 200, []string{`"kind":"APIGroupList"`, `{"name":"shop.example","versions":[{"groupVersion":"shop.example/v2","version":"v2"},{"groupVersion":"shop.example/v1","version":"v1"}],"preferredVersion":{"groupVersion":"shop.example/v2","version":"v2"}}`}},
		"one group":          {"GET", "/apis/shop.example", 200, []string{`"kind":"APIGroup","apiVersion":"v1","name":"shop.example"`}},
		"with a slash":       {"GET", "/apis/shop.example/", 200, []string{`"kind":"APIGroup"`}},
		"its resources":      {"GET", "/apis/shop.example/v2", 200, []string{`"groupVersion":"shop.example/v2"`, `"name":"gizmos","singularName":"gizmo","namespaced":true`, `"storageVersionHash":"`}},
		"core resources":     {"GET", "/api/v1", 200, []string{`{"kind":"APIResourceList","groupVersion":"v1"`, `"name":"pods","singularName":"pod"`, `"shortNames":["po"],"categories":["all"]`, `"name":"pods/log"`, `{"name":"bindings","singularName":"binding","namespaced":true,"kind":"Binding","verbs":["create"]}`}},
		"without a body":     {"HEAD", "/api/v1", 405, nil},
		"no such group":      {"GET", "/apis/none", 0, nil},
		"no such version":    {"GET", "/apis/shop.example/v9", 0, nil},
		"no such core":       {"GET", "/api/v2", 404, []string{`"reason":"NotFound"`}},
		"no core, by POST":   {"POST", "/api/v2", 404, []string{`"reason":"NotFound"`}},
		"two slashes":        {"GET", "//api/v1", 0, nil},
		"the core as group":  {"GET", "/apis/v1", 0, nil},
		"too deep":           {"GET", "/apis/shop.example/v1/gizmos", 0, nil},
		"a write":            {"POST", "/api", 405, nil},
		"a write unrouted":   {"POST", "/apis", 200, nil},
		"another path":       {"GET", "/version", 0, nil},
		"one that begins so": {"GET", "/apiserver", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			resp := ask(t, d, c.method, c.path)
			if resp == nil || c.code == 0 {
				if resp != nil || c.code != 0 {
					t.Errorf("served: %v, want %d", resp, c.code)
				}
				return
			}
			body := text(t, resp)
			if resp.StatusCode != c.code {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, c.code)
			}
			for _, part := range c.want {
				if !strings.Contains(body, part) {
					t.Errorf("no %s in %s", part, body)
				}
			}
		})
	}
}

// TestResourceNames: in the order of their names, each kind with what is below it.
func TestResourceNames(t *testing.T) {
	d, _ := newDiscovery(t)
	var l metav1.APIResourceList
	if err := json.Unmarshal([]byte(text(t, ask(t, d, "GET", "/api/v1"))), &l); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range l.APIResources {
		names = append(names, r.Name)
		if virtual := r.Name != "pods"; (r.StorageVersionHash == "") != virtual {
			t.Errorf("%s: hash of the stored version %q", r.Name, r.StorageVersionHash)
		}
	}
	if got := strings.Join(names, " "); got != "bindings pods pods/log" {
		t.Errorf("got %s", got)
	}
}

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// TestAggregated: one document of all groups, for whom it is new; kinds that come
// change that, and not the core's.
func TestAggregated(t *testing.T) {
	d, shop := newDiscovery(t)
	tag := func(path string) string {
		t.Helper()
		resp := ask(t, d, "GET", path, "Accept", aggregated)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != aggregated || resp.Header.Get("Vary") != "Accept" {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, resp.Header)
		}
		return resp.Header.Get("ETag")
	}
	core, groups := tag("/api"), tag("/apis")
	if core == "" || core == groups {
		t.Errorf("the core is %s, the groups are %s", core, groups)
	}
	if resp := ask(t, d, "GET", "/apis", "Accept", aggregated, "If-None-Match", groups); resp.StatusCode != 304 || text(t, resp) != "" {
		t.Errorf("what the client has: %d", resp.StatusCode)
	}
	if resp := ask(t, d, "GET", "/apis", "Accept", "application/json"); !strings.Contains(text(t, resp), `"kind":"APIGroupList"`) {
		t.Error("the list of groups is sent aggregated to one who did not ask for it")
	}
	if resp := ask(t, d, "GET", "/apis", "Accept", "image/png"); resp.StatusCode != 406 {
		t.Errorf("as a picture: %d", resp.StatusCode)
	}
	if err := shop.Apply(registrytest.DefineGizmos()); err != nil {
		t.Fatal(err)
	}
	resp := ask(t, d, "GET", "/apis", "Accept", aggregated, "If-None-Match", groups)
	if body := text(t, resp); resp.StatusCode != 200 || !strings.Contains(body, `"resource":"gizmos","responseKind":{"group":"shop.example","version":"v1","kind":"Gizmo"},"scope":"Namespaced"`) {
		t.Errorf("after a kind came: %d %s", resp.StatusCode, body)
	}
	if got := tag("/api"); got != core {
		t.Errorf("the core moved from %s to %s", core, got)
	}
}
