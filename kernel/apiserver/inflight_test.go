package apiserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// raw sends the head of an HTTP/1.1 request and returns the status line of the
// first answer: "100 Continue" when the server wants the body.
func raw(t *testing.T, c *kerneltest.Server, cfg *rest.Config, head string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	tc, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tc.NextProtos = []string{"http/1.1"}
	host := strings.TrimPrefix(c.URL, "https://")
	tc.ServerName, _, _ = net.SplitHostPort(host)
	tcp, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	_ = tcp.(*net.TCPConn).SetReadBuffer(4 << 10)
	conn := tls.Client(tcp, tc)
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "%s\r\nHost: %s\r\n\r\n", head, host)
	r := bufio.NewReaderSize(conn, 16)
	return conn, r, statusLine(t, r)
}

func statusLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "HTTP/1.1 "))
}

// slowBody announces a body that never comes, at an endpoint that every account
// may use.
func slowBody(t *testing.T, c *kerneltest.Server, cfg *rest.Config, size int) string {
	t.Helper()
	_, _, status := raw(t, c, cfg, fmt.Sprintf("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP/1.1\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue", size))
	return status
}

// writes makes a ConfigMap and returns the error.
func writes(t *testing.T, cfg *rest.Config, name string) error {
	_, err := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default").Create(t.Context(), configMap(name, nil), metav1.CreateOptions{})
	return err
}

const wanted = "100 Continue"

// One account without any right must not keep others from writing by sending
// bodies slowly.
func TestSlowBodiesHoldNoSlot(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Limits.WriteInFlight, cfg.Limits.BodiesInFlight = 2, 16
	}}})
	grant(t, c, "writer", "create", "configmaps")
	mallory := c.User(t, "mallory")
	for n := range 8 {
		if got := slowBody(t, c, mallory, 100); got != wanted {
			t.Fatalf("body %d: %s", n, got)
		}
	}
	if err := writes(t, c.User(t, "writer"), "a"); err != nil {
		t.Errorf("another user: %v", err)
	}
	// His bodies are bounded, and so is all that he can announce.
	if got := slowBody(t, c, mallory, 100); !strings.HasPrefix(got, "429") {
		t.Errorf("a ninth body of one user: %s, want 429", got)
	}
	if err := writes(t, c.User(t, "writer"), "b"); err != nil {
		t.Errorf("another user, again: %v", err)
	}
}

// What is not allowed is refused before its body is asked for.
func TestForbiddenBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	_, _, got := raw(t, c, c.User(t, "mallory"), "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n"+
		"Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue")
	if !strings.HasPrefix(got, "403") {
		t.Errorf("got %s, want 403", got)
	}
}

// The bytes of all bodies together are bounded, and each tenant's part of them.
func TestBodyBytesAreBounded(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Limits.BodyBytesInFlight = 64 << 10 }}})
	grant(t, c, "writer", "create", "configmaps")
	mallory := c.User(t, "mallory")
	conn, r, got := raw(t, c, mallory, "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP/1.1\r\n"+
		"Content-Type: application/json\r\nContent-Length: 30000\r\nExpect: 100-continue")
	if got != wanted {
		t.Fatal(got)
	}
	if _, err := conn.Write(make([]byte, 20000)); err != nil { // more than a quarter of 64 KiB
		t.Fatal(err)
	}
	if line := statusLine(t, r); line != "" {
		t.Fatalf("after 100 Continue: %q", line)
	}
	if got := statusLine(t, r); !strings.HasPrefix(got, "429") {
		t.Errorf("a body beyond the budget: %s, want 429", got)
	}
	if err := writes(t, c.User(t, "writer"), "a"); err != nil {
		t.Errorf("another user: %v", err)
	}
}

// While everybody else is refused, agents renew their leases.
func TestNodesHaveSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := &slow{enter: make(chan struct{}, 10), leave: make(chan struct{})}
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Registry = s.over(cfg.Registry)
		cfg.Limits.ReadInFlight = 2
	}}})
	defer close(s.leave)
	for _, u := range []string{"a", "b"} {
		grant(t, c, u, "list", "configmaps")
		raw := c.User(t, u)
		go func() {
			hc, err := rest.HTTPClientFor(raw)
			if err != nil {
				return
			}
			if resp, err := hc.Get(c.URL + "/api/v1/configmaps"); err == nil {
				resp.Body.Close()
			}
		}()
		<-s.enter
	}
	hc, err := rest.HTTPClientFor(c.User(t, "c"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := hc.Get(c.URL + "/version")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third user is answered %s by a server that is full", resp.Status)
	}
	node := kerneltest.Client(t, c.User(t, "system:node:n", "system:nodes"))
	leases := node.CoordinationV1().Leases("kube-node-lease")
	if _, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the lease is made: %v", err)
	}
	if _, err := leases.Get(t.Context(), "n", metav1.GetOptions{}); err != nil {
		t.Errorf("the lease is read: %v", err)
	}
}

// A client that does not read its answer holds no slot either, and with priority and
// fairness no seat.
func TestSlowReadersHoldNoSlot(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]func() (*resource.Table, error){
		"slots": kerneltest.Table,
		"seats": func() (*resource.Table, error) {
			return kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
		},
	} {
		t.Run(name, func(t *testing.T) { slowReaders(t, table) })
	}
}

