package lb

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// A Verdict is what becomes of a packet after the programs.
type Verdict int32

// The verdicts that the programs give.
const (
	Pass     Verdict = -1 // to the next program, and then the stack
	Drop     Verdict = 2
	Redirect Verdict = 7 // routed to another device, without the stack
)

// Direction says which way a packet passes a device.
type Direction int

// The directions.
const (
	Ingress Direction = iota
	Egress
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
func (b *Balancer) Try(way Direction, device int, frame []byte) (Verdict, []byte, error) {
	p := b.objects.LbIngress
	if way == Egress {
		p = b.objects.LbEgress
	}
	out := make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{Data: frame, DataOut: out, Repeat: 1, Context: skb{IngressIfindex: uint32(device), Ifindex: uint32(device)}}
	v, err := p.Run(&opts)
	if err != nil {
		return 0, nil, fmt.Errorf("run a packet: %w", err)
	}
	return Verdict(int32(v)), opts.DataOut, nil
}
