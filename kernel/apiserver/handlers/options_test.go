package handlers

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// request is one for a pod, or for all with name "", whose body has come in.
func request(t *testing.T, query, name, media, text string) *endpoint.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/?"+query, strings.NewReader(text))
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	w := httptest.NewRecorder()
	if err := (body.Receiver{Bytes: 1 << 20}).Receive(w, r); err != nil {
		t.Fatal(err)
	}
	d := &resource.Definition{Kind: "Pod", Resource: "pods", Namespaced: true, Versions: []string{"v1"}, StorageVersion: "v1"}
	return &endpoint.Request{R: r, W: w, Endpoint: endpoint.Endpoint{Def: d, Version: "v1"}, GVK: corev1.SchemeGroupVersion.WithKind("Pod"),
		Target: registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: "default", Name: name}}
}

// wantRefused checks the code of an error and a part of its text; no code, no error.
func wantRefused(t *testing.T, err error, code int32, text string) {
	t.Helper()
	switch {
	case code == 0 && err != nil:
		t.Error(err)
	case code != 0 && (err == nil || response.Status(err).Code != code || !strings.Contains(err.Error(), text)):
		t.Errorf("got %v, want a %d with %q", err, code, text)
	}
}

func TestListOptions(t *testing.T) {
	yes := true
	for _, tt := range []struct {
		query, name string
		want        metav1.ListOptions
		code        int32
		text        string
	}{
		{query: "", want: metav1.ListOptions{}},
		{query: "labelSelector=a%3Db%2Cc+in+(d,e)", want: metav1.ListOptions{LabelSelector: "a=b,c in (d,e)"}},
		{query: "fieldSelector=spec.nodeName%3Dn", want: metav1.ListOptions{FieldSelector: "spec.nodeName=n"}},
		{query: "limit=5&continue=x", want: metav1.ListOptions{Limit: 5, Continue: "x"}},
		{query: "resourceVersion=7&resourceVersionMatch=Exact", want: metav1.ListOptions{ResourceVersion: "7", ResourceVersionMatch: metav1.ResourceVersionMatchExact}},
		{query: "watch=1&allowWatchBookmarks=true&resourceVersion=5", want: metav1.ListOptions{Watch: true, AllowWatchBookmarks: true, ResourceVersion: "5"}},
		// A watch from nowhere begins with what there is, as it always did.
		{query: "watch=1", want: metav1.ListOptions{Watch: true, SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}},
		{query: "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1",
			want: metav1.ListOptions{Watch: true, AllowWatchBookmarks: true, SendInitialEvents: &yes, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}},
		{query: "unknown=1&pretty=true", want: metav1.ListOptions{}},

		// The paths of old watches name one object.
		{name: "p", want: metav1.ListOptions{FieldSelector: "metadata.name=p"}},
		{name: "p", query: "fieldSelector=metadata.name%3Dp", want: metav1.ListOptions{FieldSelector: "metadata.name=p"}},
		{name: "p", query: "fieldSelector=metadata.name%3Dq", code: 400, text: "fieldSelector metadata.name doesn't match requested name"},
		{name: "p", query: "fieldSelector=spec.nodeName%3Dn", code: 400, text: "doesn't match requested name"},

		{query: "limit=many", code: 400, text: "many"},
		{query: "labelSelector=a%3D%3D%3Db", code: 400, text: "unable to parse requirement"},
		{query: "fieldSelector=nonsense", code: 400, text: "nonsense"},
		{query: "timeoutSeconds=soon", code: 400, text: "soon"},
		{query: "resourceVersionMatch=Exact", code: 422, text: "resourceVersionMatch is forbidden unless resourceVersion is provided"},
		{query: "resourceVersion=0&resourceVersionMatch=Exact", code: 422, text: `resourceVersionMatch "exact" is forbidden for resourceVersion "0"`},
		{query: "resourceVersion=1&resourceVersionMatch=About", code: 422, text: "supported values"},
		{query: "sendInitialEvents=true", code: 422, text: "sendInitialEvents is forbidden for list"},
		{query: "watch=1&sendInitialEvents=true", code: 422, text: "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
	} {
		t.Run(tt.name+"?"+tt.query, func(t *testing.T) {
			got, err := listOptions(request(t, tt.query, tt.name, "", ""))
			wantRefused(t, err, tt.code, tt.text)
			if tt.code != 0 {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeleteOptions(t *testing.T) {
	const js = negotiation.JSON
	zero, background := int64(0), metav1.DeletePropagationBackground
	proto, err := response.EncodeMeta(&metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}, PropagationPolicy: &background}, negotiation.Accepted{Media: negotiation.Protobuf})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		query, media, body string
		want               metav1.DeleteOptions
		code               int32
		text               string
	}{
		"none":                   {},
		"in the query":           {query: "gracePeriodSeconds=0&propagationPolicy=Background", want: metav1.DeleteOptions{GracePeriodSeconds: &zero, PropagationPolicy: &background}},
		"in the body":            {media: js, body: `{"gracePeriodSeconds":0}`, want: metav1.DeleteOptions{GracePeriodSeconds: &zero}},
		"a body goes first":      {query: "gracePeriodSeconds=5", media: js, body: `{"propagationPolicy":"Background"}`, want: metav1.DeleteOptions{PropagationPolicy: &background}},
		"without a media type":   {body: `{"gracePeriodSeconds":0}`, want: metav1.DeleteOptions{GracePeriodSeconds: &zero}},
		"YAML":                   {media: negotiation.YAML, body: "gracePeriodSeconds: 0\n", want: metav1.DeleteOptions{GracePeriodSeconds: &zero}},
		"protobuf":               {media: negotiation.Protobuf, body: string(proto), want: metav1.DeleteOptions{PropagationPolicy: &background}},
		"of another group":       {media: js, body: `{"apiVersion":"apps/v1","kind":"DeleteOptions","gracePeriodSeconds":0}`, want: metav1.DeleteOptions{GracePeriodSeconds: &zero}},
		"what breaks the store":  {media: js, body: `{"ignoreStoreReadErrorWithClusterBreakingPotential":true}`},
		"of another kind":        {media: js, body: `{"apiVersion":"v1","kind":"Pod"}`, code: 400, text: `no kind "Pod" is registered for version "v1"`},
		"no JSON":                {media: js, body: `{`, code: 400, text: "couldn't get version/kind; json parse error: unexpected end of JSON input"},
		"YAML that says JSON":    {media: js, body: "gracePeriodSeconds: 0\n", code: 400, text: "json parse error"},
		"a number for a uid":     {media: js, body: `{"preconditions":{"uid":7}}`, code: 400, text: "json: cannot unmarshal number into Go struct field Preconditions.preconditions.uid of type types.UID"},
		"of another version":     {media: js, body: `{"apiVersion":"v9","kind":"DeleteOptions","gracePeriodSeconds":0}`, want: metav1.DeleteOptions{GracePeriodSeconds: &zero}},
		"no protobuf":            {media: negotiation.Protobuf, body: `{}`, code: 400, text: "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"},
		"of an unknown form":     {media: "text/plain", body: `{}`, code: 415, text: "accepted media types include"},
		"text for seconds":       {query: "gracePeriodSeconds=soon", code: 400, text: "soon"},
		"an unknown propagation": {query: "propagationPolicy=Sideways", code: 422, text: `Unsupported value: "Sideways"`},
		"both wishes":            {media: js, body: `{"orphanDependents":true,"propagationPolicy":"Orphan"}`, code: 422, text: "cannot be both set"},
		"a bad dry run":          {query: "dryRun=Some", code: 422, text: "dryRun"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := deleteOptions(request(t, tt.query, "p", tt.media, tt.body))
			wantRefused(t, err, tt.code, tt.text)
			if tt.code != 0 {
				return
			}
			tt.want.TypeMeta = metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A client that names no field manager has the name of its program, as upstream's:
// what can be printed of it, no longer than a manager's name may be.
func TestFieldManager(t *testing.T) {
	for _, tt := range []struct{ asked, agent, want string }{
		{"me", "kubectl/v1.37.0", "me"},
		{"", "kubectl/v1.37.0 (linux/amd64)", "kubectl"},
		{"", "", ""},
		{"", "no version", "no version"},
		{"", "a\x01b\tc/1", "abc"},
		{"", strings.Repeat("x", 200) + "/1", strings.Repeat("x", 128)},
		{"", strings.Repeat("é", 100), strings.Repeat("é", 64)},
	} {
		r := &http.Request{Header: http.Header{"User-Agent": {tt.agent}}, URL: &url.URL{}}
		if got := fieldManager(tt.asked, r); got != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.asked, tt.agent, got, tt.want)
		}
	}
}

func TestNamespaceOfBody(t *testing.T) {
	for _, tt := range []struct{ object, request, want, text string }{
		{"a", "a", "a", ""},
		{"", "a", "a", ""},
		{"a", "", "", ""},
		{"a", "b", "", "the namespace of the provided object does not match the namespace sent on the request"},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tt.object}}
		err := setNamespace(p, tt.request)
		if tt.text != "" {
			wantRefused(t, err, 400, tt.text)
		} else if err != nil || p.Namespace != tt.want {
			t.Errorf("%q in %q: %q, %v", tt.object, tt.request, p.Namespace, err)
		}
	}
}

func TestNameOfUpdate(t *testing.T) {
	at := registry.Target{Namespace: "a", Name: "p"}
	for _, tt := range []struct{ namespace, name, text string }{
		{"a", "p", ""},
		{"", "p", ""},
		{"a", "", "the name of the object (p based on URL) was undeterminable: name must be provided"},
		{"a", "q", "the name of the object (q) does not match the name on the URL (p)"},
		{"b", "p", "the namespace of the object (b) does not match the namespace on the request (a)"},
	} {
		err := checkName(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: tt.namespace, Name: tt.name}}, at)
		if tt.text == "" && err != nil || tt.text != "" && (err == nil || err.Error() != tt.text) {
			t.Errorf("%s/%s: %v, want %q", tt.namespace, tt.name, err, tt.text)
		}
	}
}

