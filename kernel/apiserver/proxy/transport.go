package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/kernel/egress"
	"github.com/pintle-io/pintle/kernel/resource"
)

// dialer connects to targets.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// nodeTransports keeps one transport per node, so that connections to an agent
// are reused and its certificate is checked against the node's name: two nodes
// never share a connection, whatever their addresses.
type nodeTransports struct {
	tls  *tls.Config
	dial dialer

	mu    sync.Mutex
	nodes map[string]*http.Transport // guarded by mu
	plain *http.Transport            // pods and services
}

// unanswered is how long a connection lives on whose peer acknowledges nothing.
const unanswered = 20 * time.Second

// Dialer connects to nodes, pods and services. A machine that dies says nothing:
// a request on a connection that was kept, or a log that is followed, would wait
// for TCP, a quarter of an hour.
func Dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:         10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: unanswered / 2, Interval: unanswered / 4, Count: 2},
		Control: func(_, _ string, c syscall.RawConn) error {
			var set error
			err := c.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unanswered.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
}

// maxNodeTransports bounds the cache; past it, idle connections are dropped
// and it starts anew.
const maxNodeTransports = 10_000

func newNodeTransports(t *tls.Config, d dialer) *nodeTransports {
	n := &nodeTransports{tls: t, dial: d, nodes: map[string]*http.Transport{}}
	// Pods and services present certificates of their own making; the proxy
	// verifies none, as upstream's.
	n.plain = n.newTransport(&tls.Config{InsecureSkipVerify: true}) // see above
	return n
}

func (n *nodeTransports) newTransport(t *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:           n.dial,
		TLSClientConfig:       t,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: 0, // a followed log may stay silent
		DisableCompression:    true,
	}
}

// transport is what reaches a target.
func (n *nodeTransports) transport(t *resource.Target) (http.RoundTripper, error) {
	tr, err := n.of(t)
	if err != nil {
		return nil, err
	}
	return Checked{tr}, nil
}

func (n *nodeTransports) of(t *resource.Target) (*http.Transport, error) {
	if t.Node == "" {
		return n.plain, nil
	}
	if n.tls == nil {
		return nil, errors.New("this server has no credentials for node agents")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if tr := n.nodes[t.Node]; tr != nil {
		return tr, nil
	}
	if len(n.nodes) >= maxNodeTransports {
		for _, tr := range n.nodes {
			tr.CloseIdleConnections()
		}
		clear(n.nodes)
	}
	tr := n.newTransport(egress.NodeTLS(n.tls, t.Node))
	n.nodes[t.Node] = tr
	return tr, nil
}
