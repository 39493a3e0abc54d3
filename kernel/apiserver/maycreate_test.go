package apiserver_test

import (
	"context"
	"testing"

	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// noCreate allows everything but to create.
type noCreate struct{}

func (noCreate) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetVerb() == "create" {
		return authorizer.DecisionNoOpinion, "", nil
	}
	return authorizer.DecisionAllow, "", nil
}

// The right to update or to patch is not the right to create: it is asked for where
// a PUT or an apply would create, and nowhere else.
func TestCreationByOtherVerbs(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Authorizer = noCreate{} }}})
	const (
		cms    = "/api/v1/namespaces/default/configmaps/m"
		leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases/m"
		js     = "application/json"
		apply  = "application/apply-patch+yaml"
		merge  = "application/merge-patch+json"
	)
	for name, tc := range map[string]struct {
		method, path, body, contentType string
		code                            int
	}{
		"an update that would create":        {"PUT", leases, `{"metadata":{"name":"m"}}`, js, 403},
		"an update of what it cannot create": {"PUT", cms, `{"metadata":{"name":"m"}}`, js, 404},
		"an apply":                           {"PATCH", cms + "?fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}`, apply, 403},
		"another patch":                      {"PATCH", cms, `{}`, merge, 404},
		"an apply to what is there":          {"PATCH", "/api/v1/namespaces/default?fieldManager=m", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default","labels":{"a":"b"}}}`, apply, 200},
	} {
		resp := do(t, c, tc.method, tc.path, tc.body, map[string]string{"Content-Type": tc.contentType})
		if body := text(t, resp); resp.StatusCode != tc.code {
			t.Errorf("%s: got %d %s, want %d", name, resp.StatusCode, body, tc.code)
		}
	}
}
