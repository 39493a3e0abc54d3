package fairness_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// BenchmarkRequest is a small request through all filters, at a server with priority
// and fairness and at one without: what a turn costs is the difference.
func BenchmarkRequest(b *testing.B) {
	authorized := func(c *apiserver.Config) {
		c.Authenticator = authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "system:serviceaccount:default:x",
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:default", user.AllAuthenticated}}}, true, nil
		})
	}
	handler := func(disabled bool) http.Handler {
		return kerneltest.Start(b, kerneltest.Options{Table: table(b), Adjust: kernel.Adjust{API: authorized},
			Config: func(c *kernel.Config) { c.DisableFairness = disabled }}).Server
	}
	servers := map[string]http.Handler{"inflight": handler(true), "fairness": handler(false)}
	// One after the other, and again: what the machine does besides hits both.
	for _, name := range []string{"inflight", "fairness", "inflight", "fairness", "inflight", "fairness"} {
		h := servers[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/version", nil)
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Errorf("%d %s", w.Code, w.Body)
						return
					}
				}
			})
		})
	}
}
