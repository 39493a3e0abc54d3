package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/node/api"
	"github.com/pintle-io/pintle/node/api/access"
	"github.com/pintle-io/pintle/node/stats"
)

// Monitoring reads figures with the token of its account, and nothing else; a
// token never makes anybody the API server.
func TestTokensOfMonitoring(t *testing.T) {
	users := map[string]authenticationv1.UserInfo{
		"monitor": {Username: "system:serviceaccount:monitoring:prometheus"},
		"masters": {Username: "x", Groups: []string{api.Masters}},
		"name":    {Username: "kube-apiserver-kubelet-client"},
	}
	c := fake.NewClientset()
	c.PrependReactor("create", "tokenreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		r := a.(kubetesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		if u, ok := users[r.Spec.Token]; ok {
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: u}
		}
		return true, r, nil
	})
	c.PrependReactor("create", "subjectaccessreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		r := a.(kubetesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		at := r.Spec.ResourceAttributes
		r.Status.Allowed = r.Spec.User == users["monitor"].Username && at.Verb == "get" && at.Resource == "nodes" && at.Subresource == "metrics"
		return true, r, nil
	})
	cert := httptest.NewTLSServer(nil)
	cert.Close()
	s := api.New(api.Config{Stats: &stats.Source{}, Metrics: prometheus.NewRegistry(), Names: []string{"kube-apiserver-kubelet-client"}, Access: access.New(c, "n")})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, &tls.Config{Certificates: cert.TLS.Certificates}, x509.NewCertPool()) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer hc.CloseIdleConnections()
	for _, tc := range []struct {
		token, method, path string
		want                int
	}{
		{"", "GET", "/metrics", http.StatusUnauthorized},
		{"nobody", "GET", "/metrics", http.StatusUnauthorized},
		{"monitor", "GET", "/metrics", http.StatusOK},
		{"monitor", "GET", "/pods", http.StatusForbidden},
		{"monitor", "GET", "/stats/summary", http.StatusForbidden},
		{"monitor", "GET", "/containerLogs/default/p/c", http.StatusForbidden},
		{"monitor", "POST", "/exec/default/p/c", http.StatusForbidden},
		{"monitor", "GET", "/metrics/../pods", http.StatusForbidden},
		{"masters", "GET", "/metrics", http.StatusForbidden},
		{"name", "GET", "/metrics", http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "https://"+l.Addr().String()+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.token != "" {
			req.Header.Set("Authorization", "Bearer "+tc.token)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%q: %s %s: %s, want %d", tc.token, tc.method, tc.path, resp.Status, tc.want)
		}
	}
}
