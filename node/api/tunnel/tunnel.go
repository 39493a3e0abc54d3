// Package tunnel connects the API server to the node's pods where it has no route to
// them: an upgrade of HTTP/1.1 after which the connection carries the pod's bytes,
// each direction ended by itself. The other side is kernel/egress.
//
// It connects to TCP ports of pods of this node that have addresses of their own, and
// to nothing else: not to the node, nor to what the node can reach. Who may ask is the
// caller's business.
package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// Protocol is the upgrade's name, and FailedHeader names why there is no connection,
// where a caller tells it apart: "refused", "unreachable" or "timeout".
const (
	Protocol     = "tcp"
	FailedHeader = "Pintle-Dial-Error"
)

// The bounds: of connections at once, and of the time to connect.
const (
	atOnce    = 4096
	connectIn = 10 * time.Second
)

// Tunnel serves connections. It is safe for concurrent use.
type Tunnel struct {
	pods  func() []*corev1.Pod
	slots chan struct{}
}

// New makes a Tunnel to the pods of a node.
func New(pods func() []*corev1.Pod) *Tunnel {
	return &Tunnel{pods: pods, slots: make(chan struct{}, atOnce)}
}

// ServeHTTP connects to the address that the parameter to names, until both sides have
// ended or the request's context has: the server's, from when the client's connection is
// taken over.
func (t *Tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), Protocol) {
		http.Error(w, fmt.Sprintf("a tunnel is an upgrade to %q", Protocol), http.StatusUpgradeRequired)
		return
	}
	to, err := netip.ParseAddrPort(r.URL.Query().Get("to"))
	if err != nil || to.Port() == 0 {
		http.Error(w, "parameter to: want the address and port of a pod, as 10.244.0.7:8443", http.StatusBadRequest)
		return
	}
	if !t.has(to.Addr().Unmap()) {
		http.Error(w, fmt.Sprintf("no pod of this node has the address %s", to.Addr()), http.StatusNotFound)
		return
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("this node has %d tunnels already", atOnce), http.StatusServiceUnavailable)
		return
	}
	dialer := net.Dialer{Timeout: connectIn, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 2}}
	pod, err := dialer.DialContext(r.Context(), "tcp", to.String())
	if err != nil {
		w.Header().Set(FailedHeader, failure(err))
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer pod.Close()
	join(r.Context(), w, pod.(*net.TCPConn))
}

// has tells whether an address is a pod's own: one of the node's network is not.
func (t *Tunnel) has(ip netip.Addr) bool {
	return slices.ContainsFunc(t.pods(), func(p *corev1.Pod) bool {
		return !podspec.HostNetwork(p) && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed &&
			slices.ContainsFunc(p.Status.PodIPs, func(a corev1.PodIP) bool {
				own, err := netip.ParseAddr(a.IP)
				return err == nil && own.Unmap() == ip
			})
	})
}

// failure is what a caller tells apart of an error; "" for the rest.
func failure(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return ""
}

// halfCloser is a connection whose directions end by themselves.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// join gives the client's connection to the pod, until both have ended.
func join(ctx context.Context, w http.ResponseWriter, pod halfCloser) {
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer raw.Close()
	client, ok := raw.(*tls.Conn)
	if !ok {
		return // who ended a direction cannot be told from who went
	}
	_ = client.SetDeadline(time.Time{})
	if _, err := io.WriteString(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+Protocol+"\r\n\r\n"); err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { abort(client, pod) })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		if pass(pod, said(buffered.Reader, client)) != nil {
			abort(client, pod)
			return
		}
		// The client has said all. When it goes, nobody waits for the pod.
		_, _ = io.Copy(io.Discard, client.NetConn())
		abort(client, pod)
	})
	both.Go(func() {
		if pass(client, pod) != nil {
			abort(client, pod)
		}
	})
	both.Wait()
}

// said is what a client sends: what was read ahead of it, first.
func said(ahead *bufio.Reader, client net.Conn) io.Reader {
	if ahead.Buffered() == 0 {
		return client
	}
	return ahead
}

// pass copies one direction to its end, and ends it there, too.
func pass(to halfCloser, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.CloseWrite()
}

// abort ends a connection so that neither side takes it for the end of what was to be
// said: it is reset. (An end without TLS's close_notify would not do: crypto/tls takes
// one between two records for an end like any other.)
func abort(client *tls.Conn, pod net.Conn) {
	for _, c := range []net.Conn{client.NetConn(), pod} {
		if c, ok := c.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
	}
}
