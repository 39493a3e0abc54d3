package apiserver_test

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

const (
	asList   = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	asObject = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	asTable  = "application/json;as=Table;g=meta.k8s.io;v=v1"

	onlyMedia   = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
	available   = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"
	streams     = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
	noMethod    = "the server does not allow this method on the requested resource"
	unsupported = "415: Unsupported Media Type"
)

// What cannot be had in the form that was asked for is refused as upstream
// refuses it: what its router knows of the path in the router's words, with empty
// details, and the rest in its handlers' words.
func TestFormsThatAreNotToBeHad(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	config := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}`
	probe{"create", "POST", core + "configmaps", config, 201, "", ""}.run(t, c)
	for _, tt := range []struct {
		name, method, path, accept, contentType string
		code                                    int
		message                                 string
		routed                                  bool // by the router: details are empty
	}{
		{"an object as a list", "GET", core + "configmaps/m", asList, "", 406, "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)", false},
		{"a list as an object", "GET", core + "configmaps", asObject, "", 406, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)", false},
		{"a list of another group as an object", "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", asObject, "", 406, "you requested PartialObjectMetadata, but the requested object is a list (*rbac.ClusterRoleList)", false},
		{"a patched object as a list", "PATCH", core + "configmaps/m?dryRun=All", asList, "application/merge-patch+json", 406, "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)", false},
		{"a scale as a list", "GET", "/apis/apps/v1/namespaces/default/deployments/none/scale", asList, "", 404, `deployments.apps "none" not found`, false},
		{"a deleted list as an object", "DELETE", core + "secrets", asObject, "", 406, "you requested PartialObjectMetadata, but the requested object is a list (*core.SecretList)", false},
		{"rows that include half", "GET", core + "configmaps?includeObject=Half", asTable, "", 400, `Unable to convert to Table as requested: includeObject: Invalid value: "Half": must be 'Metadata', 'Object', 'None', or empty`, false},
		{"watched rows that include half", "GET", core + "configmaps?watch=1&timeoutSeconds=1&includeObject=Half", asTable, "", 400, `Unable to convert to Table as requested: includeObject: Invalid value: "Half": must be 'Metadata', 'Object', 'None', or empty`, false},
		{"an object as a picture of the group", "GET", core + "configmaps/m", "application/json;as=Picture;g=meta.k8s.io;v=v1", "", 406, onlyMedia, false},
		{"a table as protobuf", "GET", core + "configmaps/m", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", "", 406, onlyMedia, false},
		{"an object as HTML", "GET", core + "configmaps/m", "text/html", "", 406, available, true},
		{"a list as HTML", "GET", core + "configmaps", "text/html", "", 406, available + streams, true},
		{"a watch as YAML", "GET", core + "configmaps?watch=1&timeoutSeconds=1", "application/yaml", "", 406, "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch", false},
		{"any application", "GET", core + "configmaps/m", "application/*", "", 406, available, true},
		{"a made object as HTML", "POST", core + "configmaps", "text/html", "application/json", 406, available, true},
		{"a patch of no kind", "PATCH", core + "configmaps/m", "", "application/json", 415, unsupported, true},
		{"a patch of two kinds", "PATCH", core + "configmaps/m", "", "application/json,application/merge-patch+json", 415, "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml", false},
		{"a body of no kind", "POST", core + "configmaps", "", "text/plain", 415, "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf", false},

		{"the core's version as a table", "GET", "/api/v1", asTable, "", 406, onlyMedia, false},
		{"the core's version as HTML", "GET", "/api/v1", "text/html", "", 406, available, true},
		{"a version as HTML", "GET", "/apis/apps/v1", "text/html", "", 406, available, true},
		{"a version as a table", "GET", "/apis/apps/v1", asTable, "", 406, onlyMedia, false},
		{"a group as a table", "GET", "/apis/apps", asTable, "", 406, onlyMedia, false},
		{"a group as HTML", "GET", "/apis/apps", "text/html", "", 406, onlyMedia, false},
		{"all groups as a table", "GET", "/apis", asTable, "", 406, onlyMedia, false},
		{"all groups as HTML", "GET", "/apis", "text/html", "", 406, onlyMedia, false},
		{"the core's versions as HTML", "GET", "/api", "text/html", "", 406, available, true},
		{"the core's versions with a body of text", "GET", "/api", "", "text/plain", 415, unsupported, true},
		{"a write to the core's versions", "POST", "/api", "", "application/json", 405, noMethod, true},
		{"a write to a version", "PUT", "/apis/apps/v1", "", "application/json", 405, noMethod, true},
		{"a write to the version", "POST", "/version", "", "application/json", 405, noMethod, true},
		{"the version as HTML", "GET", "/version", "text/html", "", 406, "406: Not Acceptable\n\nAvailable representations: application/json", true},
		{"the version with a body of text", "GET", "/version", "", "text/plain", 415, unsupported, true},
		{"a write to the keys", "POST", "/openid/v1/jwks", "", "application/json", 405, noMethod, true},
		{"a write to the issuer", "PUT", "/.well-known/openid-configuration", "", "application/json", 405, noMethod, true},
	} {
		h := map[string]string{}
		if tt.accept != "" {
			h["Accept"] = tt.accept
		}
		if tt.contentType != "" {
			h["Content-Type"] = tt.contentType
		}
		sent := config
		if tt.method == "GET" || tt.method == "DELETE" {
			sent = ""
		}
		resp := do(t, c, tt.method, tt.path, sent, h)
		body := text(t, resp)
		var st metav1.Status
		if err := yaml.Unmarshal([]byte(body), &st); err != nil { // JSON is YAML
			t.Errorf("%s: HTTP %d %s: %v", tt.name, resp.StatusCode, body, err)
			continue
		}
		if resp.StatusCode != tt.code || int(st.Code) != tt.code || st.Message != tt.message || (tt.routed != (st.Details != nil) && tt.code != 404) {
			t.Errorf("%s: HTTP %d %s\nwant %d %q, details %t", tt.name, resp.StatusCode, body, tt.code, tt.message, tt.routed)
		}
		// Who takes no form that there is gets indented JSON.
		if tt.code == 406 && tt.accept != "application/*" && tt.accept != "application/yaml" && !strings.HasPrefix(body, "{\n  \"kind\"") {
			t.Errorf("%s: answered with %.20q", tt.name, body)
		}
	}
}

// Paths that no API group serves answer in plain text whatever the method; those of
// the documents about groups answer any method, since no router stands before them.
func TestPathsWithoutARoute(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	for _, tt := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"POST", "/nope", 404, "404 page not found\n"},
		{"DELETE", "/apis/nope/v1/things/x", 404, "404 page not found\n"},
		{"PUT", "/apis/nope", 404, "404 page not found\n"},
		{"POST", "/apis", 200, `"kind":"APIGroupList"`},
		{"POST", "/apis/apps", 200, `"kind":"APIGroup"`},
		{"GET", "/index.html", 200, `"/apis/apps/v1"`},
		{"GET", "/api/v2", 404, "the server could not find the requested resource"},
		{"GET", "/apis/apps/v1/nope", 404, "the server could not find the requested resource"},
	} {
		resp := do(t, c, tt.method, tt.path, "", nil)
		if body := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %s, want %d %q", tt.method, tt.path, resp.StatusCode, body, tt.code, tt.want)
		}
	}
}

// Every request for a kind that is deprecated is warned of it, whatever the verb.
func TestDeprecatedKindsWarn(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	const want = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
	body := `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"e"}}`
	for _, r := range []struct{ method, path, body, contentType string }{
		{"POST", core + "endpoints", body, "application/json"},
		{"GET", core + "endpoints/e", "", ""},
		{"GET", core + "endpoints", "", ""},
		{"GET", "/api/v1/endpoints", "", ""},
		{"GET", core + "endpoints?watch=1&timeoutSeconds=1", "", ""},
		{"GET", "/api/v1/watch/namespaces/default/endpoints/e?timeoutSeconds=1", "", ""},
		{"PUT", core + "endpoints/e", body, "application/json"},
		{"PATCH", core + "endpoints/e", `{}`, "application/merge-patch+json"},
		{"DELETE", core + "endpoints/e", "", ""},
		{"GET", core + "endpoints/none", "", ""},
		{"DELETE", core + "endpoints?labelSelector=a=b", "", ""},
	} {
		resp := do(t, c, r.method, r.path, r.body, map[string]string{"Content-Type": r.contentType})
		if got := strings.Join(resp.Header.Values("Warning"), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s %s: %d, warning %q", r.method, r.path, resp.StatusCode, got)
		}
	}
}

// The plural of a kind is that of its definition in every text.
func TestNamesOfBindingsOfPolicies(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	ann := kerneltest.Client(t, c.User(t, "ann")).AdmissionregistrationV1()
	for name, err := range map[string]error{
		"validatingadmissionpolicybindings": func() error {
			_, err := ann.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
			return err
		}(),
		"validatingwebhookconfigurations": func() error {
			_, err := ann.ValidatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
			return err
		}(),
	} {
		want := name + `.admissionregistration.k8s.io is forbidden: User "ann" cannot create resource "` + name + `" in API group "admissionregistration.k8s.io" at the cluster scope`
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	const path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
	made := `{"metadata":{"name":"b"},"spec":{"policyName":"p","validationActions":["Deny"]}}`
	for _, p := range []probe{
		{"create", "POST", path, made, 201, "", `"kind":"ValidatingAdmissionPolicyBinding"`},
		{"create again", "POST", path, made, 409, "AlreadyExists", `validatingadmissionpolicybindings.admissionregistration.k8s.io \"b\" already exists`},
		{"get another", "GET", path + "/c", "", 404, "NotFound", `validatingadmissionpolicybindings.admissionregistration.k8s.io \"c\" not found`},
		{"delete", "DELETE", path + "/b", "", 200, "", `"kind":"validatingadmissionpolicybindings"`},
	} {
		p.run(t, c)
	}
}

