package endpoint

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/resource"
)

// FuzzPath walks arbitrary paths through request info and routing.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/api/v1/pods", "/api/v1/namespaces/a/pods/b/log", "/apis/apps/v1/x", "/api/v1/watch/pods", "//", "/api/v1/namespaces", "/api/v1/proxy"} {
		f.Add(s, "GET")
	}
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"get", "list", "create"}, Subresources: []resource.Subresource{{Name: "log", Style: resource.StyleConnect}}},
		{Resource: "namespaces", Kind: "Namespace", Versions: []string{"v1"}, StorageVersion: "v1", Virtual: true, Verbs: []string{"get", "list", "delete"}},
	}}
	if err := errors.Join(corev1.AddToScheme(table.Scheme), table.Index()); err != nil {
		f.Fatal(err)
	}
	catalog := NewCatalog(resource.NewCatalog(table))
	paths := request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	f.Fuzz(func(t *testing.T, path, method string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{}}
		info, err := paths.NewRequestInfo(r)
		if err != nil || !info.IsResourceRequest {
			return
		}
		r = r.WithContext(request.WithRequestInfo(t.Context(), info))
		c, err := catalog.Route(nil, r, info)
		if err != nil {
			return
		}
		if c.Target.Resource.GroupVersion() != (schema.GroupVersion{Version: "v1"}) {
			t.Errorf("%s routed to %s", path, c.Target.Resource)
		}
		if !c.Def.Namespaced && c.Target.Namespace != "" {
			t.Errorf("%s: namespace %q of a cluster-scoped resource", path, c.Target.Namespace)
		}
	})
}
