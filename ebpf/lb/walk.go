package lb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// walk finds the descriptors of stray sockets.
type walk struct {
	objects bpf.SocketsObjects
	iter    *link.Iter
	err     error // why there is none
}

// openWalk never fails: the load balancer works without, on a kernel that lacks
// something.
func openWalk(m *bpf.LBMaps) (w walk) {
	spec, err := bpf.LoadSockets()
	if err != nil {
		return walk{err: err}
	}
	spec.Maps[bpf.SocketsMapBackends].MaxEntries = m.Backends.MaxEntries()
	shared := map[string]*ebpf.Map{bpf.SocketsMapBackends: m.Backends, bpf.SocketsMapPeers: m.Peers}
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
