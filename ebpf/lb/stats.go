package lb

import (
	"fmt"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Stats count what the programs did since the maps were made.
type Stats struct {
	SocketsTranslated uint64 // connects, and first datagrams of unconnected sockets
	SocketsRefused    uint64 // for want of a backend
	SocketsUnserved   uint64 // refused: an address of a service range that no Service has
	FlowsOpened       uint64
	FlowsRefused      uint64 // for want of a backend
	PacketsTranslated uint64
	PacketsRedirected uint64 // of those, routed without the stack
	PacketsUnroutable uint64 // dropped: no route for the translated packet
	PacketsUnserved   uint64 // SYNs answered by RST: no Service, or none that serves
	FlowsWithoutPort  uint64 // not opened: all source ports to the backend are in use
}

// Stats reads the counters.
func (b *Balancer) Stats() (Stats, error) {
	var s Stats
	for c, to := range map[bpf.LBCounter]*uint64{
		bpf.LBCounterCOUNT_SOCKET_TRANSLATED: &s.SocketsTranslated,
		bpf.LBCounterCOUNT_SOCKET_REFUSED:    &s.SocketsRefused,
		bpf.LBCounterCOUNT_SOCKET_UNSERVED:   &s.SocketsUnserved,
		bpf.LBCounterCOUNT_PACKET_UNSERVED:   &s.PacketsUnserved,
		bpf.LBCounterCOUNT_FLOW_NEW:          &s.FlowsOpened,
		bpf.LBCounterCOUNT_FLOW_REFUSED:      &s.FlowsRefused,
		bpf.LBCounterCOUNT_PACKET_TRANSLATED: &s.PacketsTranslated,
		bpf.LBCounterCOUNT_PACKET_REDIRECTED: &s.PacketsRedirected,
		bpf.LBCounterCOUNT_PACKET_NO_ROUTE:   &s.PacketsUnroutable,
		bpf.LBCounterCOUNT_NO_SOURCE_PORT:    &s.FlowsWithoutPort,
	} {
		var perCPU []uint64
		if err := b.objects.Counters.Lookup(uint32(c), &perCPU); err != nil {
			return Stats{}, fmt.Errorf("read counter %v: %w", c, err)
		}
		for _, n := range perCPU {
			*to += n
		}
	}
	return s, nil
}
