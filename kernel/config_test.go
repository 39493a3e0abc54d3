package kernel

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPeersThatDieAreNoticed: whatever the kernel connects to, webhooks among
// it, by a configuration that says nothing about it.
func TestPeersThatDieAreNoticed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var c Config
	c.setDefaults()
	conn, err := c.Dial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var millis int
	if cerr := raw.Control(func(fd uintptr) { millis, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if millis == 0 {
		t.Error("a peer that acknowledges nothing is waited for as long as TCP does")
	}
}
