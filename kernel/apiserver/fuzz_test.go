package apiserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/resource"
)

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
		"application/vnd.kubernetes.protobuf;stream=watch", "text/html;q=0.9,*/*;q=0.8", ";;;=,,", "application/json;q=x;as"} {
		f.Add(s)
	}
	o := objectOffer(true, true)
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept"] = []string{header}
		a, err := negotiate(r, o)
		if err != nil {
			if status(err).Code != http.StatusNotAcceptable {
				t.Errorf("error %v is no 406", err)
			}
			return
		}
		if !slices.Contains(mediaTypes, a.media) {
			t.Errorf("accepted %q", a.media)
		}
		if !a.as.Empty() && !metaTransform(a.as, a.media) {
			t.Errorf("accepted a transformation into %s as %s", a.as, a.media)
		}
	})
}

func FuzzListOptions(f *testing.F) {
	for _, s := range []string{"labelSelector=a%3Db,c%20in%20(d,e)", "fieldSelector=metadata.name%3Dx", "limit=-1", "watch=1&sendInitialEvents=true",
		"resourceVersion=5&resourceVersionMatch=Exact&limit=3", "continue=abc", "timeoutSeconds=1e9"} {
		f.Add(s)
	}
	scheme := runtime.NewScheme()
	s := &Server{Config: Config{Table: &resource.Table{Scheme: scheme}}}
	f.Fuzz(func(t *testing.T, query string) {
		c := &call{r: &http.Request{URL: &url.URL{RawQuery: query}}, served: served{version: "v1", def: &resource.Definition{Kind: "Pod", Resource: "pods"}}}
		o, err := s.listOptions(c)
		if err != nil {
			if code := status(err).Code; code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
				t.Errorf("%v is a %d", err, code)
			}
			return
		}
		// What is passed on must be what the registry can read.
		if _, err := labels.Parse(o.LabelSelector); err != nil {
			t.Errorf("label selector %q: %v", o.LabelSelector, err)
		}
		if _, err := fields.ParseSelector(o.FieldSelector); err != nil {
			t.Errorf("field selector %q: %v", o.FieldSelector, err)
		}
	})
}

func FuzzDeleteOptionsProtobuf(f *testing.F) {
	o := &metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}}
	good, err := encodeMeta(o, accept{media: mediaProtobuf})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("k8s\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got metav1.DeleteOptions
		if err := protobufDeleteOptions(data, &got); err != nil {
			return
		}
		if _, err := got.Marshal(); err != nil {
			t.Errorf("decoded to what cannot be encoded: %v", err)
		}
	})
}

func FuzzProxyName(f *testing.F) {
	for _, s := range []string{"p", "p:80", "https:p:443", "::", ":p:", "a:b:c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		scheme, name, port, err := splitProxyName(id)
		if err != nil {
			return
		}
		if strings.Contains(name, ":") || strings.Contains(port, ":") || (scheme != "" && scheme != "http" && scheme != "https") {
			t.Errorf("%q splits into %q %q %q", id, scheme, name, port)
		}
	})
}

// FuzzPath walks arbitrary paths through request info and routing.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/api/v1/pods", "/api/v1/namespaces/a/pods/b/log", "/apis/apps/v1/x", "/api/v1/watch/pods", "//", "/api/v1/namespaces", "/api/v1/proxy"} {
		f.Add(s, "GET")
	}
	table := &resource.Table{Scheme: runtime.NewScheme(), Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, Versions: []string{"v1"}, Verbs: []string{"get", "list", "create"}, Subresources: []resource.Subresource{{Name: "log", Style: resource.StyleConnect}}},
		{Resource: "namespaces", Kind: "Namespace", Versions: []string{"v1"}, Verbs: []string{"get", "list", "delete"}},
	}}
	s := &Server{Config: Config{Table: table}, catalog: newCatalog(table)}
	s.info.APIPrefixes = sets.NewString("api", "apis")
	s.info.GrouplessAPIPrefixes = sets.NewString("api")
	f.Fuzz(func(t *testing.T, path, method string) {
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{}}
		info, err := s.info.NewRequestInfo(r)
		if err != nil || !info.IsResourceRequest {
			return
		}
		r = r.WithContext(request.WithRequestInfo(t.Context(), info))
		c, err := s.route(nil, r, info)
		if err != nil {
			return
		}
		if c.target.Resource.GroupVersion() != (schema.GroupVersion{Version: "v1"}) {
			t.Errorf("%s routed to %s", path, c.target.Resource)
		}
		if !c.def.Namespaced && c.target.Namespace != "" {
			t.Errorf("%s: namespace %q of a cluster-scoped resource", path, c.target.Namespace)
		}
	})
}
