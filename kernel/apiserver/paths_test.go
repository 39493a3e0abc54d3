package apiserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
)

const (
	noResource = "the server could not find the requested resource"
	noPage     = "404 page not found"
	noVerb     = "the server does not allow this method on the requested resource"
)

// TestPathsOfTheAPI: which paths there are, and in which form the others are refused.
func TestPathsOfTheAPI(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	probe{"create", "POST", core + "pods", fmt.Sprintf(podBody, "p", ""), 201, "", `"kind":"Pod"`}.run(t, c)
	probe{"create", "POST", core + "services", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"port":80}]}}`, 201, "", `"kind":"Service"`}.run(t, c)
	const local = "/apis/authorization.k8s.io/v1/"
	for _, tt := range []struct {
		method, path string
		code         int
		want         string // a part of the answer
	}{
		{"POST", "/api/v1/bindings", 404, noResource},
		{"GET", core + "bindings/b", 404, noResource},
		{"POST", local + "localsubjectaccessreviews", 404, noResource},
		{"GET", local + "subjectaccessreviews/x", 404, noResource},
		{"GET", local + "subjectaccessreviews", 405, noVerb},
		{"GET", "/apis/authentication.k8s.io/v1/tokenreviews/x", 404, noResource},
		{"GET", core + "pods/%2e%2e", 400, `Name parameter invalid: \"..\": may not be '..'`},
		{"GET", "/api/v9/pods", 404, noResource},
		{"GET", "/api/v9", 404, noResource},
		{"GET", "/apis/apps/v9/deployments", 404, noResource},
		{"GET", "/apis/apps/v9", 404, noResource},
		{"GET", "/apis/none.example/v1/things", 404, noPage},
		{"GET", "/apis/none.example/v1", 404, noPage},
		{"GET", "//api/v1/pods", 404, noPage},
		{"GET", "//apis/apps/v1", 404, noPage},

		// Subresources that connect: methods come first, then what is there.
		{"HEAD", core + "pods/none/exec", 405, ""},
		{"DELETE", core + "pods/none/log", 405, noVerb},
		{"GET", core + "pods/p/exec/x", 404, noResource},
		{"GET", core + "pods/p/log", 204, ""},
		{"GET", core + "pods/p/log?container=none", 400, "container none is not valid for pod p"},
		{"POST", core + "pods/p/exec", 400, "pod p does not have a host assigned"},
		{"GET", core + "services/s/proxy", 503, `no endpoints available for service \"s\"`},
		{"GET", core + "services/none/proxy/x", 503, `no endpoints available for service \"none\"`},
		{"GET", core + "services/none:80/proxy", 404, `services \"none\" not found`},
		{"GET", core + "services/a:b:c:d/proxy", 400, `invalid service request \"a:b:c:d\"`},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			resp := do(t, c, tt.method, tt.path, "", map[string]string{"Content-Type": "application/json"})
			if body := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(body, tt.want) || tt.want == "" && body != "" {
				t.Errorf("HTTP %d %s; want %d %q", resp.StatusCode, body, tt.code, tt.want)
			}
		})
	}
}

// TestPathsOfCustomResources: the version's warning comes before a refusal, which
// names the resource.
func TestPathsOfCustomResources(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	if err := c.Catalog().Producer("shop").Apply(registrytest.DefineGizmos(func(d *resource.Definition) {
		d.Deprecations = map[string]string{"v1": "v1 is old"}
	})); err != nil {
		t.Fatal(err)
	}
	const gizmos = "/apis/shop.example/v1/namespaces/default/gizmos"
	for _, tt := range []struct {
		method, path string
		code         int
		want         string
		warned       bool
	}{
		{"GET", gizmos, 200, "GizmoList", true},
		{"PUT", gizmos, 400, "name must be provided", true},
		{"PATCH", gizmos, 400, "name must be provided", true},
		{"OPTIONS", gizmos, 405, `"details":{"group":"shop.example","kind":"gizmos"}`, true},
		{"GET", gizmos + "/g/scale", 404, `gizmos.shop.example \"g\" not found`, true},
		{"POST", "/apis/shop.example/v1/gizmos", 404, noPage, false},
		{"GET", "/apis/shop.example/v1/nothings", 404, noPage, false},
		{"GET", "/apis/shop.example/v9/gizmos", 404, noPage, false},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			media := "application/json"
			if tt.method == http.MethodPatch {
				media = "application/merge-patch+json"
			}
			resp := do(t, c, tt.method, tt.path, "{}", map[string]string{"Content-Type": media})
			if body := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(body, tt.want) {
				t.Errorf("HTTP %d %s; want %d %q", resp.StatusCode, body, tt.code, tt.want)
			}
			if warned := strings.Contains(resp.Header.Get("Warning"), "v1 is old"); warned != tt.warned {
				t.Errorf("warned: %t", warned)
			}
		})
	}
}

// A review's metadata is prepared as that of an object that is created: what only a
// server may set is taken out, so that nothing of it is refused.
func TestReviewsMetadata(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	const system = `"uid":"u","creationTimestamp":"2020-01-02T03:04:05Z","deletionTimestamp":"2020-01-02T03:04:05Z","selfLink":"/x"`
	for _, p := range []probe{
		{"asked about access", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", `{"metadata":{` + system + `},"spec":{"user":"u","nonResourceAttributes":{"path":"/","verb":"get"}}}`, 201, "", `"allowed":false`},
		{"by a name", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", `{"metadata":{"name":"n"},"spec":{"user":"u","nonResourceAttributes":{"path":"/","verb":"get"}}}`, 422, string(metav1.StatusReasonInvalid), "must be empty"},
		{"asked about a token", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", `{"metadata":{"name":"n",` + system + `},"spec":{"token":"t"}}`, 201, "", `"metadata":{"name":"n","managedFields"`},
	} {
		p.run(t, c)
	}
}
