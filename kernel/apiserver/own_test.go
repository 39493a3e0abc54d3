package apiserver_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// TestServeAs: somebody in the process is served as whom he is said to be, within what is
// allowed and nothing else; a header of his makes him nobody else.
func TestServeAs(t *testing.T) {
	t.Parallel()
	s := kerneltest.Start(t, kerneltest.Options{}).Server
	var asked string
	allow := func(a authorizer.Attributes) error {
		asked = a.GetUser().GetName() + " " + a.GetVerb() + " " + a.GetResource() + " " + a.GetNamespace() + "/" + a.GetName()
		if a.GetResource() == "configmaps" {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: a.GetResource()}, a.GetName(), errors.New("not yours"))
	}
	for _, c := range []struct {
		path, asked string
		code        int
		text        string
	}{
		{"/api/v1/namespaces/default/configmaps/x", "robot get configmaps default/x", http.StatusNotFound, `configmaps \"x\" not found`},
		{"/api/v1/namespaces/default/configmaps", "robot list configmaps default/", http.StatusOK, "ConfigMapList"},
		{"/api/v1/secrets", "robot list secrets /", http.StatusForbidden, "not yours"},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.Header.Set("Authorization", "Bearer nonsense")
		w := httptest.NewRecorder()
		s.ServeAs(w, r, &user.DefaultInfo{Name: "robot"}, allow)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.text) || asked != c.asked {
			t.Errorf("%s: asked %q, %d %s", c.path, asked, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/namespaces/default/configmaps", nil)
	r.Header.Set("Authorization", "Bearer nonsense")
	if s.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("without it: %d", w.Code)
	}
}
