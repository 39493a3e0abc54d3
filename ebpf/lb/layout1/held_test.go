package layout1

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// newPeers makes the map that an object keeps with connected sockets.
func newPeers(t *testing.T, spec *ebpf.CollectionSpec, err error) *ebpf.Map {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	peers := spec.Maps[bpf.LBMapPeers]
	peers.Pinning = ebpf.PinNone
	m, err := ebpf.NewMap(peers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// onSocket calls f with the descriptor of a connection.
func onSocket(t *testing.T, c net.Conn, f func(fd int32) error) error {
	t.Helper()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var said error
	if err := raw.Control(func(fd uintptr) { said = f(int32(fd)) }); err != nil {
		t.Fatal(err)
	}
	return said
}

// TestCopyHeld: where the kernel lists no sockets, what is kept with those that
// processes hold is copied; what the present programs noted stays.
func TestCopyHeld(t *testing.T) {
	older, err := ebpf.LoadCollectionSpec("../../lbtest/layout1.o")
	from := newPeers(t, older, err)
	present, err := bpf.LoadTakeover()
	to := newPeers(t, present, err)
	var conns [3]net.Conn // known to the old programs, to both, to none
	for i := range conns {
		c, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	for i, c := range conns[:2] {
		old := Peer{Addr: 0x0a600001, BackendAddr: 0x0af40007, Port: 80, BackendPort: 8080, Backend: uint32(i + 1), Proto: 17}
		if err := onSocket(t, c, func(fd int32) error { return from.Put(fd, old) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := onSocket(t, conns[1], func(fd int32) error { return to.Put(fd, bpf.LBPeer{Backend: 77}) }); err != nil {
		t.Fatal(err)
	}
	if err := copyHeld(from, to, "/proc"); err != nil {
		t.Fatal(err)
	}
	want := []bpf.LBPeer{{Addr: Addr(0x0a600001).mapped(), BackendAddr: Addr(0x0af40007).mapped(), Port: 80, BackendPort: 8080, Backend: 1, Proto: 17}, {Backend: 77}}
	for i, c := range conns {
		var got bpf.LBPeer
		err := onSocket(t, c, func(fd int32) error { return to.Lookup(fd, &got) })
		if i < len(want) && (err != nil || got != want[i]) {
			t.Errorf("socket %d: %+v, %v; want %+v", i, got, err, want[i])
		}
		if i >= len(want) && err == nil {
			t.Errorf("a socket that nobody knew has %+v", got)
		}
	}
}