// bodies decodes what it is told to.
type bodies struct {
	Codec
	kind   schema.GroupVersionKind
	strict []error
}

func (b bodies) DecodeRequest([]byte, string, *schema.GroupVersionKind, bool) (runtime.Object, *schema.GroupVersionKind, []error, error) {
	return &corev1.Pod{}, &b.kind, b.strict, nil
}

func (bodies) Foreign(_ runtime.Object, got, want schema.GroupVersionKind) error {
	if got.Kind == want.Kind {
		return nil
	}
	return apierrors.NewBadRequest(got.Kind + " is no " + want.Kind)
}

// A body is of the kind and version of the path; what strict validation complains of
// is an error only for who asked for that.
func TestDecodeBody(t *testing.T) {
	pod := corev1.SchemeGroupVersion.WithKind("Pod")
	complaint := []error{errors.New(`unknown field "x"`)}
	for name, tt := range map[string]struct {
		media, validation string
		b                 bodies
		code              int32
		text              string
	}{
		"as expected":        {b: bodies{kind: pod}},
		"another version":    {b: bodies{kind: schema.GroupVersionKind{Version: "v2", Kind: "Pod"}}, code: 400, text: "the API version in the data (v2) does not match the expected API version (v1)"},
		"another group":      {b: bodies{kind: schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "Pod"}}, code: 400, text: "the API version in the data (g/v1) does not match"},
		"another kind":       {b: bodies{kind: corev1.SchemeGroupVersion.WithKind("Node")}, code: 400, text: "Node is no Pod"},
		"strict":             {validation: metav1.FieldValidationStrict, b: bodies{kind: pod, strict: complaint}, code: 400, text: `unknown field "x"`},
		"warned":             {validation: metav1.FieldValidationWarn, b: bodies{kind: pod, strict: complaint}},
		"warned by default":  {b: bodies{kind: pod, strict: complaint}},
		"of an unknown form": {media: "application/merge-patch+json", b: bodies{kind: pod}, code: 415, text: "accepted media types include"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Handlers{Codec: tt.b, Render: &render.Renderer{}}
			_, err := s.decodeBody(request(t, "", "", tt.media, "{}"), tt.validation)
			wantRefused(t, err, tt.code, tt.text)
		})
	}
}

// A patch is of one of the types that the kind takes: a custom kind has no strategic
// merge patches.
func TestPatchTypes(t *testing.T) {
	custom := struct{ resource.Types }{}
	for _, tt := range []struct {
		media string
		types resource.Types
		code  int32
	}{
		{"application/json-patch+json", nil, 0},
		{"application/merge-patch+json; charset=utf-8", nil, 0},
		{"application/strategic-merge-patch+json", nil, 0},
		{"application/apply-patch+yaml", custom, 0},
		{"application/strategic-merge-patch+json", custom, 415},
		{"application/json", nil, 415},
		{"", nil, 415},
	} {
		c := request(t, "dryRun=Some", "p", tt.media, "{}") // which is refused, once the type is taken
		c.Def.Types = tt.types
		code := tt.code
		if code == 0 {
			code = 422
		}
		if err := (&Handlers{Render: &render.Renderer{}}).patch(c); err == nil || response.Status(err).Code != code {
			t.Errorf("%q: %v, want a %d", tt.media, err, code)
		}
	}
}
