package apiserver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, cs := withAgent(t, c, "n1")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a client's credentials reached the pod")
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
	}))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cs.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.PodIP = u.Hostname()
	if _, err := cs.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	base := "/api/v1/namespaces/default/pods/p:" + u.Port() + "/proxy"
	tests := []struct {
		method, path, body, want string
		code                     int
	}{
		{"GET", base + "/a/b?c=d", "", "GET /a/b?c=d ", 200},
		{"POST", base + "/form", "data", "POST /form data", 200},
		{"DELETE", base + "/x/", "", "DELETE /x/ ", 200},
		{"OPTIONS", base + "/a?c=d", "", "OPTIONS /a?c=d ", 200},
		{"OPTIONS", base, "", "OPTIONS / ", 200},
		{"PUT", base, "data", "PUT / data", 200},
		{"GET", base + "/", "", "GET / ", 200},
		{"HEAD", base + "/a", "", "", 200},
		{"OPTIONS", "/api/v1/nodes/n1/proxy/stats/summary", "", "OPTIONS /stats/summary", 200},
		{"OPTIONS", "/api/v1/namespaces/default/pods/p/log", "", "", 405},
		{"OPTIONS", "/api/v1/namespaces/default/pods/p", "", "", 405},
		{"GET", "/api/v1/nodes/n1/proxy/stats/summary?x=1", "", "GET /stats/summary?x=1", 200},
		{"GET", "/api/v1/namespaces/default/pods/a:b:c:d/proxy/", "", "invalid pod request", 400},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			resp := do(t, c, tt.method, tt.path, tt.body, map[string]string{"Content-Type": "text/plain"})
			if got := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, got, tt.code, tt.want)
			}
		})
	}
	hc := c.HTTP()
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, r := range []struct {
		method, path, to string
		code             int
	}{
		{http.MethodGet, base + "/moved", base + "/elsewhere", http.StatusFound},
		// Without a slash links of a page would lead beside the proxy.
		{http.MethodGet, base + "?a=b", base + "/?a=b", http.StatusMovedPermanently},
		{http.MethodHead, base, base + "/", http.StatusMovedPermanently},
		{http.MethodGet, "/api/v1/nodes/n1/proxy", "/api/v1/nodes/n1/proxy/", http.StatusMovedPermanently},
	} {
		req, err := http.NewRequestWithContext(t.Context(), r.method, c.URL+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != r.code || !strings.HasSuffix(got, r.to) {
			t.Errorf("%s %s: %d to %q, want %d to %q", r.method, r.path, resp.StatusCode, got, r.code, r.to)
		}
	}
}

// A pod is reached by TLS where the path says so, whatever its certificate.
func TestProxyTLS(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, cs := withAgent(t, c, "n1")
	backend := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `%s %s <a href="/rewriteme">`, r.Method, r.URL.RequestURI())
	}))
	defer backend.Close()
	u, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	pods := cs.CoreV1().Pods("default")
	p, err := pods.Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.PodIP = u.Hostname()
	if _, err := pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	const ns = "/api/v1/namespaces/default"
	for _, at := range []string{"/pods/https:p:" + u.Port()} {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			resp := do(t, c, method, ns+at+"/proxy/a?b=c", "", nil)
			if got := text(t, resp); resp.StatusCode != http.StatusOK || got != method+` /a?b=c <a href="/rewriteme">` {
				t.Errorf("%s %s: %d %q", method, at, resp.StatusCode, got)
			}
		}
	}
	if resp := do(t, c, http.MethodGet, ns+"/pods/p:"+u.Port()+"/proxy/", "", nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP to a TLS port: %d %q, want the backend's 400", resp.StatusCode, text(t, resp))
	}
}

// OPTIONS has no verb, so that rights to other verbs do not grant it.
func TestProxyOptionsTakesEveryVerb(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	withAgent(t, c, "n1")
	grant(t, c, "getter", "get", "pods/proxy")
	hc, err := rest.HTTPClientFor(c.User(t, "getter"))
	if err != nil {
		t.Fatal(err)
	}
	for method, forbidden := range map[string]bool{http.MethodOptions: true, http.MethodGet: false} {
		req, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/api/v1/namespaces/default/pods/p:1/proxy/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == http.StatusForbidden) != forbidden {
			t.Errorf("%s: %d, want forbidden: %v", method, resp.StatusCode, forbidden)
		}
	}
}

// The log comes as messages, in the subprotocol that the client prefers.
func TestLogsOverWebSocket(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	a, _ := withAgent(t, c, "n1")
	dial := func(query string, protocols ...string) (*websocket.Conn, error) {
		cfg, err := websocket.NewConfig("wss"+strings.TrimPrefix(c.URL, "https")+"/api/v1/namespaces/default/pods/p/log"+query, c.URL)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.TlsConfig, err = rest.TLSConfigFor(c.Admin()); err != nil {
			t.Fatal(err)
		}
		cfg.Protocol = protocols
		return cfg.DialContext(t.Context())
	}
	for _, tc := range []struct {
		protocols []string
		want      string
	}{
		{nil, "first\n"},
		{[]string{"binary.k8s.io"}, "first\n"},
		{[]string{"none.of.ours", "base64.binary.k8s.io"}, "Zmlyc3QK"},
	} {
		ws, err := dial("", tc.protocols...)
		if err != nil {
			t.Fatalf("%v: %v", tc.protocols, err)
		}
		var got string
		for {
			var piece []byte
			if err := websocket.Message.Receive(ws, &piece); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			got += string(piece)
		}
		ws.Close()
		if got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.protocols, got, tc.want)
		}
	}
	if _, err := dial("", "none.of.ours"); err == nil {
		t.Error("a subprotocol that nobody speaks was accepted")
	}
	if _, err := dial("?tailLines=0"); err == nil {
		t.Error("what the agent refuses was accepted")
	}
	ws, err := dial("?follow=true", "binary.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	receive := func(want string) {
		t.Helper()
		for {
			var piece []byte
			if err := websocket.Message.Receive(ws, &piece); err != nil {
				t.Fatalf("%v, want %q", err, want)
			}
			if len(piece) > 0 {
				if string(piece) != want {
					t.Errorf("got %q, want %q", piece, want)
				}
				return
			}
		}
	}
	receive("first\n")
	close(a.release)
	receive("second\n")
}