func slowReaders(t *testing.T, table func() (*resource.Table, error)) {
	all, err := table()
	if err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Start(t, kerneltest.Options{Table: all, Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Limits.ReadInFlight, cfg.Limits.WriteInFlight = 1, 1 }}})
	big := configMap("big", map[string]string{"k": strings.Repeat("x", 1<<20)})
	cms := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default")
	for n := range 12 { // more than the sockets' buffers take
		big.Name = fmt.Sprint("big-", n)
		if _, err := cms.Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	grant(t, c, "a", "list", "configmaps")
	grant(t, c, "b", "list", "configmaps")
	for range 3 {
		if _, _, got := raw(t, c, c.User(t, "a"), "GET /api/v1/configmaps HTTP/1.1"); got != "200 OK" {
			t.Fatal(got)
		}
	}
	list, err := kerneltest.Client(t, c.User(t, "b")).CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("another user: %v", err)
	}
}

// Who does not say who he is gets no HTTP/2 connection to keep.
func TestAnonymousConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	for who, cfg := range map[string]*rest.Config{"anonymous": c.Bearer(""), "unknown": c.Bearer("nonsense")} {
		hc, err := rest.HTTPClientFor(cfg)
		if err != nil {
			t.Fatal(err)
		}
		fresh := 0
		for range 50 {
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) {
					if !i.Reused {
						fresh++
					}
				},
			}), http.MethodGet, c.URL+"/api/v1/nodes", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.StatusCode < http.StatusBadRequest {
				t.Fatalf("%s: HTTP/%d, %s", who, resp.ProtoMajor, resp.Status)
			}
		}
		if fresh < 2 {
			t.Errorf("%s: fifty requests were answered on one connection", who)
		}
	}
}

// Large objects are sent from the bytes that all share; small ones and tables
// from frames of the watch's own. A client sees no difference.
func TestLargeAndSmallEvents(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		cfg := c.Admin()
		cfg.ContentType, cfg.AcceptContentTypes = media, media
		cms := kerneltest.Client(t, cfg).CoreV1().ConfigMaps("default")
		w, err := cms.Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		for i, size := range []int{1, 100 << 10, 2, 300 << 10, 15 << 10, 17 << 10, 3} {
			cm := configMap(fmt.Sprint("cm-", i, size), map[string]string{"k": strings.Repeat("x", size)})
			if _, err := cms.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			e := next(t, w)
			if got, ok := e.Object.(*corev1.ConfigMap); !ok || got.Name != cm.Name || got.Data["k"] != cm.Data["k"] {
				t.Fatalf("%s: %d bytes arrive as %s %T", media, size, e.Type, e.Object)
			}
		}
		for i, size := range []int{1, 100 << 10, 2, 300 << 10, 15 << 10, 17 << 10, 3} {
			if err := cms.Delete(t.Context(), fmt.Sprint("cm-", i, size), metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What frames of their own keep in memory for slow clients is bounded for all;
// beyond that a watch ends in words that a client understands.
func TestWatchFramesAreBounded(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) { cfg.Limits.WatchBytesInFlight = 80 << 10 }}})
	big := configMap("big", map[string]string{"k": strings.Repeat("x", 60<<10)})
	if _, err := kerneltest.Client(t, c.Admin()).CoreV1().ConfigMaps("default").Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	grant(t, c, "reader", "watch", "configmaps")
	hc, err := rest.HTTPClientFor(c.User(t, "reader"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(accept string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&includeObject=Object", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return text(t, resp)
	}
	if body := get("application/json;as=Table;v=v1;g=meta.k8s.io"); !strings.Contains(body, `"code":504`) {
		t.Errorf("a frame beyond the bound: %.200s", body)
	}
	if body := get("application/json"); !strings.Contains(body, `"name":"big"`) || strings.Contains(body, `"ERROR"`) {
		t.Errorf("shared bytes: %.200s", body)
	}
}

// Everybody may ask for the server's health: however many do, a check runs
// once at a time.
func TestHealthChecksAreShared(t *testing.T) {
	t.Parallel()
	var running, most, runs atomic.Int32
	enter, leave := make(chan struct{}, 100), make(chan struct{})
	c := kerneltest.Start(t, kerneltest.Options{Adjust: kernel.Adjust{API: func(cfg *apiserver.Config) {
		cfg.Checks = []apiserver.Check{{Name: "slow", Check: func(context.Context) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			runs.Add(1)
			enter <- struct{}{}
			<-leave
			return nil
		}}, {Name: "broken", Check: func(context.Context) error { panic("private detail") }}}
	}}})
	hc := c.HTTP()
	t.Cleanup(hc.CloseIdleConnections)
	codes := make(chan int, 20)
	for range cap(codes) {
		go func() {
			resp, err := hc.Get(c.URL + "/readyz/slow")
			if err != nil {
				codes <- 0
				return
			}
			resp.Body.Close()
			codes <- resp.StatusCode
		}()
	}
	<-enter
	resp, err := hc.Get(c.URL + "/livez/broken")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("a check that panics: %s", resp.Status)
	}
	close(leave)
	for range cap(codes) {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("health: %d", code)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d runs of a check at once, %d in all", most.Load(), runs.Load())
	}
}
