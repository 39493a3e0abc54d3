// Package egress connects the control plane to pods, whose network it need not be
// part of: a server that is no node has no route to them, and yet is asked to proxy
// to them and to call the webhooks that they serve. Where the way is closed, the
// connection is made by the agent of the pod's node, which the server reaches
// anyhow (the role of upstream's konnectivity, KEP-1281, without its servers).
//
// It decides nothing about who may connect where: who dials has been authorized, and
// the agent connects to pods of its own alone. Start reading at [Dialer].
//
// RATIONALE.md: "Why does the control plane reach pods through their nodes?"
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Dial connects to an address, as net.Dialer's DialContext.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config of a Dialer. Every field without a remark is required.
type Config struct {
	// Direct connects without a node's help.
	Direct Dial
	// AgentOf finds the agent of the node whose pods have an address; nil when there
	// is no such node.
	AgentOf func(ctx context.Context, ip netip.Addr) (*resource.Target, error)
	// TLS authenticates the server to agents; RootCAs verifies theirs.
	TLS *tls.Config
	// Clock may be nil.
	Clock clock.PassiveClock
}

// Dialer connects to anything that the control plane calls. It is safe for
// concurrent use.
type Dialer struct {
	c Config

	mu     sync.Mutex
	routes map[string]route // by node; guarded by mu
}

// route is which way to the pods of a node was open.
type route struct {
	throughAgent bool
	until        time.Time
}

const (
	// headStart is what the direct way has before the agent is asked, too: most often
	// it is open, and cheaper (RFC 8305 section 5 has 250 ms).
	headStart = 200 * time.Millisecond
	// remembered is how long a way is taken without a try of the other.
	remembered = 10 * time.Minute
	// maxRoutes bounds what is remembered of nodes, some of which are gone.
	maxRoutes = 10_000
)

// New makes a Dialer. It starts nothing.
func New(c Config) *Dialer {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	return &Dialer{c: c, routes: map[string]route{}}
}

// DialContext connects to an address: of a pod by the way that is open, of anything
// else directly. The connection is the caller's.
//
// # Errors
//   - as a net.Dialer has them, whichever way was taken: *net.OpError with the
//     agent's ECONNREFUSED, EHOSTUNREACH or a timeout
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network == "udp" {
		return d.c.Direct(ctx, network, address)
	}
	agent, err := d.c.AgentOf(ctx, at.Addr().Unmap())
	if err != nil || agent == nil {
		return d.c.Direct(ctx, network, address)
	}
	if through, known := d.route(agent.Node); !known {
		return d.race(ctx, network, at, agent)
	} else if through {
		return d.through(ctx, at, agent)
	}
	conn, err := d.c.Direct(ctx, network, address)
	if closed(err) && ctx.Err() == nil { // a route that was there is gone
		d.forget(agent.Node)
		return d.race(ctx, network, at, agent)
	}
	return conn, err
}

// closed tells that there is no way to an address, which says nothing about who
// listens there.
func closed(err error) bool {
	var timeout net.Error
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EACCES) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func (d *Dialer) route(node string) (through, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.routes[node]
	if !ok || d.c.Clock.Now().After(r.until) {
		return false, false
	}
	return r.throughAgent, true
}

func (d *Dialer) remember(node string, through bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.routes) >= maxRoutes {
		clear(d.routes)
	}
	d.routes[node] = route{through, d.c.Clock.Now().Add(remembered)}
}

func (d *Dialer) forget(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.routes, node)
}

// attempt is how one way went.
type attempt struct {
	conn    net.Conn
	err     error
	through bool
}

// answers tells that the address was reached: somebody listens, or nobody does. What
// else the agent says may be about the agent.
func (a *attempt) answers() bool {
	if a.through {
		return a.err == nil || errors.Is(a.err, syscall.ECONNREFUSED)
	}
	return !closed(a.err)
}

// race tries both ways, the direct one first, and takes that which answers first. An
// answer is also that nobody listens; that a way is closed is none.
func (d *Dialer) race(ctx context.Context, network string, at netip.AddrPort, agent *resource.Target) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, 2)
	go func() {
		conn, err := d.c.Direct(ctx, network, at.String())
		results <- attempt{conn, err, false}
	}()
	wait := time.NewTimer(headStart)
	defer wait.Stop()
	running, asked := 1, false
	ask := func() {
		asked = true
		running++
		go func() {
			conn, err := d.through(ctx, at, agent)
			results <- attempt{conn, err, true}
		}()
	}
	var last error
	for running > 0 {
		select {
		case <-wait.C:
			if !asked {
				ask()
			}
		case a := <-results:
			running--
			if a.answers() {
				cancel()
				go reap(results, running)
				if a.err == nil || a.through {
					d.remember(agent.Node, a.through)
				}
				return a.conn, a.err
			}
			// The agent's word is the better one: it is next to the pod.
			if last == nil || a.through {
				last = a.err
			}
			if !asked {
				ask()
			}
		}
	}
	return nil, last
}

// reap closes what the way that lost opens all the same.
func reap(results <-chan attempt, running int) {
	for range running {
		if a := <-results; a.conn != nil {
			_ = a.conn.Close()
		}
	}
}