// Lists of nothing have items, none; what is made of them has null where upstream
// never adds anything.
func TestListsOfNothing(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	for _, tt := range []struct{ path, accept, want string }{
		{core + "secrets", "application/json", `"items":[]`},
		{core + "secrets", asList, `"items":null`},
		{core + "secrets", asTable, `"rows":[]`},
		{core + "limitranges", asTable, `"rows":null`},
		{"/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", asTable, `"rows":null`},
	} {
		resp := get(t, c, tt.path+"?labelSelector=no=such", map[string]string{"Accept": tt.accept})
		if body := text(t, resp); resp.StatusCode != 200 || !strings.Contains(body, tt.want) {
			t.Errorf("%s as %s: %d %s, want %s", tt.path, tt.accept, resp.StatusCode, body, tt.want)
		}
	}
}

// How many are left is told of lists that nothing selects from.
func TestRemainingItems(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	for _, name := range []string{"a", "b", "c"} {
		probe{"create", "POST", core + "configmaps", `{"metadata":{"name":"` + name + `","labels":{"l":"x"}}}`, 201, "", ""}.run(t, c)
	}
	for query, want := range map[string]bool{
		"?limit=1": true, "?limit=1&labelSelector=l=x": false, "?limit=1&fieldSelector=metadata.namespace=default": false, "?limit=1&fieldSelector=metadata.name!=b": false,
	} {
		body := text(t, get(t, c, core+"configmaps"+query, nil))
		if !strings.Contains(body, `"continue":"`) || strings.Contains(body, `"remainingItemCount":`) != want {
			t.Errorf("%s: %.200s, want a count: %t", query, body, want)
		}
	}
}

// A watch that asks for the present objects as of a revision that is not there yet
// is told so inside the stream.
func TestWatchListOfTheFuture(t *testing.T) {
	t.Parallel()
	c := kubernetesCluster(t)
	resp := get(t, c, core+"configmaps?watch=1&timeoutSeconds=5&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=18446744073709551615", nil)
	if body := text(t, resp); resp.StatusCode != 200 || !strings.Contains(body, `"type":"ERROR"`) || !strings.Contains(body, "Too large resource version") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
