package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

var errorCases = []Case{
	{Name: "errors/bodies", Stands: "API conventions: response status kind", Run: errorBodies},
	{Name: "errors/causes", Stands: "API conventions: details.causes of Invalid", Run: errorCauses},
	{Name: "errors/requests", Stands: "API conventions: HTTP status codes", Run: errorRequests},
}

func statusOf(err error) metav1.Status {
	var st apierrors.APIStatus
	if errors.As(err, &st) {
		return st.Status()
	}
	return metav1.Status{}
}

func errorBodies(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	_, none := c.Get(ctx, "none", get)
	s := statusOf(none)
	errs := []error{missing("read of no object", none), same("message", s.Message, `configmaps "none" not found`), same("status", s.Status, metav1.StatusFailure)}
	if s.Details == nil || s.Details.Name != "none" || s.Details.Kind != "configmaps" {
		errs = append(errs, fmt.Errorf("details are %+v, want name none and kind configmaps", s.Details))
	}
	if _, err := c.Create(ctx, configMap("a"), create); err != nil {
		return err
	}
	_, twice := c.Create(ctx, configMap("a"), create)
	errs = append(errs, refused("a second create", twice, 409, metav1.StatusReasonAlreadyExists), same("message", statusOf(twice).Message, `configmaps "a" already exists`))
	b, err := e.Client.CoreV1().RESTClient().Delete().Namespace(e.Namespace).Resource("configmaps").Name("a").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return err
	}
	var done metav1.Status
	errs = append(errs, json.Unmarshal(b, &done), same("kind of the answer to delete", done.Kind, "Status"), same("its status", done.Status, metav1.StatusSuccess))
	return errors.Join(errs...)
}

func errorCauses(ctx context.Context, e *Env) error {
	p := pod("a", nil)
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "c", Image: ""})
	p.Spec.RestartPolicy = "Sometimes"
	_, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, p, create)
	if err := invalid("a pod with three faults", err); err != nil {
		return err
	}
	got := map[string]bool{}
	if d := statusOf(err).Details; d != nil {
		for _, c := range d.Causes {
			got[string(c.Type)+" "+c.Field] = true
		}
	}
	var errs []error
	for _, want := range []string{"FieldValueDuplicate spec.containers[1].name", "FieldValueRequired spec.containers[1].image", "FieldValueNotSupported spec.restartPolicy"} {
		if !got[want] {
			errs = append(errs, fmt.Errorf("causes %v lack %s", got, want))
		}
	}
	if want := `Pod "a" is invalid: `; !strings.HasPrefix(err.Error(), want) {
		errs = append(errs, fmt.Errorf("message %q does not begin with %q", err, want))
	}
	return errors.Join(errs...)
}

func errorRequests(ctx context.Context, e *Env) error {
	client, err := rest.HTTPClientFor(e.REST)
	if err != nil {
		return err
	}
	base, _, err := rest.DefaultServerUrlFor(e.REST)
	if err != nil {
		return err
	}
	maps := "/api/v1/namespaces/" + e.Namespace + "/configmaps"
	var errs []error
	for _, x := range []struct {
		method, path, body string
		code               int
		plain              bool // the answer is text: no resource is asked for
	}{
		{method: "GET", path: "/api/v1/colours", code: 404},
		{method: "GET", path: "/apis/none.example.com/v1", code: 404, plain: true},
		{method: "GET", path: "/nowhere", code: 404, plain: true},
		{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap",`, code: 400},
		{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`, code: 400},
		{method: "POST", path: maps, body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":7}}`, code: 400},
		{method: "PUT", path: maps, body: `{}`, code: 405},
		{method: "PATCH", path: maps + "/a", body: `{}`, code: 415},
		{method: "PUT", path: maps + "/b", body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, code: 400},
		{method: "GET", path: maps + "?limit=x", code: 400},
	} {
		req, err := http.NewRequestWithContext(ctx, x.method, strings.TrimSuffix(base.String(), "/")+x.path, strings.NewReader(x.body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		var s metav1.Status
		decode := json.NewDecoder(res.Body).Decode(&s)
		res.Body.Close()
		what := x.method + " " + x.path + " " + x.body
		errs = append(errs, same("code of "+what, res.StatusCode, x.code))
		if !x.plain {
			errs = append(errs, decode, same("code in the body of "+what, int(s.Code), x.code))
		}
	}
	return errors.Join(errs...)
}
