package attach

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Classic filters run programs on a device by a clsact queueing discipline, on
// kernels without tcx. They outlive the process without a pin.
type Classic struct {
	// Name marks the filters as ours.
	Name string
	// Handle is what the kernel tells filters apart by, so each has its own,
	// whatever its name: Attach refuses one that has another name's. Of several,
	// the one that was added last runs first. It is not 0.
	Handle uint32
}

// priority is the filters': one for all, in which the order is theirs.
const priority = 1

var classicParents = []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}

// Attach runs the programs on a device, in place of what the same Classic
// attached there before, each in one step.
//
// # Errors
//
// An error wraps [ErrTaken] when a filter of another name has the handle.
func (c Classic) Attach(index int, ingress, egress *ebpf.Program) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact to device %d: %w", index, err)
	}
	if err := c.free(index); err != nil {
		return err
	}
	// Egress first: a reply must find its way before a request goes.
	for _, h := range []struct {
		parent  uint32
		program *ebpf.Program
	}{{netlink.HANDLE_MIN_EGRESS, egress}, {netlink.HANDLE_MIN_INGRESS, ingress}} {
		f := &netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: h.parent, Handle: c.Handle, Priority: priority, Protocol: unix.ETH_P_ALL},
			Fd:           h.program.FD(),
			Name:         c.Name,
			DirectAction: true,
		}
		if err := netlink.FilterReplace(f); err != nil {
			return fmt.Errorf("add a filter to device %d: %w", index, err)
		}
	}
	return nil
}

// ErrTaken is wrapped when a filter would take the place of another purpose's.
var ErrTaken = errors.New("the handle is another filter's")

// free refuses to take another name's place on a device.
func (c Classic) free(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %d: %w", index, err)
	}
	for _, f := range bpfFilters(l) {
		if f.Handle == c.Handle && f.Priority == priority && f.Name != c.Name {
			return fmt.Errorf("add filter %s, handle %d, to device %d, which has %s: %w", c.Name, c.Handle, index, f.Name, ErrTaken)
		}
	}
	return nil
}

// Devices returns the indexes of the devices of this network namespace that have
// filters of this name and handle.
func (c Classic) Devices() ([]int, error) {
	links, err := devices()
	if err != nil {
		return nil, err
	}
	var out []int
	for _, l := range links {
		if len(c.filters(l)) > 0 {
			out = append(out, l.Attrs().Index)
		}
	}
	return out, nil
}

// Detach takes the filters of this name and handle off a device, which may be
// gone; those of every handle if it is 0.
func (c Classic) Detach(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil // gone with its filters
	}
	return c.detach(l)
}

// DetachAll takes the filters off every device of this network namespace.
func (c Classic) DetachAll() error {
	links, err := devices()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, c.detach(l))
	}
	return errors.Join(errs...)
}

func (c Classic) detach(l netlink.Link) error {
	var errs []error
	for _, f := range c.filters(l) {
		errs = append(errs, netlink.FilterDel(f))
	}
	return errors.Join(errs...)
}

func (c Classic) filters(l netlink.Link) []*netlink.BpfFilter {
	return slices.DeleteFunc(bpfFilters(l), func(f *netlink.BpfFilter) bool {
		return f.Name != c.Name || c.Handle != 0 && f.Handle != c.Handle
	})
}

// bpfFilters are the eBPF filters of a device, of all names.
func bpfFilters(l netlink.Link) []*netlink.BpfFilter {
	var out []*netlink.BpfFilter
	for _, parent := range classicParents {
		all, err := netlink.FilterList(l, parent)
		if err != nil {
			continue // no clsact here, or the device is gone
		}
		for _, f := range all {
			if bf, ok := f.(*netlink.BpfFilter); ok {
				out = append(out, bf)
			}
		}
	}
	return out
}

func devices() ([]netlink.Link, error) {
	var links []netlink.Link
	var err error = netlink.ErrDumpInterrupted // devices came or went: the list has holes
	for try := 0; try < 10 && errors.Is(err, netlink.ErrDumpInterrupted); try++ {
		links, err = netlink.LinkList()
	}
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return links, nil
}
