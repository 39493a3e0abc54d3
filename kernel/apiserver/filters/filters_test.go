package filters

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/resource"
)

// rules allow what they list as "user verb resource-or-path".
type rules []string

func (r rules) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	what := a.GetPath()
	if a.IsResourceRequest() {
		what = a.GetResource()
	}
	if slices.Contains(r, a.GetUser().GetName()+" "+a.GetVerb()+" "+what) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// byHeader takes the user from a header; "nobody" is refused.
func byHeader(r *http.Request) (*authenticator.Response, bool, error) {
	name := r.Header.Get("X-User")
	if name == "nobody" {
		return nil, false, errors.New("no such user")
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name, Groups: []string{user.AllAuthenticated}}}, true, nil
}

func newChain(t *testing.T, allow ...string) *Chain {
	t.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"get", "list", "create"}},
	}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	return &Chain{
		Catalog: endpoint.NewCatalog(resource.NewCatalog(table)), Response: response.Writer{Log: log}, Metrics: m, Timeout: time.Minute,
		Flow:   flow.New(flow.Limits{Reads: 4, Writes: 4, Bodies: 4, Answers: 4, BodyBytes: 1 << 20, Frames: 1 << 20, Decode: 1 << 30}),
		Bodies: body.Receiver{Bytes: 1000, Timeout: time.Minute}, Authenticator: authenticator.RequestFunc(byHeader),
		Authorization: auth.Authorization{Authorizer: rules(allow), Log: log},
	}
}

// serve sends one request through the chain to next.
func serve(c *Chain, r *http.Request, next http.HandlerFunc) *http.Response {
	w := httptest.NewRecorder()
	c.Handler(next).ServeHTTP(w, r)
	return w.Result()
}

func TestChain(t *testing.T) {
	const pods = "/api/v1/namespaces/a/pods"
	for _, tc := range []struct {
		name, method, path string
		header             map[string]string
		body               string
		code               int
	}{
		{name: "allowed", method: "GET", path: pods, header: map[string]string{"X-User": "ann"}, code: 200},
		{name: "not authenticated", method: "GET", path: pods, header: map[string]string{"X-User": "nobody"}, code: 401},
		{name: "not allowed", method: "GET", path: pods, header: map[string]string{"X-User": "bob"}, code: 403},
		{name: "another verb", method: "DELETE", path: pods + "/p", header: map[string]string{"X-User": "ann"}, code: 403},
		{name: "a path", method: "GET", path: "/version", header: map[string]string{"X-User": "ann"}, code: 200},
		{name: "as another", method: "GET", path: pods, header: map[string]string{"X-User": "boss", "Impersonate-User": "ann"}, code: 200},
		{name: "as another who may not", method: "GET", path: pods, header: map[string]string{"X-User": "boss", "Impersonate-User": "bob"}, code: 403},
		{name: "may not be another", method: "GET", path: pods, header: map[string]string{"X-User": "ann", "Impersonate-User": "boss"}, code: 403},
		{name: "groups of nobody", method: "GET", path: pods, header: map[string]string{"X-User": "boss", "Impersonate-Group": "g"}, code: 400},
		{name: "a body", method: "POST", path: pods, header: map[string]string{"X-User": "ann"}, body: `{"kind":"Pod"}`, code: 200},
		{name: "a large body", method: "POST", path: pods, header: map[string]string{"X-User": "ann"}, body: `"` + strings.Repeat("x", 1000) + `"`, code: 413},
		{name: "no body of whom it is not wanted", method: "POST", path: pods, header: map[string]string{"X-User": "bob"}, body: `"` + strings.Repeat("x", 1000) + `"`, code: 403},
		{name: "a bad timeout", method: "GET", path: pods + "?timeout=soon", header: map[string]string{"X-User": "ann"}, code: 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newChain(t, "ann list pods", "ann create pods", "ann get /version", "boss impersonate users")
			r := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			served := false
			res := serve(c, r, func(w http.ResponseWriter, r *http.Request) {
				served = true
				if u, _ := request.UserFrom(r.Context()); u.GetName() != "ann" {
					t.Errorf("served as %q", u.GetName())
				}
				if got := string(body.Of(r)); got != tc.body {
					t.Errorf("body %q, want %q", got, tc.body)
				}
				if r.Header.Get("Impersonate-User") != "" {
					t.Error("the headers of impersonation are passed on")
				}
			})
			if res.StatusCode != tc.code || served != (tc.code == 200) {
				t.Errorf("code %d, served %v, want %d", res.StatusCode, served, tc.code)
			}
			if got := res.Header.Get("Cache-Control"); got != "no-cache, private" {
				t.Errorf("Cache-Control %q: what is personal could be kept by others", got)
			}
			if quotes := tc.header["Impersonate-Group"] != ""; quotes && res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("a refusal that quotes the request may be taken for a page")
			}
			if tc.code >= 400 {
				var st metav1.Status
				if err := json.NewDecoder(res.Body).Decode(&st); err != nil || int(st.Code) != tc.code || st.Kind != "Status" {
					t.Errorf("answer %+v, %v, want a Status of code %d", st, err, tc.code)
				}
			}
		})
	}
}

