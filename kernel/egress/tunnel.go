package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/kernel/resource"
)

// The protocol of an agent's tunnel: an upgrade of HTTP/1.1 after which the
// connection carries the pod's bytes, each direction ended by itself. A failure to
// connect is named in a header.
const (
	tunnelPath   = "/tunnel"
	tunnelProto  = "tcp"
	failedHeader = "Pintle-Dial-Error"
)

// failures are the errors that callers tell apart.
var failures = map[string]error{
	"refused":     syscall.ECONNREFUSED,
	"unreachable": syscall.EHOSTUNREACH,
	"timeout":     os.ErrDeadlineExceeded,
}

// What an agent may take to connect, and how long its answer may be.
const (
	handshake = 15 * time.Second
	maxHeader = 64 << 10
)

// through connects by an agent.
func (d *Dialer) through(ctx context.Context, at netip.AddrPort, agent *resource.Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	raw, err := d.c.Direct(ctx, "tcp", agent.Host)
	if err != nil {
		return nil, fmt.Errorf("the agent of node %s, to reach %s: %w", agent.Node, at, err)
	}
	conn := tls.Client(raw, NodeTLS(d.c.TLS, agent.Node))
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	r, err := open(ctx, conn, at, agent)
	if !stop() && err == nil { // the caller went this moment
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return &tunnel{Conn: conn, r: r, to: net.TCPAddrFromAddrPort(at)}, nil
}

// open asks for the tunnel; what follows the answer is read from r.
func open(ctx context.Context, conn *tls.Conn, at netip.AddrPort, agent *resource.Target) (r *bufio.Reader, err error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("the agent of node %s: %w", agent.Node, err)
	}
	u := url.URL{Scheme: "https", Host: agent.Host, Path: tunnelPath, RawQuery: url.Values{"to": {at.String()}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", tunnelProto)
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("the agent of node %s: %w", agent.Node, err)
	}
	bounded := &io.LimitedReader{R: conn, N: maxHeader}
	r = bufio.NewReader(bounded)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, fmt.Errorf("the agent of node %s: %w", agent.Node, err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		bounded.N = math.MaxInt64
		return r, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
	if cause := failures[res.Header.Get(failedHeader)]; cause != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("connect", cause)}
	}
	return nil, fmt.Errorf("the agent of node %s does not connect to %s: %s: %s", agent.Node, at, res.Status, strings.TrimSpace(string(text)))
}

// tunnel is a connection through an agent.
type tunnel struct {
	*tls.Conn
	r  *bufio.Reader
	to net.Addr
}

// Read implements net.Conn.
func (t *tunnel) Read(b []byte) (int, error) {
	n, err := t.r.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) { // the agent died: no end of the pod's
		return n, &net.OpError{Op: "read", Net: "tcp", Addr: t.to, Err: syscall.ECONNRESET}
	}
	return n, err
}

// RemoteAddr implements net.Conn: the pod's.
func (t *tunnel) RemoteAddr() net.Addr { return t.to }
