package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/node/api/access"
)

// reviewer answers as an API server on which "monitor" has the token "good" and
// the rights that are given, as "get nodes/metrics"; asked counts.
func reviewer(t *testing.T, rights ...string) (*access.Reviewer, *int) {
	t.Helper()
	asked := 0
	c := fake.NewClientset()
	c.PrependReactor("create", "tokenreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		asked++
		r := a.(kubetesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		if r.Spec.Token == "good" {
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "monitor", Groups: []string{"g"}}}
		}
		return true, r, nil
	})
	c.PrependReactor("create", "subjectaccessreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		asked++
		r := a.(kubetesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		at := r.Spec.ResourceAttributes
		for _, right := range rights {
			r.Status.Allowed = r.Status.Allowed || r.Spec.User == "monitor" && at.Name == "n" && right == at.Verb+" "+at.Resource+"/"+at.Subresource
		}
		return true, r, nil
	})
	return access.New(c, "n"), &asked
}

// Each path needs its own right, and "proxy" is not the way to figures nor the
// right to figures the way to commands.
func TestRights(t *testing.T) {
	for _, tc := range []struct{ right, method, path, upgrade, want string }{
		{"get nodes/metrics", "GET", "/metrics", "", "true"},
		{"get nodes/metrics", "GET", "/metrics/resource", "", "true"},
		{"get nodes/metrics", "GET", "/metricsx", "", "false"},
		{"get nodes/metrics", "POST", "/metrics", "", "false"},
		{"get nodes/metrics", "GET", "/stats/summary", "", "false"},
		{"get nodes/metrics", "POST", "/exec/default/p/c", "", "false"},
		{"get nodes/stats", "GET", "/stats/summary", "", "true"},
		{"get nodes/log", "GET", "/logs/", "", "true"},
		{"get nodes/pods", "GET", "/pods", "", "true"},
		{"get nodes/pods", "GET", "/runningpods/", "", "true"},
		{"get nodes/healthz", "GET", "/healthz", "", "true"},
		{"get nodes/proxy", "GET", "/pods", "", "true"},
		{"get nodes/proxy", "GET", "/metrics", "", "false"},
		{"get nodes/proxy", "GET", "/containerLogs/default/p/c", "", "true"},
		{"get nodes/proxy", "GET", "/debug/pprof/heap", "", "true"},
		{"get nodes/proxy", "GET", "/exec/default/p/c", "websocket", "false"},
		{"create nodes/proxy", "GET", "/exec/default/p/c", "websocket", "true"},
		{"create nodes/proxy", "POST", "/exec/default/p/c", "SPDY/3.1", "true"},
		{"get nodes/proxy", "TRACE", "/pods", "", "false"},
	} {
		r, _ := reviewer(t, tc.right)
		req := httptest.NewRequest(tc.method, tc.path, nil)
		if tc.upgrade != "" {
			req.Header.Set("Upgrade", tc.upgrade)
		}
		u, err := r.Authenticate(t.Context(), "good")
		if err != nil || u == nil || u.Name != "monitor" {
			t.Fatal(u, err)
		}
		ok, err := r.Authorize(t.Context(), u, req)
		if fmt.Sprint(ok) != tc.want || err != nil {
			t.Errorf("with %q, %s %s %s: %v, %v; want %s", tc.right, tc.method, tc.path, tc.upgrade, ok, err, tc.want)
		}
	}
}

func TestTokens(t *testing.T) {
	r, asked := reviewer(t)
	for token, want := range map[string]bool{"good": true, "bad": false, "": false, strings.Repeat("x", 17<<10): false} {
		for range 3 {
			u, err := r.Authenticate(t.Context(), token)
			if (u != nil) != want || err != nil {
				t.Errorf("token %.10q: %v, %v", token, u, err)
			}
		}
	}
	if *asked != 2 {
		t.Errorf("asked %d times about two tokens that can be good", *asked)
	}
	for header, want := range map[string]string{"": "", "Bearer x": "x", "bearer  x ": "x", "Basic x": "", "x": ""} {
		if got := access.Bearer(&http.Request{Header: http.Header{"Authorization": {header}}}); got != want {
			t.Errorf("%q: token %q, want %q", header, got, want)
		}
	}
}

// Strangers cannot make the agent flood the API server, and who cannot be asked
// about is not let in.
func TestFailsClosed(t *testing.T) {
	c := fake.NewClientset()
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	c.PrependReactor("create", "tokenreviews", func(kubetesting.Action) (bool, runtime.Object, error) {
		entered <- struct{}{}
		<-leave
		return true, nil, errors.New("unavailable")
	})
	r := access.New(c, "n")
	done := make(chan error, 100)
	busy := 0
	for i := range 40 {
		go func() {
			u, err := r.Authenticate(context.Background(), fmt.Sprint("token", i))
			if u != nil {
				err = errors.New("let in")
			}
			done <- err
		}()
	}
	for range 40 - 16 {
		if err := <-done; !errors.Is(err, access.ErrBusy) {
			t.Errorf("beyond what is asked at once: %v", err)
		}
		busy++
	}
	// The fake client serves one call after the other: one has entered.
	<-entered
	close(leave)
	for range 40 - busy {
		if err := <-done; err == nil || errors.Is(err, access.ErrBusy) {
			t.Errorf("unavailable: %v", err)
		}
	}
}