// What a request holds is given back, and a request too many is told when to
// come again.
// TestUpgradesOfOthers: what another server upgrades is bounded by nobody's patience but
// the client's, whatever its subresource is called; all else of it has a time.
func TestUpgradesOfOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		path    string
		upgrade bool
		bounded bool
	}{
		"a stream of another server": {"/apis/x.example/v1/namespaces/a/things/t/vnc", true, false},
		"a request to it":            {"/apis/x.example/v1/namespaces/a/things/t/vnc", false, true},
		"an upgrade of what is here": {"/api/v1/namespaces/a/pods/p", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, "ann get things", "ann get pods")
			bounded, asked := false, false
			r := httptest.NewRequest(http.MethodGet, tc.path, nil)
			r.Header.Set("X-User", "ann")
			if tc.upgrade {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			}
			serve(c, r, func(_ http.ResponseWriter, r *http.Request) { _, bounded = r.Context().Deadline(); asked = true })
			if bounded != tc.bounded || !asked {
				t.Errorf("bounded %v, want %v; asked %v", bounded, tc.bounded, asked)
			}
		})
	}
}

func TestChainBoundsWhatIsServed(t *testing.T) {
	c := newChain(t, "ann list pods")
	get := func(next http.HandlerFunc) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/namespaces/a/pods", nil)
		r.Header.Set("X-User", "ann")
		return serve(c, r, next)
	}
	depth, refused := 0, 0
	var nest http.HandlerFunc
	nest = func(http.ResponseWriter, *http.Request) {
		depth++
		if res := get(nest); res.StatusCode == http.StatusTooManyRequests {
			refused++
			if res.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	for range 3 {
		get(nest)
	}
	if depth != 6 || refused != 3 {
		t.Errorf("%d requests served in three nests and %d refused, want 6 and 3: one tenant has half of four", depth, refused)
	}
}

func TestChainRecovers(t *testing.T) {
	c := newChain(t, "ann get /version")
	r := httptest.NewRequest(http.MethodGet, "/version", nil)
	r.Header.Set("X-User", "ann")
	r.Header.Set(auditID, "of-the-client")
	res := serve(c, r, func(http.ResponseWriter, *http.Request) { panic("oh") })
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 500 || !strings.Contains(string(text), "of-the-client") {
		t.Errorf("code %d, %s, %v, want a 500 that names the request", res.StatusCode, text, err)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	w := httptest.NewRecorder()
	ws := newWarnings(w)
	for range 2 {
		ws.AddWarning("", "the same")
	}
	for i := range 100 {
		ws.AddWarning("", strings.Repeat(string(rune('a'+i%26)), 200+i))
	}
	got := w.Header().Values("Warning")
	size := 0
	for _, h := range got {
		size += len(h)
	}
	if got[0] != `299 - "the same"` || strings.Contains(got[1], "the same") || size > maxWarnings+30*len(got) {
		t.Errorf("%d warnings of %d bytes, first %q", len(got), size, got[0])
	}
}
