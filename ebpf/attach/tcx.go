package attach

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// A Direction is the way that a packet passes a device.
type Direction int

// The directions.
const (
	Ingress Direction = iota
	Egress
)

// String returns the direction's name.
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// TCX is one direction of a device (Linux 6.6 and later).
type TCX struct {
	Index int
	Way   Direction
	// Before, when set, is a link on the same hook that runs after the new one;
	// without, all that are on the hook run before it.
	Before link.Link
}

func (t TCX) attach(p *ebpf.Program) (link.Link, error) {
	o := link.TCXOptions{Interface: t.Index, Program: p, Attach: ebpf.AttachTCXIngress}
	if t.Way == Egress {
		o.Attach = ebpf.AttachTCXEgress
	}
	if t.Before != nil {
		o.Anchor = link.BeforeLink(t.Before)
	}
	return link.AttachTCX(o)
}

func (t TCX) has(i *link.Info) bool {
	at := ebpf.AttachTCXIngress
	if t.Way == Egress {
		at = ebpf.AttachTCXEgress
	}
	x := i.TCX()
	return x != nil && x.Ifindex == uint32(t.Index) && uint32(x.AttachType) == uint32(at)
}

// String says which way of which device.
func (t TCX) String() string { return fmt.Sprintf("the %s of device %d", t.Way, t.Index) }
