package lb

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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

// classicName marks the filters that are ours.
const classicName = "pintle_lb"

// AttachDevice translates packets that pass by d from now on. It must be called
// on a thread in the network namespace of the device.
func (b *Balancer) AttachDevice(d Device) error {
	if !d.Addr.Is4() || d.Index <= 0 {
		return fmt.Errorf("device %d, address %s: want an index and an IPv4 address", d.Index, d.Addr)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := bpf.LBDevice{Addr: be32(d.Addr), Kind: uint32(d.Kind)}
	if err := b.objects.Devices.Put(uint32(d.Index), v); err != nil {
		return fmt.Errorf("write device %d: %w", d.Index, err)
	}
	if b.cfg.Classic {
		return b.attachClassic(d.Index)
	}
	// Egress first: a reply must find its way before a request goes.
	err := b.attachTCX(d.Index, "egress", ebpf.AttachTCXEgress, b.objects.LbEgress)
	if err == nil {
		err = b.attachTCX(d.Index, "ingress", ebpf.AttachTCXIngress, b.objects.LbIngress)
	}
	if errors.Is(err, ErrNotSupported) {
		return b.attachClassic(d.Index)
	}
	return err
}

func tcxName(index int, way string) string { return fmt.Sprintf("tc-%d-%s", index, way) }

func (b *Balancer) attachTCX(index int, way string, at ebpf.AttachType, p *ebpf.Program) error {
	same := func(i *link.Info) bool {
		t := i.TCX()
		return t != nil && t.Ifindex == uint32(index)
	}
	err := b.attach(tcxName(index, way), p, same, func() (link.Link, error) {
		return link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: at})
	})
	if err != nil {
		return fmt.Errorf("attach to the %s of device %d: %w", way, index, err)
	}
	return nil
}

// DetachDevice undoes AttachDevice; the device may be gone.
func (b *Balancer) DetachDevice(index int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := []error{b.drop(tcxName(index, "ingress")), b.drop(tcxName(index, "egress"))}
	if err := b.objects.Devices.Delete(uint32(index)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		errs = append(errs, err)
	}
	if l, err := netlink.LinkByIndex(index); err == nil {
		errs = append(errs, removeFilters(l))
	}
	return errors.Join(errs...)
}

// Devices returns the indexes of the devices that are known, attached by this
// process or by a predecessor.
func (b *Balancer) Devices() ([]int, error) {
	var (
		out []int
		k   uint32
		v   bpf.LBDevice
	)
	it := b.objects.Devices.Iterate()
	for it.Next(&k, &v) {
		out = append(out, int(k))
	}
	return out, it.Err()
}

var classicParents = []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}

func (b *Balancer) attachClassic(index int) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to device %d: %w", index, err)
	}
	for i, p := range []*ebpf.Program{b.objects.LbIngress, b.objects.LbEgress} {
		f := &netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: classicParents[i], Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
			Fd:           p.FD(),
			Name:         classicName,
			DirectAction: true,
		}
		if err := netlink.FilterReplace(f); err != nil {
			return fmt.Errorf("add a filter to device %d: %w", index, err)
		}
	}
	return nil
}

// removeClassic takes our filters off every device of this network namespace.
func removeClassic() error {
	var links []netlink.Link
	var err error = netlink.ErrDumpInterrupted // devices came or went: the list has holes
	for try := 0; try < 10 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		links, err = netlink.LinkList()
	}
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, removeFilters(l))
	}
	return errors.Join(errs...)
}

func removeFilters(l netlink.Link) error {
	var errs []error
	for _, parent := range classicParents {
		filters, err := netlink.FilterList(l, parent)
		if err != nil {
			continue // no clsact here, or the device is gone
		}
		for _, f := range filters {
			if bf, ok := f.(*netlink.BpfFilter); ok && bf.Name == classicName {
				errs = append(errs, netlink.FilterDel(f))
			}
		}
	}
	return errors.Join(errs...)
}
