package faults

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// link is the network between a client and the server, which can be cut: with
// a reset, or silently, as when a cable is pulled.
type link struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	moved  *sync.Cond
	conns  map[net.Conn]bool // guarded by mu
	silent bool              // nothing passes; guarded by mu
	down   bool              // connections are refused; guarded by mu
}

func newLink(t testing.TB, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &link{listener: l, target: target, conns: map[net.Conn]bool{}}
	p.moved = sync.NewCond(&p.mu)
	var accepting sync.WaitGroup
	accepting.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.heal()
		p.reset()
		accepting.Wait()
	})
	return p
}

func (p *link) addr() string { return p.listener.Addr().String() }

func (p *link) accept() {
	var group sync.WaitGroup
	defer group.Wait()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil || !p.add(c, s) {
			c.Close()
			if err == nil {
				s.Close()
			}
			continue
		}
		group.Go(func() { p.pass(c, s) })
		group.Go(func() { p.pass(s, c) })
	}
}

func (p *link) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

// pass copies one direction.
func (p *link) pass(from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		for p.silent {
			p.moved.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				if tcp, ok := to.(*net.TCPConn); ok {
					_ = tcp.CloseWrite()
					return
				}
			}
			break
		}
	}
	from.Close()
	to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
	delete(p.conns, to)
}

// reset ends all connections.
func (p *link) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.Close()
		delete(p.conns, c)
	}
}

// cut ends all connections and refuses others until heal.
func (p *link) cut() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.reset()
}

// silence lets nothing pass, and closes nothing, until heal.
func (p *link) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

func (p *link) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.down = false, false
	p.moved.Broadcast()
}
