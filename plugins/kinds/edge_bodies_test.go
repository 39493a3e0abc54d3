package kinds_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is no object of the kind is refused in upstream's words, which name the types
// that upstream has of both.
func TestForeignBodies(t *testing.T) {
	e := newEdge(t)
	const cms = "/api/v1/namespaces/default/configmaps"
	for _, tc := range []struct{ name, path, media, body, want string }{
		{"another kind", cms, "", `{"apiVersion":"v1","kind":"Secret"}`,
			`Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion`},
		{"another group and kind", cms, "", `{"apiVersion":"apps/v1","kind":"Deployment"}`,
			`Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion`},
		{"a list", cms, "", `{"apiVersion":"v1","kind":"List","items":[]}`,
			`List in version "v1" cannot be handled as a ConfigMap: converting (v1.List) to (core.ConfigMap): unknown conversion`},
		{"a status", "/apis/apps/v1/namespaces/default/deployments", "", `{"apiVersion":"v1","kind":"Status"}`,
			`Status in version "v1" cannot be handled as a Deployment: converting (v1.Status) to (apps.Deployment): unknown conversion`},
		{"another version", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", "", `{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"}`,
			"the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)"},
		{"the same kind of another group", "/apis/events.k8s.io/v1/namespaces/default/events", "", `{"apiVersion":"v1","kind":"Event"}`,
			"the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)"},
		{"no protobuf", cms, "application/vnd.kubernetes.protobuf", `{"kind":"ConfigMap"}`,
			`the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({"kind":"ConfigMap"})`},
		{"an empty protobuf", cms, "application/vnd.kubernetes.protobuf", "k8s\x00",
			`the object provided is unrecognized (must be of type ConfigMap): empty body (6b387300)`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			media := tc.media
			if media == "" {
				media = "application/json"
			}
			code, body, _ := e.do(t, "POST", tc.path, media, "", tc.body)
			var st metav1.Status
			if err := json.Unmarshal([]byte(body), &st); err != nil || code != 400 || st.Message != tc.want {
				t.Errorf("%d %q, %v; want %q", code, st.Message, err, tc.want)
			}
		})
	}
}

// What is wrong in metadata is told once, although the server and the kind both find it.
func TestErrorsOfMetadataAreToldOnce(t *testing.T) {
	e := newEdge(t)
	const path = "/api/v1/namespaces/default/configmaps"
	if code, body, _ := e.do(t, "POST", path, "application/json", "", `{"metadata":{"name":"c"}}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	code, body, _ := e.do(t, "PUT", path+"/c", "application/json", "", `{"metadata":{"name":"c","labels":{"a b":"x"}}}`)
	var st metav1.Status
	if err := json.Unmarshal([]byte(body), &st); err != nil || code != 422 || len(st.Details.Causes) != 1 || strings.Count(st.Message, "metadata.labels") != 1 {
		t.Errorf("%d %s, %v", code, body, err)
	}
}

// Whoever deletes a Job without a word on its pods is told that they stay.
func TestPodsOfADeletedJobStay(t *testing.T) {
	e := newEdge(t)
	const (
		jobs    = "/apis/batch/v1/namespaces/default/jobs"
		cms     = "/api/v1/namespaces/default/configmaps"
		warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
	)
	for i, tc := range []struct {
		path, body string
		warned     bool
	}{
		{jobs + "/none", "", true}, // whatever comes of it, as upstream's
		{jobs, "", true},
		{jobs + "/none", `{"propagationPolicy":"Background"}`, false},
		{jobs + "/none?orphanDependents=true", "", false},
		{jobs + "/none?propagationPolicy=Sideways", "", false},
		{cms + "/none", "", false},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, _, texts := e.do(t, "DELETE", tc.path, "application/json", "", tc.body)
			if slices.Contains(texts, warning) != tc.warned {
				t.Errorf("%s %s: warnings %q", tc.path, tc.body, texts)
			}
		})
	}
}

// Of a field that is there twice the client is told, also when the apply is refused.
func TestRefusedApplyWarns(t *testing.T) {
	e := newEdge(t)
	code, body, texts := e.do(t, "PATCH", "/api/v1/namespaces/default/configmaps/c?fieldManager=m", "application/apply-patch+yaml", "",
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  labels: {\"a b\": x}\ndata:\n  k: \"1\"\n  k: \"2\"\n")
	if code != 422 || !slices.Contains(texts, `line 8: key "k" already set in map`) {
		t.Errorf("%d %s, warnings %q", code, body, texts)
	}
}

// Who takes none of the media types is turned away without a warning, as by
// upstream's router.
func TestRefusedReadDoesNotWarn(t *testing.T) {
	e := newEdge(t)
	for accept, warned := range map[string]bool{"application/xml": false, "application/json": true, "": true} {
		code, _, texts := e.do(t, "GET", "/api/v1/namespaces/default/endpoints", "", accept, "")
		if (len(texts) > 0) != warned || (code == 200) != warned {
			t.Errorf("Accept %q: %d, warnings %q", accept, code, texts)
		}
	}
}

// Whoever sends a DaemonSet owns the count of its templates, which the server keeps in
// an annotation.
func TestTemplateCountHasAManager(t *testing.T) {
	e := newEdge(t)
	const path = "/apis/apps/v1/namespaces/default/daemonsets"
	code, body, _ := e.do(t, "POST", path, "application/json", "", `{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},`+
		`"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	var d appsv1.DaemonSet
	if err := json.Unmarshal([]byte(body), &d); err != nil || code != 201 {
		t.Fatalf("%d %s, %v", code, body, err)
	}
	if got := d.Annotations[appsv1.DeprecatedTemplateGeneration]; got != "1" {
		t.Errorf("count %q", got)
	}
	if !strings.Contains(body, `"f:annotations":{".":{},"f:deprecated.daemonset.template.generation":{}}`) {
		t.Errorf("the annotation has no manager: %s", body)
	}
}

// The times and uid that a client sends with a question are no part of it.
func TestQuestionsAreWiped(t *testing.T) {
	e := newEdge(t)
	code, body, _ := e.do(t, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "application/json", "",
		`{"metadata":{"name":"n","uid":"u","deletionTimestamp":"2020-01-02T03:04:05Z"},"spec":{"user":"u","nonResourceAttributes":{"path":"/","verb":"get"}}}`)
	if code != 422 || strings.Contains(body, "2020-01-02") || !strings.Contains(body, "must be empty") {
		t.Errorf("%d %s", code, body)
	}
}
