package apiserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// heldListener accepts connections from which nothing is read until release.
type heldListener struct {
	net.Listener
	accepted, closed, release chan struct{}
	once                      sync.Once
}

func (l *heldListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	close(l.accepted) // the test makes one connection
	return &heldConn{c, l.release}, nil
}

func (l *heldListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type heldConn struct {
	net.Conn
	release chan struct{}
}

func (c *heldConn) Read(b []byte) (int, error) {
	<-c.release
	return c.Conn.Read(b)
}

// A connection that is being made while the server shuts down ends with it,
// though its client would keep it.
func TestShutdownEndsConnectionsThatAreBeingMade(t *testing.T) {
	t.Parallel()
	c := kerneltest.Start(t, kerneltest.Options{})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &heldListener{Listener: tcp, accepted: make(chan struct{}), closed: make(chan struct{}), release: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Server.Run(ctx, l, c.PKI.ServerTLS()) }()
	config := c.PKI.AdminTLS()
	config.NextProtos, config.ServerName = []string{"h2"}, "localhost"
	raw, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	<-l.accepted
	cancel()
	<-l.closed
	// What tells connections to end starts once the listener is closed. With
	// less time the test passes without having looked.
	time.Sleep(50 * time.Millisecond)
	close(l.release)
	conn := tls.Client(raw, config)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := http2.NewFramer(conn, conn).WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
