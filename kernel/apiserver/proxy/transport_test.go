package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/kernel/resource"
)

func TestTransports(t *testing.T) {
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("not dialled here") }
	n := newNodeTransports(&tls.Config{}, refuse)
	of := func(node string) any {
		tr, err := n.transport(&resource.Target{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	if of("a") != of("a") || of("a") == of("b") || of("a") == of("") {
		t.Error("a node has one transport, and shares it with nobody")
	}
	for i := range maxNodeTransports {
		of(fmt.Sprint(i))
	}
	if len(n.nodes) > maxNodeTransports {
		t.Errorf("%d transports kept", len(n.nodes))
	}
	if _, err := newNodeTransports(nil, refuse).transport(&resource.Target{Node: "a"}); err == nil {
		t.Error("an agent was reached without credentials")
	}
}

// TestDeadPeers: a connection ends when its peer acknowledges nothing for a
// while, idle or not; by default it would live for a quarter of an hour.
func TestDeadPeers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{unix.TCP_USER_TIMEOUT: 20_000, unix.TCP_KEEPIDLE: 10, unix.TCP_KEEPINTVL: 5, unix.TCP_KEEPCNT: 2} {
		var got int
		var read error
		if err := raw.Control(func(fd uintptr) { got, read = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option) }); err != nil || read != nil {
			t.Fatal(err, read)
		}
		if got != want {
			t.Errorf("TCP option %d is %d, want %d", option, got, want)
		}
	}
}
