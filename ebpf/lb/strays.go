package lb

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// A connected UDP socket names its peer once; no hook sees it again. When the
// backend goes, the socket is a stray: what it sends reaches nobody, or whoever
// has the address next. It is connected anew, by a duplicate of its process'
// descriptor, so that the process notices nothing.

// refusingAddr is where a stray waits while its service has no backend: the loopback
// of its own network namespace, on a port on which nobody can listen, so that a
// send is refused.
var refusingAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)

// A Reconnector moves stray sockets.
// RATIONALE.md: "Why are connected UDP sockets connected again, and not
// destroyed?"
type Reconnector struct {
	maps    *bpf.LBMaps
	walk    walk
	strays  chan struct{} // of one place: there may be stray sockets
	waiting atomic.Bool   // some wait for a backend
}

func newReconnector(maps *bpf.LBMaps) *Reconnector {
	r := &Reconnector{maps: maps, walk: openWalk(maps), strays: make(chan struct{}, 1)}
	r.poke() // a predecessor may have died before it looked
	return r
}

// backendsGone is told by the table: sockets may be strays now.
func (r *Reconnector) backendsGone() { r.poke() }

// served is told by the table: a service has backends.
func (r *Reconnector) served() {
	if r.waiting.Load() {
		r.poke()
	}
}

// poke says that there may be strays.
func (r *Reconnector) poke() {
	select {
	case r.strays <- struct{}{}:
	default:
	}
}

// Strays receives when connected UDP sockets may have lost their backend, or,
// after that, may have one again: call [Reconnector.MoveStrays].
func (r *Reconnector) Strays() <-chan struct{} { return r.strays }

// Moved counts what MoveStrays did.
type Moved struct {
	// Connected sockets have another backend of the service that they asked for.
	Connected int
	// Waiting sockets have no backend yet: what they send is refused.
	Waiting int
	// Cut sockets could be neither, and are connected to nobody.
	Cut int
}

// MoveStrays connects the UDP sockets whose backend is gone to another one of
// the same service. A socket that a process was just connecting may be missed:
// call it again a moment later. Descriptors are looked for in the processes that
// the caller can see.
//
// # Errors
//
// An error about some sockets does not keep it from moving the others. Without
// what it takes of the kernel nothing is moved.
func (r *Reconnector) MoveStrays() (Moved, error) {
	found, err := r.walk.find()
	if err != nil {
		return Moved{}, err
	}
	var (
		m    Moved
		errs []error
	)
	// Before the first waits: a backend that comes meanwhile must be announced.
	r.waiting.Store(true)
	for _, h := range found {
		errs = append(errs, r.moveHeld(h, &m))
	}
	r.waiting.Store(m.Waiting > 0)
	return m, errors.Join(errs...)
}

// moveHeld looks at one descriptor again: it may be closed, another file's, or
// mended by way of another process that shares the socket.
func (r *Reconnector) moveHeld(h bpf.SocketsHeld, m *Moved) error {
	pidfd, err := unix.PidfdOpen(int(h.Pid), 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, int(h.Fd), 0)
	if err != nil {
		if err = ignoreGone(err); err != nil {
			err = fmt.Errorf("take the socket %d of process %d: %w", h.Fd, h.Pid, err)
		}
		return err
	}
	defer unix.Close(fd)
	var p bpf.LBPeer
	if err := r.maps.Peers.Lookup(int32(fd), &p); err != nil {
		return nil // no socket, or none of ours
	}
	if stray, err := r.stray(fd, p); err != nil || !stray {
		return err
	}
	return r.move(fd, p, m)
}

func (r *Reconnector) stray(fd int, p bpf.LBPeer) (bool, error) {
	if Protocol(p.Proto) != UDP {
		return false, nil
	}
	var v bpf.LBBackend
	switch err := r.maps.Backends.Lookup(p.Backend, &v); {
	case err == nil:
		return false, nil
	case !errors.Is(err, ebpf.ErrKeyNotExist):
		return false, fmt.Errorf("read backend: %w", err)
	}
	// The process may have connected it elsewhere in between. A waiting socket
	// has no peer's name, since its port is 0.
	name, err := unix.Getpeername(fd)
	if p.BackendPort == 0 {
		return errors.Is(err, unix.ENOTCONN), nil
	}
	return err == nil && addrPortOf(name) == peerAddr(p), nil
}

// move connects by the way of any process: the hook at connect chooses.
func (r *Reconnector) move(fd int, p bpf.LBPeer, m *Moved) error {
	served, err := r.isServed(p)
	if err != nil {
		return err
	}
	if served && connectTo(fd, peerAddr(p)) == nil {
		var now bpf.LBPeer
		if err := r.maps.Peers.Lookup(int32(fd), &now); err == nil && now.Backend != p.Backend {
			m.Connected++
			return nil
		}
		// Untranslated: nothing has this address any more, and it must not stay so.
	} else if p.BackendPort == 0 {
		m.Waiting++ // still
		return nil
	}
	if err := connectTo(fd, refusingAddr); err != nil {
		m.Cut++
		return disconnect(fd)
	}
	p.BackendAddr, p.BackendPort, p.Backend = toAddr(refusingAddr.Addr()), 0, 0
	m.Waiting++
	if err := r.maps.Peers.Put(int32(fd), p); err != nil {
		return fmt.Errorf("note that a socket waits: %w", err)
	}
	return nil
}

// isServed tells whether connecting to the service again may be of use. To an
// address that nothing has a socket of a pod is connected as it is, and what it
// sends then leaves the node.
func (r *Reconnector) isServed(p bpf.LBPeer) (bool, error) {
	for _, addr := range []bpf.LBAddr{p.Addr, toAddr(netip.IPv4Unspecified())} { // the latter: a port of the node
		var f bpf.LBFrontend
		k := bpf.LBFrontendKey{Addr: addr, Port: p.Port, Proto: p.Proto, Scope: uint8(Cluster)}
		switch err := r.maps.Frontends.Lookup(k, &f); {
		case err == nil && f.Count > 0:
			return true, nil
		case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
			return false, fmt.Errorf("read frontend: %w", err)
		}
	}
	return false, nil
}

func peerAddr(p bpf.LBPeer) netip.AddrPort {
	return netip.AddrPortFrom(addrOf(p.Addr), be16(p.Port))
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// connectTo names an IPv4 peer in the socket's own family.
func connectTo(fd int, to netip.AddrPort) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if family == unix.AF_INET6 {
		return unix.Connect(fd, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
}

// disconnect connects to no family, which unix.Connect cannot.
func disconnect(fd int) error {
	nobody := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nobody)), unix.SizeofSockaddrInet4); errno != 0 {
		return fmt.Errorf("disconnect a socket: %w", errno)
	}
	return nil
}

// ignoreGone drops errors about a process or descriptor that ended meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
