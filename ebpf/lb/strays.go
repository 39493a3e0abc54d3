package lb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// A connected UDP socket names its peer once; no hook sees it again. When the
// backend goes, the socket is a stray: what it sends reaches nobody, or whoever
// has the address next. It is connected anew, by a duplicate of its process'
// descriptor, so that the process notices nothing.

// parkAddr is where a stray waits while its service has no backend: the loopback
// of its own network namespace, on a port on which nobody can listen, so that a
// send is refused.
var parkAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)

// walk finds the descriptors of stray sockets.
type walk struct {
	objects bpf.SocketsObjects
	iter    *link.Iter
	err     error // why there is none
}

// openWalk never fails: the load balancer works without, on a kernel that lacks
// something.
func openWalk(o *bpf.LBObjects) (w walk) {
	spec, err := bpf.LoadSockets()
	if err != nil {
		return walk{err: err}
	}
	spec.Maps[bpf.SocketsMapBackends].MaxEntries = o.Backends.MaxEntries()
	shared := map[string]*ebpf.Map{bpf.SocketsMapBackends: o.Backends, bpf.SocketsMapPeers: o.Peers}
	if err := spec.LoadAndAssign(&w.objects, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return walk{err: fmt.Errorf("load the walk over sockets: %w", err)}
	}
	if w.iter, err = link.AttachIter(link.IterOptions{Program: w.objects.LbStraySockets}); err != nil {
		return walk{err: errors.Join(fmt.Errorf("attach the walk over sockets: %w", err), w.objects.Close())}
	}
	return w
}

func (w *walk) close() error {
	if w.err != nil {
		return nil
	}
	return errors.Join(w.iter.Close(), w.objects.Close())
}

// find walks over the descriptors of all processes of the caller's PID namespace.
func (w *walk) find() ([]bpf.SocketsHeld, error) {
	if w.err != nil {
		return nil, w.err
	}
	r, err := w.iter.Open()
	if err != nil {
		return nil, fmt.Errorf("walk over sockets: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("walk over sockets: %w", err)
	}
	const size = 8
	out := make([]bpf.SocketsHeld, 0, len(b)/size)
	for ; len(b) >= size; b = b[size:] {
		out = append(out, bpf.SocketsHeld{Pid: binary.NativeEndian.Uint32(b), Fd: binary.NativeEndian.Uint32(b[4:])})
	}
	return out, nil
}

// poke says that there may be strays.
func (b *Balancer) poke() {
	select {
	case b.strays <- struct{}{}:
	default:
	}
}

// Strays receives when connected UDP sockets may have lost their backend, or,
// after that, may have one again: call [Balancer.MoveStrays].
func (b *Balancer) Strays() <-chan struct{} { return b.strays }

// Moved counts what MoveStrays did.
type Moved struct {
	// Connected sockets have another backend of the service that they asked for.
	Connected int
	// Parked sockets wait for one: what they send is refused.
	Parked int
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
func (b *Balancer) MoveStrays() (Moved, error) {
	found, err := b.walk.find()
	if err != nil {
		return Moved{}, err
	}
	var (
		m    Moved
		errs []error
	)
	// Before the first waits: a backend that comes meanwhile must be announced.
	b.parked.Store(true)
	for _, h := range found {
		errs = append(errs, b.moveHeld(h, &m))
	}
	b.parked.Store(m.Parked > 0)
	return m, errors.Join(errs...)
}

// moveHeld looks at one descriptor again: it may be closed, another file's, or
// mended by way of another process that shares the socket.
func (b *Balancer) moveHeld(h bpf.SocketsHeld, m *Moved) error {
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
	if err := b.objects.Peers.Lookup(int32(fd), &p); err != nil {
		return nil // no socket, or none of ours
	}
	if stray, err := b.stray(fd, p); err != nil || !stray {
		return err
	}
	return b.move(fd, p, m)
}

func (b *Balancer) stray(fd int, p bpf.LBPeer) (bool, error) {
	if Protocol(p.Proto) != UDP {
		return false, nil
	}
	var v bpf.LBBackend
	switch err := b.objects.Backends.Lookup(p.Backend, &v); {
	case err == nil:
		return false, nil
	case !errors.Is(err, ebpf.ErrKeyNotExist):
		return false, fmt.Errorf("read backend: %w", err)
	}
	// The process may have connected it elsewhere in between. A parked socket
	// has no peer's name, since its port is 0.
	name, err := unix.Getpeername(fd)
	if p.BackendPort == 0 {
		return errors.Is(err, unix.ENOTCONN), nil
	}
	return err == nil && addrPortOf(name) == peerAddr(p), nil
}

// move connects by the way of any process: the hook at connect chooses.
func (b *Balancer) move(fd int, p bpf.LBPeer, m *Moved) error {
	served, err := b.served(p)
	if err != nil {
		return err
	}
	if served && connectTo(fd, peerAddr(p)) == nil {
		var now bpf.LBPeer
		if err := b.objects.Peers.Lookup(int32(fd), &now); err == nil && now.Backend != p.Backend {
			m.Connected++
			return nil
		}
		// Untranslated: nothing has this address any more, and it must not stay so.
	} else if p.BackendPort == 0 {
		m.Parked++ // still
		return nil
	}
	if err := connectTo(fd, parkAddr); err != nil {
		m.Cut++
		return disconnect(fd)
	}
	p.BackendAddr, p.BackendPort, p.Backend = be32(parkAddr.Addr()), 0, 0
	m.Parked++
	if err := b.objects.Peers.Put(int32(fd), p); err != nil {
		return fmt.Errorf("note that a socket waits: %w", err)
	}
	return nil
}

// served tells whether connecting to the service again may be of use. To an
// address that nothing has a socket of a pod is connected as it is, and what it
// sends then leaves the node.
func (b *Balancer) served(p bpf.LBPeer) (bool, error) {
	for _, addr := range []uint32{p.Addr, 0} { // 0: a port of the node
		var f bpf.LBFrontend
		k := bpf.LBFrontendKey{Addr: addr, Port: p.Port, Proto: p.Proto, Scope: uint8(Cluster)}
		switch err := b.objects.Frontends.Lookup(k, &f); {
		case err == nil && f.Count > 0:
			return true, nil
		case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
			return false, fmt.Errorf("read frontend: %w", err)
		}
	}
	return false, nil
}

func peerAddr(p bpf.LBPeer) netip.AddrPort {
	return netip.AddrPortFrom(addr4(p.Addr), be16(p.Port))
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
