package apiserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// kubernetesCluster is a cluster with the kinds of Kubernetes.
func kubernetesCluster(t *testing.T) *kerneltest.Server {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	return kerneltest.Start(t, kerneltest.Options{Table: table})
}

// probe is a request and what kube-apiserver answers.
type probe struct {
	name, method, path, body string
	code                     int
	reason                   string // of a Status; "" for another kind
	want                     string // a part of the answer
}

const (
	core       = "/api/v1/namespaces/default/"
	podBody    = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"%s},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	configBody = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{%s}}`
)

func (p probe) run(t *testing.T, c *kerneltest.Server) {
	t.Helper()
	media := "application/json"
	switch {
	case p.method == http.MethodPatch && strings.Contains(p.path, "fieldManager="):
		media = "application/apply-patch+yaml"
	case p.method == http.MethodPatch:
		media = "application/merge-patch+json"
	}
	resp := do(t, c, p.method, p.path, p.body, map[string]string{"Content-Type": media})
	body := text(t, resp)
	var got struct{ Kind, Reason string }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Errorf("%s: HTTP %d %s: %v", p.name, resp.StatusCode, body, err)
		return
	}
	if resp.StatusCode != p.code || got.Reason != p.reason || !strings.Contains(body, p.want) {
		t.Errorf("%s: HTTP %d, reason %q, want %d %q with %s:\n%s", p.name, resp.StatusCode, got.Reason, p.code, p.reason, p.want, body)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	pod := func(name string) string { return fmt.Sprintf(podBody, name, "") }
	config := func(meta string) string { return fmt.Sprintf(configBody, meta) }
	long := strings.Repeat("a", 300)
	for _, p := range []probe{
		{"create", "POST", core + "pods", pod("a"), 201, "", `"kind":"Pod"`},
		{"delete with a wrong uid", "DELETE", core + "pods/a", `{"preconditions":{"uid":"other"}}`, 409, "Conflict", `the UID in the precondition (other) does not match the UID in record`},
		{"delete with a wrong resourceVersion", "DELETE", core + "pods/a", `{"preconditions":{"resourceVersion":"1"}}`, 409, "Conflict", "the ResourceVersion in the precondition (1) does not match"},
		{"delete with both wishes", "DELETE", core + "pods/a", `{"orphanDependents":true,"propagationPolicy":"Orphan"}`, 422, "Invalid", "orphanDependents and deletionPropagation cannot be both set"},
		{"delete with an unknown wish", "DELETE", core + "pods/a", `{"propagationPolicy":"Sideways"}`, 422, "Invalid", `DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\"`},
		{"delete with a bad dry run", "DELETE", core + "pods/a?dryRun=Some", "", 422, "Invalid", `dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"`},
		{"delete with text for seconds", "DELETE", core + "pods/a?gracePeriodSeconds=soon", "", 400, "BadRequest", "soon"},
		{"delete of another kind of options", "DELETE", core + "pods/a", `{"apiVersion":"v1","kind":"Pod"}`, 400, "BadRequest", ""},
		{"dry run of a delete", "DELETE", core + "pods/a?dryRun=All", "", 200, "", `"kind":"Pod"`},
		{"it is still there", "GET", core + "pods/a", "", 200, "", `"kind":"Pod"`},
		{"delete of a pod without a node", "DELETE", core + "pods/a", "", 200, "", `"kind":"Pod"`},
		{"it is gone", "DELETE", core + "pods/a", "", 404, "NotFound", `pods \"a\" not found`},
		{"create a config map", "POST", core + "configmaps", config(`"name":"m"`), 201, "", `"kind":"ConfigMap"`},
		{"delete answers a Status", "DELETE", core + "configmaps/m", "", 200, "", `"status":"Success","details":{"name":"m","kind":"configmaps","uid":"`},
		{"account", "POST", core + "serviceaccounts", `{"metadata":{"name":"sa"}}`, 201, "", `"kind":"ServiceAccount"`},
		{"delete of an account answers it", "DELETE", core + "serviceaccounts/sa", "", 200, "", `"kind":"ServiceAccount"`},

		{"create with a resourceVersion", "POST", core + "configmaps", config(`"name":"m","resourceVersion":"5"`), 500, "", "resourceVersion should not be set on objects to be created"},
		{"create without a name", "POST", core + "configmaps", config(``), 422, "Invalid", "metadata.name: Required value: name or generateName is required"},
		{"create with a long generateName", "POST", core + "configmaps", config(`"generateName":"` + long + `"`), 422, "Invalid", "metadata.generateName: Invalid value"},
		{"create with a generateName that is cut", "POST", core + "configmaps", config(`"generateName":"` + long[:100] + `"`), 201, "", `"name":"` + long[:58]},
		{"create in another namespace", "POST", core + "configmaps", config(`"name":"m","namespace":"other"`), 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"},
		{"create in a missing namespace", "POST", "/api/v1/namespaces/none/configmaps", config(`"name":"m"`), 404, "NotFound", `namespaces \"none\" not found`},
		{"create of another kind", "POST", core + "configmaps", pod("x"), 400, "BadRequest", "Pod in version \\\"v1\\\" cannot be handled as a ConfigMap"},
		{"create with a name in the path", "POST", core + "configmaps/m", config(`"name":"m"`), 405, "MethodNotAllowed", ""},
		{"create everywhere", "POST", "/api/v1/configmaps", config(`"name":"m"`), 405, "MethodNotAllowed", ""},
		{"update of a missing object", "PUT", core + "configmaps/m", config(`"name":"m"`), 404, "NotFound", `configmaps \"m\" not found`},
		{"update under another name", "PUT", core + "configmaps/m", config(`"name":"n"`), 400, "BadRequest", "the name of the object (n) does not match the name on the URL (m)"},
		{"update without a name", "PUT", core + "configmaps/m", config(``), 400, "BadRequest", "name must be provided"},
		{"update in another namespace", "PUT", core + "configmaps/m", config(`"name":"m","namespace":"other"`), 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"},
		{"patch of a missing object", "PATCH", core + "configmaps/m", `{}`, 404, "NotFound", `configmaps \"m\" not found`},
		{"patch of a missing object's status", "PATCH", core + "pods/a/status", `{}`, 404, "NotFound", `pods \"a\" not found`},
		{"apply of a missing object with a uid", "PATCH", core + "configmaps/m?fieldManager=f", config(`"name":"m","uid":"u"`), 409, "Conflict", "uid mismatch: the provided object specified uid u, and no existing object was found"},
		{"apply of a missing object", "PATCH", core + "configmaps/m?fieldManager=f", config(`"name":"m"`), 201, "", `"kind":"ConfigMap"`},
		{"apply under another name", "PATCH", core + "configmaps/m?fieldManager=f", config(`"name":"n"`), 400, "BadRequest", "the name of the object (n) does not match the name on the URL (m)"},
		{"patch with a wrong resourceVersion", "PATCH", core + "configmaps/m", `{"metadata":{"resourceVersion":"1"}}`, 409, "Conflict", "the object has been modified"},
		{"patch of the name", "PATCH", core + "configmaps/m", `{"metadata":{"name":"n"}}`, 400, "BadRequest", "the name of the object (n) does not match the name on the URL (m)"},
		{"update with a wrong uid", "PUT", core + "configmaps/m", config(`"name":"m","uid":"u"`), 409, "Conflict", "Precondition failed: UID in precondition: u, UID in object meta"},
		{"update with a malformed resourceVersion", "PUT", core + "configmaps/m", config(`"name":"m","resourceVersion":"x"`), 500, "", `"message":"strconv.ParseUint: parsing \"x\": invalid syntax"`},
		{"get at a malformed resourceVersion", "GET", core + "configmaps/m?resourceVersion=x", "", 500, "", `"message":"resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"`},
		{"get an event at a malformed resourceVersion", "GET", core + "events/e?resourceVersion=x", "", 400, "BadRequest", `"message":"invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"`},
		{"watch from a malformed resourceVersion", "GET", core + "configmaps?watch=1&timeoutSeconds=1&resourceVersion=x", "", 500, "", `"message":"resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"`},
		{"list at a malformed resourceVersion", "GET", core + "configmaps?resourceVersion=x", "", 400, "BadRequest", `"message":"invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"`},
		{"delete with a malformed resourceVersion", "DELETE", core + "configmaps/m", `{"preconditions":{"resourceVersion":"x"}}`, 409, "Conflict", "the ResourceVersion in the precondition (x) does not match"},
		{"patch of a name that nothing can have", "PATCH", core + "configmaps/a%25b", `{}`, 400, "BadRequest", `Name parameter invalid: \"a%b\": may not contain '%'`},
		{"create what exists", "POST", core + "configmaps", config(`"name":"m"`), 409, "AlreadyExists", `configmaps \"m\" already exists`},
		{"dry run of what exists", "POST", core + "configmaps?dryRun=All", config(`"name":"m"`), 409, "AlreadyExists", `configmaps \"m\" already exists`},
		{"a bad dry run", "POST", core + "configmaps?dryRun=Some", config(`"name":"n"`), 422, "Invalid", `CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]`},
		{"a bad field validation", "POST", core + "configmaps?fieldValidation=Maybe", config(`"name":"n"`), 422, "Invalid", `fieldValidation: Unsupported value: \"Maybe\"`},
		{"orphan of what has no dependents", "DELETE", core + "configmaps/m", `{"propagationPolicy":"Orphan"}`, 200, "", `"finalizers":["orphan"]`},
	} {
		p.run(t, c)
	}
}

// Bindings have two places, and evictions two versions.
func TestPodActions(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	binding := func(name, node string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":"%s"},"target":{"kind":"Node","name":"%s"}}`, name, node)
	}
	eviction := func(version, name string) string {
		return fmt.Sprintf(`{"apiVersion":"policy/%s","kind":"Eviction","metadata":{"name":"%s"}}`, version, name)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		probe{"create", "POST", core + "pods", fmt.Sprintf(podBody, name, ""), 201, "", `"kind":"Pod"`}.run(t, c)
	}
	for _, p := range []probe{
		{"bind", "POST", core + "bindings", binding("a", "n"), 201, "", `"status":"Success"`},
		{"it is bound", "GET", core + "pods/a", "", 200, "", `"nodeName":"n"`},
		{"bind again", "POST", core + "bindings", binding("a", "m"), 409, "Conflict", `Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n\"`},
		{"bind a missing pod", "POST", core + "bindings", binding("none", "n"), 404, "NotFound", `pods \"none\" not found`},
		{"bind nothing", "POST", core + "bindings", binding("", "n"), 400, "BadRequest", ""},
		{"bind to nothing", "POST", core + "bindings", binding("b", ""), 500, "", "target.name: Required value"},
		{"bind to what is no node", "POST", core + "pods/b/binding", `{"metadata":{"name":"b"},"target":{"kind":"Pod","name":"x"}}`, 500, "", `target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"\u003cempty\u003e\"`},
		{"dry run", "POST", core + "bindings?dryRun=All", binding("b", "n"), 201, "", `"status":"Success"`},
		{"bind at the pod", "POST", core + "pods/b/binding", binding("b", "n"), 201, "", `"status":"Success","code":201`},
		{"bind another's", "POST", core + "pods/c/binding", binding("b", "n"), 400, "BadRequest", "name in URL does not match name in Binding object"},
		{"evict", "POST", core + "pods/c/eviction", eviction("v1", "c"), 201, "", `"status":"Success"`},
		{"evict by the older version", "POST", core + "pods/d/eviction", eviction("v1beta1", "d"), 201, "", `"status":"Success"`},
		{"it is gone", "GET", core + "pods/d", "", 404, "NotFound", ""},
		{"evict without a version", "POST", core + "pods/e/eviction", `{"metadata":{"name":"e"}}`, 201, "", `"status":"Success"`},
		{"evict by an unknown version", "POST", core + "pods/a/eviction", eviction("v2", "a"), 400, "BadRequest", ""},
		{"evict another's", "POST", core + "pods/a/eviction", eviction("v1", "b"), 400, "BadRequest", "name in URL does not match name in Eviction object"},
		{"evict a missing pod", "POST", core + "pods/none/eviction", eviction("v1", "none"), 404, "NotFound", `pods \"none\" not found`},
	} {
		p.run(t, c)
	}
}

// Nobody collects the dependents of events: no finalizer is set for them.
func TestWishesAboutDependentsOfEvents(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	for _, policy := range []string{"Foreground", "Orphan"} {
		event := `{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},"involvedObject":{"namespace":"default"}}`
		for _, p := range []probe{
			{"create", "POST", core + "events", event, 201, "", ""},
			{policy, "DELETE", core + "events/e", `{"propagationPolicy":"` + policy + `"}`, 200, "", `"status":"Success"`},
			{"gone", "GET", core + "events/e", "", 404, "NotFound", ""},
		} {
			p.run(t, c)
		}
	}
}
