package apiserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// rawBackend answers every request with the bytes that are kept for its path.
func rawBackend(t *testing.T, answers map[string]string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, _ = io.WriteString(conn, answers[r.URL.Path])
				}
			}()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// TestProxyBadAnswers: what a backend answers cannot hurt the server, and is told as it
// came where it can be.
func TestProxyBadAnswers(t *testing.T) {
	t.Parallel()
	events := &eventLog{}
	c := startAudited(t, events, "rules:\n- level: Metadata\n", nil)
	_, cs := withAgent(t, c, "n1")
	const end = "Content-Length: 2\r\nConnection: close\r\n\r\nok"
	port := rawBackend(t, map[string]string{
		"/zero":     "HTTP/1.1 000 Nothing\r\n" + end,
		"/low":      "HTTP/1.1 099 Low\r\n" + end,
		"/high":     "HTTP/1.1 1000 High\r\n" + end,
		"/odd":      "HTTP/1.1 799 Odd\r\n" + end,
		"/negative": "HTTP/1.1 -12 Negative\r\n" + end,
		"/early":    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 201 Created\r\n" + end,
		"/switched": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nbytes",
		"/silent":   "HTTP/1.1 101 Switching Protocols\r\n\r\nbytes",
		"/header":   "HTTP/1.1 200 OK\r\nno colon\r\n" + end,
		"/value":    "HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\n" + end,
		"/trailers": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Other: 8\r\n\r\n",
		"/garbage":  "\x00\x01\x02\r\n\r\n",
		"/nothing":  "",
	})
	p, err := cs.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.PodIP = "127.0.0.1"
	if _, err := cs.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	const unreachable = "error trying to reach service"
	for _, tt := range []struct {
		path string
		code int
		want string
	}{
		{"/zero", 503, unreachable}, {"/low", 503, unreachable}, {"/high", 503, unreachable}, {"/negative", 503, unreachable},
		{"/odd", 799, "ok"}, {"/early", 201, "ok"},
		{"/switched", 503, unreachable}, {"/silent", 503, unreachable},
		{"/header", 503, unreachable}, {"/value", 503, unreachable}, {"/trailers", 200, "ok"},
		{"/garbage", 503, unreachable}, {"/nothing", 503, unreachable},
	} {
		t.Run(tt.path, func(t *testing.T) {
			t.Parallel()
			for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
				id := strings.ReplaceAll(proto+tt.path, "/", "-")
				resp := askBy(t, speaking(t, c, proto), c, http.MethodGet, "/api/v1/namespaces/default/pods/p:"+port+"/proxy"+tt.path, http.Header{"Audit-Id": {id}}, "")
				if got := text(t, resp); resp.StatusCode != tt.code || !strings.Contains(got, tt.want) || resp.Proto != proto {
					t.Errorf("%s: got %d %q, want %d %q", resp.Proto, resp.StatusCode, got, tt.code, tt.want)
				}
				got := events.of(t, id, complete)
				if ev := got[len(got)-1]; ev.ResponseStatus.Code != int32(tt.code) {
					t.Errorf("%s: recorded as %d, want %d", proto, ev.ResponseStatus.Code, tt.code)
				}
				if tt.path == "/trailers" && resp.Trailer.Get("X-Sum") != "7" {
					t.Errorf("%s: trailers %v", proto, resp.Trailer)
				}
			}
		})
	}
}

// speaking is the administrator's client of one version of HTTP.
func speaking(t *testing.T, c *kerneltest.Server, proto string) *http.Client {
	t.Helper()
	hc := c.HTTP()
	if proto == "HTTP/1.1" {
		tr, ok := hc.Transport.(*http.Transport)
		if !ok {
			t.Fatalf("transport %T", hc.Transport)
		}
		tr.ForceAttemptHTTP2, tr.Protocols = false, new(http.Protocols)
		tr.Protocols.SetHTTP1(true)
	}
	return hc
}
