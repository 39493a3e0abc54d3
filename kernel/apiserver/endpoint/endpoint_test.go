package endpoint

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
)

// small is a catalog of a few kinds, one of each scope.
func small(t testing.TB) *Catalog {
	t.Helper()
	verbs := []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", KeyPrefix: "/registry/pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Verbs: verbs, Subresources: []resource.Subresource{
			{Name: "status", Style: resource.StyleStatus, Verbs: []string{"get", "patch", "update"}},
			{Name: "binding", Style: resource.StyleAction, Kind: corev1.SchemeGroupVersion.WithKind("Binding"), Verbs: []string{"create"}},
			{Name: "log", Style: resource.StyleConnect, Verbs: []string{"get"}},
			{Name: "proxy", Style: resource.StyleConnect, Verbs: []string{"create", "delete", "get", "patch", "update"}},
		}},
		{Resource: "namespaces", KeyPrefix: "/registry/namespaces", Kind: "Namespace", Versions: []string{"v1"}, StorageVersion: "v1", Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}, Subresources: []resource.Subresource{
			{Name: "status", Style: resource.StyleStatus, Verbs: []string{"get", "patch", "update"}},
			{Name: "finalize", Style: resource.StylePart, Verbs: []string{"update"}},
		}},
		{Resource: "nodes", KeyPrefix: "/registry/nodes", Kind: "Node", Versions: []string{"v1"}, StorageVersion: "v1", Verbs: verbs, Subresources: []resource.Subresource{
			{Name: "proxy", Style: resource.StyleConnect, Verbs: []string{"get"}}}},
		{Resource: "bindings", Kind: "Binding", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"create"}},
		{Resource: "secrets", KeyPrefix: "/registry/secrets", Kind: "Secret", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Verbs: []string{"create"}, Unserved: "it is only made"},
	}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		t.Fatal(err)
	}
	return NewCatalog(resource.NewCatalog(table))
}

// paths reads paths as the server does.
var paths = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// route is a request's way through the catalog.
func route(t *testing.T, c *Catalog, method, target string) (*Request, *request.RequestInfo, error) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Header: http.Header{}}
	info, err := paths.NewRequestInfo(r)
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsResourceRequest {
		return nil, info, nil
	}
	q, err := c.Route(nil, r.WithContext(request.WithRequestInfo(t.Context(), info)), info)
	return q, info, err
}

