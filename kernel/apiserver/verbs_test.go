package apiserver_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// requests are of the verbs of a resource that the server has code for.
var requests = []struct{ verb, method, path, contentType, body string }{
	{"get", "GET", "/l", "", ""},
	{"list", "GET", "", "", ""},
	{"watch", "GET", "?watch=1&timeoutSeconds=1", "", ""},
	{"create", "POST", "", "application/json", `{"metadata":{"name":"l"}}`},
	{"update", "PUT", "/l", "application/json", `{"metadata":{"name":"l"}}`},
	{"patch", "PATCH", "/l", "application/merge-patch+json", `{}`},
	{"patch", "PATCH", "/l?fieldManager=m", "application/apply-patch+yaml", `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"}}`},
	{"delete", "DELETE", "/l", "", ""},
	{"deletecollection", "DELETE", "", "", ""},
}

// withVerbs is a cluster whose leases have these verbs alone.
func withVerbs(t *testing.T, verbs []string, unserved string) *kerneltest.Server {
	t.Helper()
	tab, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	d := tab.Lookup(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"})
	d.Verbs, d.Unserved = verbs, unserved
	return kerneltest.Start(t, kerneltest.Options{Table: tab})
}

// A verb that a definition does not list is refused, whatever the server could
// do; one that it lists is not.
func TestUnlistedVerbsAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, unserved string
		verbs          []string
		message        func(verb string) string
	}{
		{name: "without a reason", verbs: []string{"get", "list", "watch"},
			message: func(string) string { return "the server does not allow this method on the requested resource" }},
		{name: "with a reason", verbs: []string{"get", "list", "watch"}, unserved: "leases are for reading here",
			message: func(verb string) string {
				return verb + ` is not supported on resources of kind "leases.coordination.k8s.io": leases are for reading here`
			}},
		{name: "writes only", verbs: []string{"create", "delete", "patch"},
			message: func(string) string { return "the server does not allow this method on the requested resource" }},
		{name: "everything", verbs: []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := withVerbs(t, tt.verbs, tt.unserved)
			for _, r := range requests {
				resp := do(t, c, r.method, "/apis/coordination.k8s.io/v1/namespaces/default/leases"+r.path, r.body, map[string]string{"Content-Type": r.contentType})
				body := text(t, resp)
				if slices.Contains(tt.verbs, r.verb) {
					if resp.StatusCode == http.StatusMethodNotAllowed {
						t.Errorf("%s %s: refused: %s", r.method, r.path, body)
					}
					continue
				}
				var got metav1.Status
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatalf("%s %s: %d %s: %v", r.method, r.path, resp.StatusCode, body, err)
				}
				got.Details = nil
				want := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
					Code: http.StatusMethodNotAllowed, Reason: metav1.StatusReasonMethodNotAllowed, Message: tt.message(r.verb)}
				if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("%s %s: HTTP %d (-want +got):\n%s", r.method, r.path, resp.StatusCode, diff)
				}
			}
		})
	}
}
