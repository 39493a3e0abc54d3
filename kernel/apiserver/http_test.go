package apiserver_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// TestStatusErrors compares error bodies with upstream's.
func TestStatusErrors(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	if _, err := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default").Create(t.Context(), configMap("there", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const cms = "/api/v1/namespaces/default/configmaps"
	const js = "application/json"
	tests := []struct {
		name, method, path, body, contentType, accept string
		code                                          int
		reason                                        metav1.StatusReason
		message                                       string
	}{
		{"no such object", "GET", cms + "/nope", "", "", "", 404, "NotFound", `configmaps "nope" not found`},
		{"no such resource", "GET", "/api/v1/nopes", "", "", "", 404, "NotFound", "the server could not find the requested resource"},
		{"no such subresource", "GET", cms + "/there/nope", "", "", "", 404, "NotFound", "the server could not find the requested resource"},
		{"deeper than it goes", "GET", "/api/v1/namespaces/default/pods/p/status/x", "", "", "", 404, "NotFound", "the server could not find the requested resource"},
		{"namespaced object without namespace", "GET", "/api/v1/configmaps/there", "", "", "", 404, "NotFound", "the server could not find the requested resource"},
		{"cluster object in a namespace", "GET", "/api/v1/namespaces/default/nodes", "", "", "", 404, "NotFound", "the server could not find the requested resource"},
		{"post to an object", "POST", cms + "/there", "{}", js, "", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
		{"post to all namespaces", "POST", "/api/v1/configmaps", "{}", js, "", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
		{"delete in all namespaces", "DELETE", "/api/v1/configmaps", "", "", "", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
		{"put without a name", "PUT", cms, "{}", js, "", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
		{"get of a review", "GET", "/apis/authentication.k8s.io/v1/tokenreviews", "", "", "", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
		{"accept", "GET", cms, "", "", "text/html", 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
		{"accept cbor alone", "GET", cms, "", "", "application/cbor", 406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"},
		{"table as protobuf", "GET", cms, "", "", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", 406, "NotAcceptable", "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"content type", "POST", cms, "x", "text/plain", "", 415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"cbor body", "POST", cms, "x", "application/cbor", "", 415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"patch type", "PATCH", cms + "/there", "{}", js, "", 415, "UnsupportedMediaType", "415: Unsupported Media Type"},
		{"name mismatch", "PUT", cms + "/there", `{"metadata":{"name":"other"}}`, js, "", 400, "BadRequest", "the name of the object (other) does not match the name on the URL (there)"},
		{"no name", "PUT", cms + "/there", `{}`, js, "", 400, "BadRequest", "the name of the object (there based on URL) was undeterminable: name must be provided"},
		{"namespace mismatch", "POST", cms, `{"metadata":{"name":"x","namespace":"other"}}`, js, "", 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"},
		{"other kind", "POST", cms, `{"apiVersion":"apps/v1","kind":"Deployment"}`, js, "", 400, "BadRequest", `Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (v1.ConfigMap): unknown conversion`},
		{"no json", "POST", cms, `{"a`, js, "", 400, "BadRequest", `the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({"a)`},
		{"strict", "POST", cms + "?fieldValidation=Strict", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"datum":1}`, js, "", 400, "BadRequest", `ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "datum"`},
		{"bad dryRun", "POST", cms + "?dryRun=Some", `{}`, js, "", 422, "Invalid", `CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"`},
		{"apply without a manager", "PATCH", cms + "/there", `{}`, "application/apply-patch+yaml", "", 422, "Invalid", `PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch`},
		{"bad selector", "GET", cms + "?labelSelector=a%20in", "", "", "", 400, "BadRequest", "unable to parse requirement: found '' expected: '('"},
		{"unknown field", "GET", cms + "?fieldSelector=data.x=1", "", "", "", 400, "BadRequest", `"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		{"bad limit", "GET", cms + "?limit=many", "", "", "", 400, "BadRequest", `strconv.ParseInt: parsing "many": invalid syntax`},
		{"bad timeout", "GET", cms + "?timeout=soon", "", "", "", 400, "BadRequest", `invalid timeout specified in the request URL - invalid timeout - time: invalid duration "soon"`},
		{"delete options", "DELETE", cms + "/there", `{`, js, "", 400, "BadRequest", "couldn't get version/kind; json parse error: unexpected end of JSON input"},
		{"exists", "POST", cms, `{"metadata":{"name":"there"}}`, js, "", 409, "AlreadyExists", `configmaps "there" already exists`},
		{"invalid", "POST", "/api/v1/namespaces/default/pods", `{"metadata":{"name":"p"}}`, js, "", 422, "Invalid", `Pod "p" is invalid: spec.containers: Required value`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := map[string]string{}
			if tt.contentType != "" {
				h["Content-Type"] = tt.contentType
			}
			if tt.accept != "" {
				h["Accept"] = tt.accept
			}
			resp := do(t, c, tt.method, tt.path, tt.body, h)
			body := text(t, resp)
			var st metav1.Status
			if err := json.Unmarshal([]byte(body), &st); err != nil {
				t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
			}
			want := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(tt.code), Reason: tt.reason, Message: tt.message}
			st.Details = nil
			if diff := cmp.Diff(want, st); diff != "" || resp.StatusCode != tt.code {
				t.Errorf("HTTP %d (-want +got):\n%s", resp.StatusCode, diff)
			}
		})
	}
}

func TestLargeBodyIsRefused(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	resp := do(t, c, "POST", "/api/v1/namespaces/default/configmaps", strings.Repeat("x", 3<<20+1), map[string]string{"Content-Type": "application/json"})
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d: %s", resp.StatusCode, text(t, resp))
	}
}

func TestPathsThatAreNoAPI(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Checks = []apiserver.Check{
			{Name: "store", Check: func(context.Context) error { return nil }},
			{Name: "cache", ReadyOnly: true, Check: func(context.Context) error { return errors.New("secret reason") }},
		}
	}}})
	tests := []struct {
		path string
		code int
		want string // a part of the body
	}{
		{"/healthz", 200, "ok"},
		{"/livez?verbose", 200, "[+]ping ok\n[+]store ok\nlivez check passed"},
		{"/livez/store", 200, "ok"},
		{"/livez/cache", 404, "404 page not found"},
		{"/readyz", 500, "[-]cache failed: reason withheld"},
		{"/readyz?exclude=cache", 200, "ok"},
		{"/readyz/ping", 200, "ok"},
		{"/version", 200, `"gitVersion": "` + version.Git() + `"`},
		{"/version", 200, `"major": "1",
  "minor": "37",
  "emulationMajor": "1",
  "emulationMinor": "37",
  "minCompatibilityMajor": "1",
  "minCompatibilityMinor": "36",`},
		{"/", 200, `"/apis/apps/v1"`},
		{"/nope", 404, "404 page not found"},
		{"/apis/nope", 404, "404 page not found"},
		{"/apis/nope/v1/things", 404, "404 page not found"},
		{"/metrics", 200, "apiserver_request_total"},
		{"/openid/v1/jwks", 200, `"crv":"P-256"`},
		{"/.well-known/openid-configuration", 200, `"issuer":"https://kubernetes.default.svc.cluster.local"`},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			resp := get(t, c, tt.path, nil)
			body := text(t, resp)
			if resp.StatusCode != tt.code || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %s, want %d and %q", resp.StatusCode, body, tt.code, tt.want)
			}
			if strings.Contains(body, "secret reason") {
				t.Error("the reason of a failed check is public")
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	for _, n := range []string{"a", "b"} {
		if _, err := cms.Create(t.Context(), configMap(n, nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	tests := []struct {
		include, kind string
		code          int
	}{
		{"", "PartialObjectMetadata", 200}, {"Metadata", "PartialObjectMetadata", 200},
		{"Object", "ConfigMap", 200}, {"None", "", 200}, {"All", "", 400},
	}
	for _, tt := range tests {
		t.Run("include="+tt.include, func(t *testing.T) {
			resp := get(t, c, "/api/v1/namespaces/default/configmaps?includeObject="+tt.include, map[string]string{"Accept": accept})
			body := text(t, resp)
			if resp.StatusCode != tt.code {
				t.Fatalf("got %d: %s", resp.StatusCode, body)
			}
			if tt.code != 200 {
				return
			}
			var table metav1.Table
			if err := json.Unmarshal([]byte(body), &table); err != nil {
				t.Fatal(err)
			}
			if table.Kind != "Table" || table.ResourceVersion == "" || len(table.Rows) != 2 || len(table.ColumnDefinitions) == 0 || table.Rows[0].Cells[0] != "a" {
				t.Fatalf("table: %s", body)
			}
			var row metav1.PartialObjectMetadata
			if raw := table.Rows[0].Object.Raw; string(raw) != "null" && len(raw) > 0 {
				if err := json.Unmarshal(raw, &row); err != nil {
					t.Fatal(err)
				}
			}
			if row.Kind != tt.kind {
				t.Errorf("row's object is a %q, want %q", row.Kind, tt.kind)
			}
		})
	}
}

func TestListInEveryForm(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	if _, err := cms.Create(t.Context(), configMap("big", map[string]string{"k": strings.Repeat("x", 200<<10)}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// At one revision: the server's own loops write meanwhile.
	l, err := cms.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/namespaces/default/configmaps?resourceVersionMatch=Exact&resourceVersion=" + l.ResourceVersion
	plain := text(t, get(t, c, path, nil))
	zipped := get(t, c, path, map[string]string{"Accept-Encoding": "gzip"})
	if zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("a large list was not compressed")
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(z)
	if err != nil || string(unzipped) != plain {
		t.Errorf("compressed list differs: %v", err)
	}
	var fromYAML, fromPretty, want any
	if err := json.Unmarshal([]byte(plain), &want); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(text(t, get(t, c, path, map[string]string{"Accept": "application/yaml"}))), &fromYAML); err != nil {
		t.Fatal(err)
	}
	pretty := text(t, get(t, c, path+"&pretty=true", nil))
	if err := json.Unmarshal([]byte(pretty), &fromPretty); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, fromYAML) || !cmp.Equal(want, fromPretty) || !strings.Contains(pretty, "\n  \"") {
		t.Error("yaml or pretty list differs from the plain one")
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	dc := discovery.NewDiscoveryClientForConfigOrDie(c.Admin())
	_, aggregated, err := dc.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	legacy := discovery.NewDiscoveryClientForConfigOrDie(c.Admin())
	legacy.UseLegacyDiscovery = true
	_, plain, err := legacy.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names(plain), names(aggregated)); diff != "" {
		t.Errorf("aggregated discovery differs (-legacy +aggregated):\n%s", diff)
	}
	got := names(plain)["apps/v1"]
	if diff := cmp.Diff([]string{"deployments", "deployments/scale", "deployments/status"}, got); diff != "" {
		t.Errorf("apps/v1 (-want +got):\n%s", diff)
	}
	groups, err := restmapper.GetAPIGroupResources(dc)
	if err != nil {
		t.Fatal(err)
	}
	m, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil || m.Resource.Resource != "deployments" || m.Scope.Name() != "namespace" {
		t.Errorf("mapping %+v, %v", m, err)
	}
	v, err := dc.ServerVersion()
	if err != nil || v.Major != "1" || v.Minor != "37" {
		t.Errorf("version %+v, %v", v, err)
	}
}

func names(lists []*metav1.APIResourceList) map[string][]string {
	out := map[string][]string{}
	for _, l := range lists {
		for _, r := range l.APIResources {
			out[l.GroupVersion] = append(out[l.GroupVersion], r.Name)
		}
	}
	return out
}

func TestDiscoveryETag(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	h := map[string]string{"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
	first := get(t, c, "/apis", h)
	if first.Header.Get("ETag") == "" || first.Header.Get("Content-Type") != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
		t.Fatalf("headers: %v", first.Header)
	}
	h["If-None-Match"] = first.Header.Get("ETag")
	if again := get(t, c, "/apis", h); again.StatusCode != http.StatusNotModified {
		t.Errorf("same tag: %d, want 304", again.StatusCode)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	dc := discovery.NewDiscoveryClientForConfigOrDie(c.Admin())
	doc, err := dc.OpenAPISchema()
	if err != nil {
		t.Fatal(err)
	}
	if doc.Info.Version != version.Git() || len(doc.Paths.Path) == 0 {
		t.Errorf("openapi v2: version %q, %d paths", doc.Info.Version, len(doc.Paths.Path))
	}
	root := openapi3.NewRoot(dc.OpenAPIV3())
	gvs, err := root.GroupVersions()
	if err != nil {
		t.Fatal(err)
	}
	if len(gvs) != 10 {
		t.Errorf("openapi v3 has %v", gvs)
	}
	spec, err := root.GVSpec(schema.GroupVersion{Group: "apps", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	p := spec.Paths.Paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
	if p == nil || p.Patch == nil || p.Patch.Extensions["x-kubernetes-group-version-kind"] == nil {
		t.Fatalf("no PATCH of deployments with its kind: %+v", p)
	}
	found := false
	for _, q := range append(p.Parameters, p.Patch.Parameters...) {
		found = found || q.Name == "fieldValidation"
	}
	if !found {
		t.Error("PATCH does not tell about fieldValidation, by which kubectl decides")
	}
	paths, err := dc.OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := paths["api/v1"].Schema(openapi.ContentTypeOpenAPIV3PB); err != nil {
		t.Errorf("openapi v3 as protobuf: %v", err)
	}
	wrong := get(t, c, "/openapi/v3/api/v1?hash=wrong", nil)
	if wrong.StatusCode != http.StatusOK { // the client followed the redirect
		t.Errorf("wrong hash: %d", wrong.StatusCode)
	}
}
