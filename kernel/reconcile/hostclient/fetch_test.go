package hostclient_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// reading is what a test fetches.
type reading struct {
	Kind  string `json:"kind"`
	Items []struct {
		Value string `json:"value"`
		Big   int64  `json:"big"`
	} `json:"items"`
}

// TestFetch: what is served is decoded; what goes wrong is told apart, and bounded.
func TestFetch(t *testing.T) {
	status := func(err *apierrors.StatusError) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			err.ErrStatus.Kind, err.ErrStatus.APIVersion = "Status", "v1"
			w.WriteHeader(int(err.ErrStatus.Code))
			_ = json.NewEncoder(w).Encode(err.ErrStatus)
		}
	}
	text := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	metrics := schema.GroupResource{Group: "m.example", Resource: "loads"}
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		is    func(error) bool
		text  string
	}{
		"served":            {text(200, `{"kind":"L","items":[{"value":"5","big":9007199254740993}]}`), nil, ""},
		"no such group":     {text(404, "404 page not found\n"), client.IsUnsupported, "the server could not find the requested resource (get loads.m.example)"},
		"no such object":    {status(apierrors.NewNotFound(metrics, "x")), client.IsNotFound, `loads.m.example "x" not found`},
		"not allowed there": {status(apierrors.NewForbidden(metrics, "x", errors.New("no"))), client.IsForbidden, "no"},
		"away":              {text(503, "service unavailable"), client.IsUnavailable, "unable to handle the request (get loads.m.example x)"},
		"broken off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, client.IsUnavailable, "broke off"},
		"no JSON":           {text(200, "<html>"), client.IsUnavailable, "no JSON object"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		}, is(wire.ErrBadRequest), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var asked string
			b.config.Served = func(w http.ResponseWriter, r *http.Request, allow func(authorizer.Attributes) error) {
				asked = r.URL.String()
				tt.serve(w, r)
			}
			var got reading
			err := b.c.Fetch(&got, client.FetchOptions{Resource: "m.example/v1/loads", Namespace: "default", Name: "x", Subresource: "s", Labels: "a=b", Params: map[string]string{"p": "q&r"}})
			if want := "/apis/m.example/v1/namespaces/default/loads/x/s?labelSelector=a%3Db&p=q%26r"; asked != want {
				t.Errorf("asked %s, want %s", asked, want)
			}
			switch {
			case tt.is == nil:
				if err != nil || got.Kind != "L" || len(got.Items) != 1 || got.Items[0].Value != "5" || got.Items[0].Big != 9007199254740993 {
					t.Errorf("got %+v, %v", got, err)
				}
			case !tt.is(err) || !strings.Contains(err.Error(), tt.text):
				t.Errorf("got %v", err)
			}
		})
	}
}

func is(kind error) func(error) bool { return func(err error) bool { return errors.Is(err, kind) } }

// TestFetchRefused: what is stored, streams, or is no path is not asked for; nor what the
// plugin may not, by its own words or by the API's reading of them.
func TestFetchRefused(t *testing.T) {
	b := newBench(t)
	b.config.Served = func(w http.ResponseWriter, _ *http.Request, allow func(authorizer.Attributes) error) {
		if err := allow(authorizer.AttributesRecord{Verb: "get", APIGroup: "m.example", APIVersion: "v1", Resource: "secrets", Name: "x", ResourceRequest: true}); err == nil {
			t.Error("the API's reading of a path is not compared")
		}
		w.WriteHeader(http.StatusForbidden)
	}
	b.config.Allow = func(_ string, at registry.Target) error {
		if at.Resource.Group == "closed.example" {
			return wire.Errorf(wire.KindForbidden, "no")
		}
		return nil
	}
	for name, tt := range map[string]struct {
		f    client.FetchOptions
		want error
	}{
		"stored":         {client.FetchOptions{Resource: "apps/v1/deployments"}, wire.ErrBadRequest},
		"core":           {client.FetchOptions{Resource: "v1/pods", Namespace: "default", Name: "x", Subresource: "log"}, wire.ErrBadRequest},
		"watched":        {client.FetchOptions{Resource: "m.example/v1/loads", Params: map[string]string{"watch": "1"}}, wire.ErrBadRequest},
		"a path":         {client.FetchOptions{Resource: "m.example/v1/loads", Name: "../x"}, wire.ErrBadRequest},
		"of no name":     {client.FetchOptions{Resource: "m.example/v1/loads", Subresource: "s"}, wire.ErrBadRequest},
		"not allowed":    {client.FetchOptions{Resource: "closed.example/v1/loads"}, wire.ErrForbidden},
		"read otherwise": {client.FetchOptions{Resource: "m.example/v1/loads", Name: "x"}, wire.ErrForbidden},
	} {
		if err := b.c.Fetch(&reading{}, tt.f); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if res, err := b.c.ResourceOf("apps/v1beta1", "Deployment"); err != nil || res != "apps/v1/deployments" {
		t.Errorf("resource of Deployment: %s, %v", res, err)
	}
	if _, err := b.c.ResourceOf("apps/v1", "Nothing"); !client.IsUnsupported(err) {
		t.Errorf("resource of nothing: %v", err)
	}
}
