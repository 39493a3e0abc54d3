package kinds_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// edge is an API server of the real kinds.
type edge struct {
	url    string
	client *http.Client
}

func newEdge(t testing.TB) *edge {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: table})
	client, err := rest.HTTPClientFor(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	return &edge{c.URL, client}
}

// do gives the code, the body and the warnings of an answer.
func (e *edge) do(t testing.TB, method, path, mediaType, accept, body string) (int, string, []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	res, err := e.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	headers, errs := utilnet.ParseWarningHeaders(res.Header["Warning"])
	if len(errs) > 0 {
		t.Errorf("warning headers: %v", errs)
	}
	var texts []string
	for _, h := range headers {
		texts = append(texts, h.Text)
	}
	return res.StatusCode, string(data), texts
}

func TestWarningsAreUpstreams(t *testing.T) {
	e := newEdge(t)
	const (
		cms        = "/api/v1/namespaces/default/configmaps"
		js         = "application/json"
		yaml       = "application/yaml"
		merge      = "application/merge-patch+json"
		strategic  = "application/strategic-merge-patch+json"
		jsonPatch  = "application/json-patch+json"
		apply      = "application/apply-patch+yaml"
		endpoints  = "/api/v1/namespaces/default/endpoints"
		deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
	)
	for _, tc := range []struct {
		name, method, path, mediaType, body string
		code                                int
		want                                []string
	}{
		{"JSON", "POST", cms, js, `{"metadata":{"name":"a"},"data":{"k":"1","k":"2"},"datum":1,"immutable":false,"immutable":false}`, 201,
			[]string{`unknown field "datum"`, `duplicate field "data.k"`, `duplicate field "immutable"`}},
		{"ignored", "POST", cms + "?fieldValidation=Ignore", js, `{"metadata":{"name":"ignored"},"datum":1,"immutable":false,"immutable":false}`, 201, nil},
		{"YAML", "POST", cms, yaml, "metadata:\n  name: b\ndata:\n  k: \"1\"\n  k: \"2\"\nimmutable: false\nimmutable: false\ndatum: 1\n", 201,
			[]string{`line 5: key "k" already set in map`, `line 7: key "immutable" already set in map`, `unknown field "datum"`}},
		{"merge patch", "PATCH", cms + "/a", merge, `{"data":{"x":"1","x":"2"},"$patch":"merge","metadata":{"$retainKeys":["name"]}}`, 200,
			[]string{`duplicate field "data.x"`, `unknown field "$patch"`, `unknown field "metadata.$retainKeys"`}},
		{"strategic merge patch", "PATCH", cms + "/a", strategic, `{"data":{"y":"1","y":"2"},"datum":1}`, 200,
			[]string{`duplicate field "data.y"`, `unknown field "datum"`}},
		{"JSON patch", "PATCH", cms + "/a", jsonPatch, `[{"op":"add","path":"/data/z","value":"1","value":"2","what":3}]`, 200,
			[]string{`json patch unknown field "[0].what"`, `json patch duplicate field "[0].value"`}},
		{"apply", "PATCH", cms + "/c?fieldManager=m", apply, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  k: \"1\"\n  k: \"2\"\n  l: \"1\"\n  l: \"2\"\n", 201,
			[]string{`line 7: key "k" already set in map`, `line 9: key "l" already set in map`}},
		{"deprecated, created", "POST", endpoints, js, `{"metadata":{"name":"e"}}`, 201, []string{deprecated}},
		{"deprecated, read", "GET", endpoints + "/e", "", "", 200, []string{deprecated}},
		{"deprecated, listed", "GET", "/api/v1/endpoints", "", "", 200, []string{deprecated}},
		{"deprecated, deleted", "DELETE", endpoints + "/e", "", "", 200, []string{deprecated}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, body, got := e.do(t, tc.method, tc.path, tc.mediaType, "", tc.body)
			if code != tc.code {
				t.Fatalf("code %d, want %d: %s", code, tc.code, body)
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Reviews have no metadata to make a row of, and answers to actions are no
// objects of the resource.
func TestNoTableWithoutMetadata(t *testing.T) {
	e := newEdge(t)
	const table = "application/json;as=Table;v=v1;g=meta.k8s.io"
	review := `{"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`
	for _, tc := range []struct {
		method, path, accept, body string
		code                       int
		want                       string
	}{
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", table, review, 406, "NotAcceptable"},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", table + ",application/json", review, 201, `"kind":"SelfSubjectAccessReview"`},
		{"POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", table, "{}", 406, "NotAcceptable"},
		{"POST", "/api/v1/namespaces/default/serviceaccounts/x/token", table, "{}", 406, "NotAcceptable"},
		{"GET", "/api/v1/namespaces", table, "", 200, `"kind":"Table"`},
		{"GET", "/api/v1/namespaces/default/status", table, "", 200, `"kind":"Table"`},
	} {
		code, body, _ := e.do(t, tc.method, tc.path, "application/json", tc.accept, tc.body)
		if code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s as %s: %d %.300s, want %d with %s", tc.method, tc.path, tc.accept, code, body, tc.code, tc.want)
		}
	}
}

// The labels of fields are those of the request's group, all the way.
func TestEventsAreSelectedThroughTheEdge(t *testing.T) {
	e := newEdge(t)
	event := `{"metadata":{"name":"e","namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"a"},"reportingComponent":"example.com/c","type":"Normal"}`
	if code, body, _ := e.do(t, "POST", "/api/v1/namespaces/default/events", "application/json", "", event); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	for path, want := range map[string]int{
		"/apis/events.k8s.io/v1/events?fieldSelector=regarding.kind%3DPod,reportingController%3Dexample.com/c": 200,
		"/apis/events.k8s.io/v1/events?fieldSelector=involvedObject.kind%3DPod":                                400,
		"/api/v1/events?fieldSelector=involvedObject.kind%3DPod,reportingComponent%3Dexample.com/c":            200,
		"/api/v1/events?fieldSelector=regarding.kind%3DPod":                                                    400,
	} {
		code, body, _ := e.do(t, "GET", path, "", "", "")
		if code != want || (code == 200) != strings.Contains(body, `"name":"e"`) {
			t.Errorf("%s: %d %.300s, want %d", path, code, body, want)
		}
	}
}
