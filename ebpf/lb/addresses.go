package lb

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Addresses are what the programs know of addresses beside those of services.
type Addresses struct {
	node   *ebpf.Map
	ranges *ebpf.Map

	mu sync.Mutex // one writer at a time: each makes a map what it is told
}

// SetNodeAddrs says which addresses are this node's.
func (a *Addresses) SetNodeAddrs(addrs []netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := map[bpf.LBAddr]bool{}
	for _, addr := range addrs {
		if addr = addr.Unmap(); !addr.Is4() {
			continue
		}
		want[toAddr(addr)] = true
		if err := a.node.Put(toAddr(addr), uint32(1)); err != nil {
			return fmt.Errorf("write node address %s: %w", addr, err)
		}
	}
	var (
		gone []bpf.LBAddr
		k    bpf.LBAddr
		v    uint32
	)
	it := a.node.Iterate()
	for it.Next(&k, &v) {
		if !want[k] {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read node addresses: %w", err)
	}
	for _, k := range gone {
		if err := ignoreMissing(a.node.Delete(k)); err != nil {
			return fmt.Errorf("delete node address %s: %w", addrOf(k), err)
		}
	}
	return nil
}

// SetServiceRanges says in which ranges every address is a Service's: a connect
// or datagram to one of them that no frontend has is refused (ECONNREFUSED), and
// so is a SYN that comes by a device. Addresses of the node are never refused.
// The ranges are kept with the other maps, so that they hold while no agent runs.
// RATIONALE.md: "Why does the load balancer refuse unknown cluster IPs, when
// there are those routes?"
func (a *Addresses) SetServiceRanges(ranges []netip.Prefix) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := map[bpf.LBRangeKey]bool{}
	for _, r := range ranges {
		if !r.IsValid() {
			return fmt.Errorf("service range %s: not a prefix", r)
		}
		want[rangeKey(r)] = true
	}
	for k := range want {
		if err := a.ranges.Put(k, uint32(1)); err != nil {
			return fmt.Errorf("write service range: %w", err)
		}
	}
	var (
		gone []bpf.LBRangeKey
		k    bpf.LBRangeKey
		v    uint32
	)
	it := a.ranges.Iterate()
	for it.Next(&k, &v) {
		if !want[k] {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read service ranges: %w", err)
	}
	for _, k := range gone {
		if err := ignoreMissing(a.ranges.Delete(k)); err != nil {
			return fmt.Errorf("delete service range: %w", err)
		}
	}
	return nil
}

// rangeKey is p as IPv6, so that one map holds both families.
// RATIONALE.md: "Why have all addresses of the maps 128 bits?"
func rangeKey(p netip.Prefix) bpf.LBRangeKey {
	p = p.Masked()
	k := bpf.LBRangeKey{Bits: uint32(p.Bits()), Addr: toAddr(p.Addr())}
	if p.Addr().Is4() {
		k.Bits += 96
	}
	return k
}
