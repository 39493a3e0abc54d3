package lb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

// DeviceKind says which way a device faces.
type DeviceKind uint32

const (
	// Uplink devices face other machines.
	Uplink = DeviceKind(bpf.LBDeviceKindDEVICE_UPLINK)
	// Bridge devices face the pods of this node.
	Bridge = DeviceKind(bpf.LBDeviceKindDEVICE_BRIDGE)
)

// A Device is an Ethernet device of the node on which packets are translated.
type Device struct {
	Index int
	Kind  DeviceKind
	// Addr is the source that a translated packet gets when its reply would
	// otherwise miss this node: an address of the device.
	Addr netip.Addr
}

// Packets translates packets at devices.
type Packets struct {
	classicOnly bool // no tcx, even where the kernel has it
	devices     *ebpf.Map
	programs    *bpf.LBPrograms
	links       *attach.Links
	takeOver    func() error // from a predecessor, before anything is attached
}

// classicName marks the filters that are ours.
const classicName = "pintle_lb"

// classic are the filters for kernels without tcx, in all layouts the same, so
// that any version replaces what runs; beside are those of a takeover.
var (
	classic = attach.Classic{Name: classicName, Handle: 1}
	beside  = attach.Classic{Name: classicName, Handle: 2}
)

// AttachDevice translates packets that pass by d from now on, and ends a
// predecessor as [Sockets.Attach] does. It must be called on a thread in the
// network namespace of the device.
func (p *Packets) AttachDevice(d Device) error {
	if err := p.takeOver(); err != nil {
		return err
	}
	if !d.Addr.Is4() || d.Index <= 0 {
		return fmt.Errorf("device %d, address %s: want an index and an IPv4 address", d.Index, d.Addr)
	}
	v := bpf.LBDevice{Addr: toAddr(d.Addr), Kind: uint32(d.Kind)}
	if err := p.devices.Put(uint32(d.Index), v); err != nil {
		return fmt.Errorf("write device %d: %w", d.Index, err)
	}
	if p.classicOnly {
		return p.attachClassic(d.Index)
	}
	// Egress first: a reply must find its way before a request goes.
	err := p.attachTCX(d.Index, attach.Egress)
	if err == nil {
		err = p.attachTCX(d.Index, attach.Ingress)
	}
	if errors.Is(err, attach.ErrNotSupported) {
		return p.attachClassic(d.Index)
	}
	return err
}

func tcxName(index int, way attach.Direction) string { return fmt.Sprintf("tc-%d-%s", index, way) }

func (p *Packets) program(way attach.Direction) *ebpf.Program {
	if way == attach.Egress {
		return p.programs.LbEgress
	}
	return p.programs.LbIngress
}

func (p *Packets) attachTCX(index int, way attach.Direction) error {
	return p.links.Attach(tcxName(index, way), attach.TCX{Index: index, Way: way}, p.program(way))
}

func (p *Packets) attachClassic(index int) error {
	return classic.Attach(index, p.programs.LbIngress, p.programs.LbEgress)
}

// DetachDevice undoes AttachDevice; the device may be gone.
func (p *Packets) DetachDevice(index int) error {
	return errors.Join(
		p.links.Drop(tcxName(index, attach.Ingress)),
		p.links.Drop(tcxName(index, attach.Egress)),
		ignoreMissing(p.devices.Delete(uint32(index))),
		attach.Classic{Name: classicName}.Detach(index),
	)
}

// Devices returns the indexes of the devices that are known, attached by this
// process or by a predecessor.
func (p *Packets) Devices() ([]int, error) {
	var (
		out []int
		k   uint32
		v   bpf.LBDevice
	)
	it := p.devices.Iterate()
	for it.Next(&k, &v) {
		out = append(out, int(k))
	}
	return out, it.Err()
}

// A Verdict is what becomes of a packet after the programs.
type Verdict int32

// The verdicts that the programs give.
const (
	Pass     Verdict = -1 // to the next program, and then the stack
	Drop     Verdict = 2
	Redirect Verdict = 7 // routed to another device, without the stack
)

// skb is the head of struct __sk_buff, as far as Try fills it in.
type skb struct {
	Len, PktType, Mark, QueueMapping          uint32
	Protocol, VlanPresent, VlanTCI, VlanProto uint32
	Priority, IngressIfindex, Ifindex         uint32
}

// Try runs a packet (an Ethernet frame) through the program of one direction as
// if it passed the device, and returns what came out. Nothing is sent; but the
// flow that the packet opens is tracked as any other.
func (p *Packets) Try(way attach.Direction, device int, frame []byte) (Verdict, []byte, error) {
	out := make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{Data: frame, DataOut: out, Repeat: 1, Context: skb{IngressIfindex: uint32(device), Ifindex: uint32(device)}}
	v, err := p.program(way).Run(&opts)
	if err != nil {
		return 0, nil, fmt.Errorf("run a packet: %w", err)
	}
	return Verdict(int32(v)), opts.DataOut, nil
}