func TestRoute(t *testing.T) {
	c := small(t)
	const pods = "/api/v1/namespaces/a/pods"
	for _, tt := range []struct {
		method, path string
		want         string // verb namespace/name/subresource subpath
		code         int32  // of the refusal, 0: none
	}{
		{"GET", pods, "list a/ pods", 0},
		{"GET", pods + "/", "list a/ pods", 0},
		{"GET", "/api/v1/pods", "list / pods", 0},
		{"GET", pods + "/p", "get a/p pods", 0},
		{"GET", pods + "/p/status", "get a/p pods/status", 0},
		{"POST", pods, "create a/ pods", 0},
		{"POST", pods + "/p/binding", "create a/p pods/binding", 0},
		{"PUT", pods + "/p", "update a/p pods", 0},
		{"PUT", pods + "/p/status", "update a/p pods/status", 0},
		{"PATCH", pods + "/p", "patch a/p pods", 0},
		{"DELETE", pods + "/p", "delete a/p pods", 0},
		{"DELETE", pods, "deletecollection a/ pods", 0},
		{"GET", "/api/v1/nodes/n", "get /n nodes", 0},
		{"DELETE", "/api/v1/nodes", "deletecollection / nodes", 0},
		{"POST", "/api/v1/nodes", "create / nodes", 0},

		// A namespace is its own, and its name is no scope.
		{"GET", "/api/v1/namespaces", "list / namespaces", 0},
		{"GET", "/api/v1/namespaces/a", "get /a namespaces", 0},
		{"GET", "/api/v1/namespaces/a/status", "get /a namespaces/status", 0},
		{"PUT", "/api/v1/namespaces/a/finalize", "update /a namespaces/finalize", 0},
		{"DELETE", "/api/v1/namespaces", "", 405},

		// Watches: the query, and the prefix of old clients.
		{"GET", pods + "?watch=1", "watch a/ pods", 0},
		{"GET", pods + "?watch=true&resourceVersion=5", "watch a/ pods", 0},
		{"GET", pods + "?watch=false", "list a/ pods", 0},
		{"GET", "/api/v1/watch/pods", "watch / pods", 0},
		{"GET", "/api/v1/watch/namespaces/a/pods", "watch a/ pods", 0},
		{"GET", "/api/v1/watch/namespaces/a/pods/p", "watch a/p pods", 0},
		{"GET", "/api/v1/watch/nodes/n", "watch /n nodes", 0},
		{"POST", "/api/v1/watch/namespaces/a/pods", "", 405},
		{"GET", "/api/v1/watch/pods/p", "", 404},
		{"GET", "/api/v1/watch/namespaces/a/bindings", "", 404},
		{"GET", "/api/v1/watch/namespaces/a/pods/p/status", "", 404},
		{"GET", "/api/v1/proxy/nodes/n", "", 404}, // of clients long gone

		// What is sent on keeps the rest of its path, slash at the end included.
		{"GET", pods + "/p/log", "get a/p pods/log", 0},
		{"GET", pods + "/p/proxy", "get a/p pods/proxy", 0},
		{"GET", pods + "/p/proxy/x/y", "get a/p pods/proxy /x/y", 0},
		{"GET", pods + "/p/proxy/x/", "get a/p pods/proxy /x/", 0},
		{"POST", pods + "/https:p:8443/proxy/x?q=1", "create a/https:p:8443 pods/proxy /x", 0},
		{"GET", "/api/v1/nodes/n:10250/proxy/metrics", "get /n:10250 nodes/proxy /metrics", 0},
		{"GET", pods + "/p/status/x", "", 404},

		// Without a name, the verb would be that of the collection.
		{"GET", pods + "//status", "", 400},
		{"GET", pods + "//status?watch=1", "", 400},
		{"GET", "/api/v1/pods//status", "", 400},
		{"PUT", pods + "//status", "", 400},
		{"DELETE", pods + "//status", "", 400},
		{"POST", pods + "//binding", "", 400},
		{"GET", pods + "//log", "", 400},
		{"GET", pods + "//proxy", "", 400},
		{"GET", pods + "//proxy/x", "", 400},
		{"GET", pods + "/p/binding/x", "", 404},

		{"HEAD", pods + "/p/proxy/x", "get a/p pods/proxy /x", 0},
		{"OPTIONS", pods + "/p/proxy", " a/p pods/proxy", 0},
		{"TRACE", pods + "/p/proxy", "", 405},
		{"HEAD", pods + "/p/log", "", 405},
		{"POST", pods + "/p/log", "", 405},
		{"GET", pods + "/p/log/x", "", 404},

		// No such place.
		{"GET", "/api/v1/pods/p", "", 404}, // a name without its namespace
		{"GET", "/api/v1/namespaces/a/nodes", "", 404},
		{"GET", "/api/v1/namespaces/a/nodes/n", "", 404},
		{"GET", "/api/v2/pods", "", 404},
		{"GET", "/apis/core/v1/pods", "", 404},
		{"GET", "/apis/apps/v1/deployments", "", 404},
		{"GET", "/api/v1/Pods", "", 404},
		{"GET", "/api/v1/pod", "", 404},
		{"GET", pods + "/p/Status", "", 404},
		{"GET", pods + "/p/logs", "", 404},
		// Who may do something in namespace a is asked about a, and may not reach b by that.
		{"GET", "/api/v1/namespaces/a/namespaces/b", "", 404},
		{"DELETE", "/api/v1/namespaces/a/namespaces/b", "", 404},
		{"PUT", "/api/v1/namespaces/a/namespaces/b/status", "", 404},
		{"GET", "/api/v1/watch/namespaces/a/namespaces/b", "", 404},
		{"GET", "/api/v1/namespaces/a/namespaces", "", 404},

		// What can only be made has one.
		{"POST", "/api/v1/bindings", "", 404},
		{"GET", "/api/v1/bindings", "", 404},
		{"GET", "/api/v1/namespaces/a/bindings/b", "", 404},
		{"DELETE", "/api/v1/namespaces/a/bindings/b", "", 404},

		// A place, and not this method there.
		{"POST", "/api/v1/pods", "", 405},
		{"POST", pods + "/p", "", 405},
		{"POST", pods + "/p/status", "", 405},
		{"GET", pods + "/p/binding", "", 405},
		{"PUT", pods, "", 405},
		{"PATCH", pods, "", 405},
		{"DELETE", "/api/v1/pods", "", 405},
		{"GET", "/api/v1/namespaces/a/finalize", "", 405},
		{"GET", "/api/v1/namespaces/a/bindings", "", 405},
		{"OPTIONS", pods, "", 405},
		{"HEAD", pods + "/p", "", 405},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			q, info, err := route(t, c, tt.method, tt.path)
			if tt.code != 0 {
				if err == nil || response.Status(err).Code != tt.code && !(tt.code == 404 && errors.Is(err, ErrNoPath)) {
					t.Errorf("got %+v, %v; want a %d", q, err, tt.code)
				}
				return
			}
			if err != nil || q == nil {
				t.Fatalf("got %+v, %v", q, err)
			}
			got := info.Verb + " " + q.Target.Namespace + "/" + q.Target.Name + " " + q.Target.Resource.Resource
			if q.Target.Subresource != "" {
				got += "/" + q.Target.Subresource
			}
			if q.Subpath != "" {
				got += " " + q.Subpath
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What no path of a resource is, is not routed.
func TestNotRouted(t *testing.T) {
	for _, path := range []string{"/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/healthz/ping", "/openapi/v3", "//api/v1x"} {
		if q, info, err := route(t, small(t), http.MethodGet, path); q != nil || err != nil || info.IsResourceRequest {
			t.Errorf("%s: %+v, %v", path, q, err)
		}
	}
}

// A kind that cannot do a verb says why, where there is something to say.
func TestRefusal(t *testing.T) {
	for _, path := range []string{"/api/v1/namespaces/a/secrets", "/api/v1/namespaces/a/secrets/s", "/api/v1/secrets"} {
		_, _, err := route(t, small(t), http.MethodGet, path)
		if err == nil || !strings.Contains(err.Error(), "it is only made") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Custom resources are routed by their verbs, and what their group does not have is
// no path at all.
func TestRouteOfCustomResources(t *testing.T) {
	c := small(t)
	if err := c.source.Producer("shop").Apply(registrytest.DefineGizmos(func(d *resource.Definition) {
		d.Namespaced = true
		d.Subresources = []resource.Subresource{{Name: "status", Style: resource.StyleStatus, Verbs: []string{"get", "patch", "update"}}}
	})); err != nil {
		t.Fatal(err)
	}
	const gizmos = "/apis/shop.example/v1/namespaces/a/gizmos"
	for _, tt := range []struct {
		method, path string
		code         int32 // of the refusal, 0: none, -1: there is no such path
		want         string
	}{
		{"GET", gizmos, 0, ""},
		{"HEAD", gizmos + "/g", 0, ""},
		{"GET", gizmos + "/g/status", 0, ""},
		{"POST", gizmos + "/g", 0, ""}, // as upstream, which takes the object's name
		{"GET", "/apis/shop.example/v1/gizmos", 0, ""},
		{"GET", "/apis/shop.example/v1/watch/gizmos", 0, ""},
		{"PUT", gizmos, 400, "name must be provided"},
		{"GET", gizmos + "//status", 400, "name must be provided"},
		{"PATCH", gizmos + "//status", 400, "name must be provided"},
		{"OPTIONS", gizmos, 405, `gizmos.shop.example`},
		{"TRACE", gizmos + "/g", 405, `gizmos.shop.example`},
		{"POST", gizmos + "/g/status", 405, `create is not supported on resources of kind "gizmos.shop.example"`},
		{"GET", gizmos + "/g/scale", 404, `gizmos.shop.example "g" not found`},
		{"GET", gizmos + "/g/status/x", 404, `gizmos.shop.example "g" not found`},
		{"POST", "/apis/shop.example/v1/gizmos", -1, ""},
		{"DELETE", "/apis/shop.example/v1/gizmos", -1, ""},
		{"GET", "/apis/shop.example/v1/gizmos/g", -1, ""},
		{"GET", "/apis/shop.example/v1/nothings", -1, ""},
		{"GET", "/apis/shop.example/v9/gizmos", -1, ""},
		{"GET", "/apis/none.example/v1/gizmos", -1, ""},
		{"GET", "//apis/shop.example/v1/gizmos", -1, ""},
		{"GET", "//api/v1/pods", -1, ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			q, _, err := route(t, c, tt.method, tt.path)
			if q != nil && err == nil {
				err = q.Refused()
			}
			switch {
			case tt.code < 0:
				if !errors.Is(err, ErrNoPath) {
					t.Errorf("got %v", err)
				}
			case tt.code == 0:
				if err != nil || q == nil {
					t.Errorf("got %+v, %v", q, err)
				}
			case q == nil || err == nil || response.Status(err).Code != tt.code || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want a %d with %q", err, tt.code, tt.want)
			}
		})
	}
}

// A body is of the path's kind: the subresource's where it has one.
func TestKinds(t *testing.T) {
	c := small(t)
	for path, want := range map[string]schema.GroupVersionKind{
		"/api/v1/namespaces/a/pods/p":        corev1.SchemeGroupVersion.WithKind("Pod"),
		"/api/v1/namespaces/a/pods/p/status": corev1.SchemeGroupVersion.WithKind("Pod"),
		"/api/v1/namespaces/a":               corev1.SchemeGroupVersion.WithKind("Namespace"),
	} {
		if q, _, err := route(t, c, http.MethodGet, path); err != nil || q.GVK != want {
			t.Errorf("%s: %+v, %v", path, q, err)
		}
	}
	if q, _, err := route(t, c, http.MethodPost, "/api/v1/namespaces/a/pods/p/binding"); err != nil || q.GVK != corev1.SchemeGroupVersion.WithKind("Binding") || q.HasTable() {
		t.Errorf("binding: %+v, %v", q, err)
	}
}

// What streams takes no slot and has no timeout.
func TestLongRunning(t *testing.T) {
	c := small(t)
	for path, want := range map[string]bool{
		"/api/v1/pods":                          false,
		"/api/v1/pods?watch=1":                  true,
		"/api/v1/watch/pods":                    true,
		"/api/v1/namespaces/a/pods/p":           false,
		"/api/v1/namespaces/a/pods/p/log":       true,
		"/api/v1/namespaces/a/pods/p/proxy/x/y": true,
		"/api/v1/namespaces/a/pods/p/logs":      false,
		"/api/v1/namespaces/a/pods/p/status":    false,
		"/debug/pprof/profile":                  true,
		"/debug/pprofile":                       false,
		"/healthz":                              false,
	} {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := paths.NewRequestInfo(&http.Request{Method: http.MethodGet, URL: u})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LongRunning(info); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

// Selectors that cannot be read are told to the authorizer as such: it must not take
// them for none.
func TestAttributesOfSelectors(t *testing.T) {
	for query, bad := range map[string]bool{
		"fieldSelector=spec.nodeName%3Dn&labelSelector=a%3Db": false,
		"fieldSelector=nonsense&labelSelector=a%3D%3D%3Db":    true,
	} {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/api/v1/pods", RawQuery: query}}
		r = r.WithContext(request.WithRequestInfo(t.Context(), &request.RequestInfo{IsResourceRequest: true, Verb: "list", Resource: "pods",
			FieldSelector: r.URL.Query().Get("fieldSelector"), LabelSelector: r.URL.Query().Get("labelSelector")}))
		a := Attributes(r)
		if (a.FieldSelectorParsingErr != nil) != bad || (a.LabelSelectorParsingErr != nil) != bad ||
			(len(a.FieldSelectorRequirements) == 1) == bad || (len(a.LabelSelectorRequirements) == 1) == bad {
			t.Errorf("%s: %+v", query, a)
		}
	}
}
