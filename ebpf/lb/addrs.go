package lb

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// SetNodeAddrs says which addresses are this node's.
func (b *Balancer) SetNodeAddrs(addrs []netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := map[uint32]bool{}
	for _, a := range addrs {
		if a = a.Unmap(); !a.Is4() {
			continue
		}
		want[be32(a)] = true
		if err := b.objects.NodeAddrs.Put(be32(a), uint32(1)); err != nil {
			return fmt.Errorf("write node address %s: %w", a, err)
		}
	}
	var gone []uint32
	var k, v uint32
	it := b.objects.NodeAddrs.Iterate()
	for it.Next(&k, &v) {
		if !want[k] {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read node addresses: %w", err)
	}
	for _, k := range gone {
		if err := ignoreMissing(b.objects.NodeAddrs.Delete(k)); err != nil {
			return fmt.Errorf("delete node address %s: %w", addr4(k), err)
		}
	}
	return nil
}

// SetServiceRanges says in which ranges every address is a Service's: a connect
// or datagram to one of them that no frontend has is refused (ECONNREFUSED), and
// so is a SYN that comes by a device. Addresses of the node are never refused.
// The ranges are kept with the other maps, so that they hold while no agent runs.
func (b *Balancer) SetServiceRanges(ranges []netip.Prefix) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	want := map[bpf.LBRangeKey]bool{}
	for _, r := range ranges {
		if !r.IsValid() {
			return fmt.Errorf("service range %s: not a prefix", r)
		}
		want[rangeKey(r)] = true
	}
	for k := range want {
		if err := b.objects.ServiceRanges.Put(k, uint32(1)); err != nil {
			return fmt.Errorf("write service range: %w", err)
		}
	}
	var (
		gone []bpf.LBRangeKey
		k    bpf.LBRangeKey
		v    uint32
	)
	it := b.objects.ServiceRanges.Iterate()
	for it.Next(&k, &v) {
		if !want[k] {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read service ranges: %w", err)
	}
	for _, k := range gone {
		if err := ignoreMissing(b.objects.ServiceRanges.Delete(k)); err != nil {
			return fmt.Errorf("delete service range: %w", err)
		}
	}
	return nil
}

// rangeKey is p as IPv6, so that one map holds both families.
func rangeKey(p netip.Prefix) bpf.LBRangeKey {
	p = p.Masked()
	k := bpf.LBRangeKey{Bits: uint32(p.Bits())}
	if p.Addr().Is4() {
		k.Bits += 96
	}
	b := p.Addr().As16()
	for i := range k.Addr {
		k.Addr[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return k
}
