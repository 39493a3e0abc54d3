package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
)

// TestMuteUpgrade: a server that takes a request for an upgrade and never says a word
// holds nothing any longer than the client waits.
func TestMuteUpgrade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			asked <- c
		}
	}()
	where := &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "SPDY/3.1")
	h := utilproxy.NewUpgradeAwareHandler(where, Checked{&http.Transport{DialContext: Dialer().DialContext}}, false, true, nobody{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}()
	c := <-asked
	defer c.Close()
	cancel()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		t.Error("it waits for the server after the client has gone")
	}
}

type nobody struct{}

func (nobody) Error(http.ResponseWriter, *http.Request, error) {}
