package layout1

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// CopyTables copies what user space wrote: services under the ids that they
// have, addresses and devices. No program may use the maps yet.
func (m *Maps) CopyTables(to *bpf.LBMaps) error {
	return errors.Join(
		copyAll(m, bpf.LBMapBackends, to.Backends, keep[uint32], func(b Backend) bpf.LBBackend {
			return bpf.LBBackend{Addr: b.Addr.mapped(), Port: b.Port, Proto: b.Proto, Flags: b.Flags}
		}),
		copyAll(m, bpf.LBMapSlots, to.Slots, keep[bpf.LBSlotKey], keep[uint32]),
		copyAll(m, bpf.LBMapMaglev, to.Maglev, keep[uint32], keep[bpf.LBMaglevTable]),
		copyAll(m, bpf.LBMapFrontends, to.Frontends, func(k FrontendKey) bpf.LBFrontendKey {
			return bpf.LBFrontendKey{Addr: k.Addr.mapped(), Port: k.Port, Proto: k.Proto, Scope: k.Scope}
		}, keep[bpf.LBFrontend]),
		copyAll(m, bpf.LBMapNodeAddrs, to.NodeAddrs, Addr.mapped, keep[uint32]),
		copyAll(m, bpf.LBMapDevices, to.Devices, keep[uint32], func(d Device) bpf.LBDevice {
			return bpf.LBDevice{Addr: d.Addr.mapped(), Kind: d.Kind}
		}),
		copyRanges(m.byName[bpf.LBMapServiceRanges], to.ServiceRanges),
	)
}

// CopyLive copies what the programs of this layout noted of clients: affinities,
// unconnected datagrams, translated flows. What the present programs noted later
// is kept. Both may be running.
func (m *Maps) CopyLive(to *bpf.LBMaps) error {
	affinities := each(m.byName[bpf.LBMapAffinities], func(k AffinityKey, v bpf.LBAffinity) error {
		key := bpf.LBAffinityKey{Service: k.Service}
		key.Client.Addr = client(k.Client)
		return putNewer(to.Affinities, key, v, func(have bpf.LBAffinity) bool { return have.Last >= v.Last })
	})
	datagrams := each(m.byName[bpf.LBMapDatagrams], func(k DatagramKey, v Datagram) error {
		return putNewer(to.Datagrams,
			bpf.LBDatagramKey{Cookie: k.Cookie, Addr: k.Addr.mapped(), Port: k.Port, Reply: k.Reply},
			bpf.LBDatagram{Addr: v.Addr.mapped(), Port: v.Port, Backend: v.Backend},
			func(bpf.LBDatagram) bool { return true })
	})
	flows := each(m.byName[bpf.LBMapFlows], func(k Flow, v NAT) error {
		return putNewer(to.Flows,
			bpf.LBFlow{Saddr: k.Saddr.mapped(), Daddr: k.Daddr.mapped(), Sport: k.Sport, Dport: k.Dport, Proto: k.Proto},
			bpf.LBNat{Saddr: v.Saddr.mapped(), Daddr: v.Daddr.mapped(), Sport: v.Sport, Dport: v.Dport, Backend: v.Backend, Flags: v.Flags, Seen: v.Seen},
			func(have bpf.LBNat) bool { return have.Seen >= v.Seen })
	})
	return errors.Join(affinities, datagrams, flows)
}

// CopyPeers copies what is kept with connected sockets. What the present
// programs noted is kept, so they must be the only ones that note it by now.
// Where the kernel lists no sockets, those that a process holds as a descriptor are
// looked for (see copyHeld).
//
// # Errors
//
// An error wraps [ebpf.ErrNotSupported] when neither is possible; then a
// connection that was there shows its backend's address as its peer.
func (m *Maps) CopyPeers(to *bpf.LBMaps) error {
	from := m.byName[bpf.LBMapPeers]
	err := copyListed(from, to.Peers)
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) {
		return copyHeld(from, to.Peers, "/proc")
	}
	return err
}

// copyListed has a program run over all sockets that the map knows.
func copyListed(from, to *ebpf.Map) error {
	spec, err := bpf.LoadTakeover()
	if err != nil {
		return fmt.Errorf("read programs: %w", err)
	}
	var o bpf.TakeoverObjects
	shared := map[string]*ebpf.Map{bpf.TakeoverMapPeers: to}
	if err := spec.LoadAndAssign(&o, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return fmt.Errorf("load the walk over sockets: %w", err)
	}
	defer o.Close()
	it, err := link.AttachIter(link.IterOptions{Program: o.LbCopyPeers, Map: from})
	if err != nil {
		return fmt.Errorf("attach the walk over sockets: %w", err)
	}
	defer it.Close()
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("walk over sockets: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("walk over sockets: %w", err)
	}
	return nil
}
