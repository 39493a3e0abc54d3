package tunnel_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/api/tunnel"
)

// at is a pod with addresses.
func at(phase corev1.PodPhase, host bool, ips ...string) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{HostNetwork: host}, Status: corev1.PodStatus{Phase: phase}}
	for _, ip := range ips {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	return p
}

// serve serves a tunnel to pods over TLS, as the agent does, until ctx ends.
func serve(t *testing.T, ctx context.Context, pods ...*corev1.Pod) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(tunnel.New(func() []*corev1.Pod { return pods }))
	s.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// ask asks for a connection to an address.
func ask(t *testing.T, s *httptest.Server, to string) (*tls.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/tunnel?to="+url.QueryEscape(to), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", tunnel.Protocol)
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := req.Write(c); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		t.Fatal(err)
	}
	return c, r, res
}

// TestWhoIsReached: pods of the node that run and have a network of their own, and
// nobody else.
func TestWhoIsReached(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	port := pod.Addr().(*net.TCPAddr).Port
	s := serve(t, t.Context(), at(corev1.PodRunning, false, "10.9.9.9", "127.0.0.1"), at(corev1.PodRunning, true, "127.0.0.2"),
		at(corev1.PodSucceeded, false, "127.0.0.3"), at(corev1.PodFailed, false, "127.0.0.4"), at(corev1.PodPending, false))
	for _, tt := range []struct {
		to     string
		code   int
		failed string
	}{
		{fmt.Sprintf("127.0.0.1:%d", port), 101, ""},
		{fmt.Sprintf("[::ffff:127.0.0.1]:%d", port), 101, ""},
		{"127.0.0.1:1", 502, "refused"},
		{fmt.Sprintf("127.0.0.2:%d", port), 404, ""},
		{fmt.Sprintf("127.0.0.3:%d", port), 404, ""},
		{fmt.Sprintf("127.0.0.4:%d", port), 404, ""},
		{fmt.Sprintf("127.0.0.5:%d", port), 404, ""},
		{"127.0.0.1:0", 400, ""}, {"127.0.0.1", 400, ""}, {"localhost:80", 400, ""}, {"", 400, ""},
	} {
		_, _, res := ask(t, s, tt.to)
		if res.StatusCode != tt.code || res.Header.Get(tunnel.FailedHeader) != tt.failed {
			t.Errorf("to %q: %s, %q; want %d, %q", tt.to, res.Status, res.Header.Get(tunnel.FailedHeader), tt.code, tt.failed)
		}
	}
	res, err := s.Client().Post(s.URL+"/tunnel?to=127.0.0.1:80", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %s", res.Status)
	}
}

// TestDirectionsEndByThemselves: a client that has said all still hears the answer.
func TestDirectionsEndByThemselves(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	go func() {
		for {
			c, err := pod.Accept()
			if err != nil {
				return
			}
			go func() {
				all, _ := io.ReadAll(c)
				fmt.Fprintf(c, "you said %d bytes", len(all))
				_ = c.Close()
			}()
		}
	}()
	s := serve(t, t.Context(), at(corev1.PodRunning, false, "127.0.0.1"))
	conn, r, res := ask(t, s, pod.Addr().String())
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res.Status)
	}
	if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "you said 1048576 bytes" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestTunnelsEndWithTheAgent: nobody keeps a connection to an agent that stops.
func TestTunnelsEndWithTheAgent(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := serve(t, ctx, at(corev1.PodRunning, false, "127.0.0.1"))
	conn, r, _ := ask(t, s, pod.Addr().String())
	inside, err := pod.Accept()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	for who, from := range map[string]io.Reader{"the client": r, "the pod": inside} {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		_ = inside.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := from.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s still has a connection: %v", who, err)
		}
	}
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}

// TestPodIsCut: a pod that resets its connection has not said all, and its client is
// told so.
func TestPodIsCut(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	s := serve(t, t.Context(), at(corev1.PodRunning, false, "127.0.0.1"))
	_, r, _ := ask(t, s, pod.Addr().String())
	inside, err := pod.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inside.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Peek(4); string(got) != "half" {
		t.Fatalf("%q, %v", got, err)
	}
	_ = inside.(*net.TCPConn).SetLinger(0)
	_ = inside.Close()
	if got, err := io.ReadAll(r); err == nil {
		t.Errorf("%q, and no error", got)
	}
}

// TestClientGoes: when the client has gone, a silent pod keeps no tunnel.
func TestClientGoes(t *testing.T) {
	pod, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pod.Close()
	s := serve(t, t.Context(), at(corev1.PodRunning, false, "127.0.0.1"))
	conn, _, _ := ask(t, s, pod.Addr().String())
	inside, err := pod.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = inside.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := inside.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client's end: %v", err)
	}
	// It only listens, and yet is told soon that nobody does.
	for err == nil || errors.Is(err, io.EOF) {
		_, err = inside.Write(make([]byte, 1))
		time.Sleep(time.Millisecond)
	}
	if isTimeout(err) {
		t.Errorf("the pod's connection stays: %v", err)
	}
}
