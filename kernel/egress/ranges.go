package egress

import (
	"net/netip"
	"slices"
	"sync"
)

// Ranges tell of which node's pods an address is. A question takes as many look-ups as
// there are lengths of prefixes in use (one or two), however many nodes there are. The
// zero value is ready. It is safe for concurrent use.
type Ranges struct {
	mu      sync.RWMutex
	byNode  map[string][]netip.Prefix
	nodes   map[netip.Prefix][]string // sorted: two have one range while one replaces the other
	lengths map[length]int            // how many prefixes are of it
}

// length of the prefixes of one family.
type length struct {
	v6   bool
	bits int
}

// Set replaces the ranges of a node; none forgets the node. Invalid prefixes are none.
func (r *Ranges) Set(node string, prefixes []netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set(node, masked(prefixes))
}

// Replace forgets all that was set before.
func (r *Ranges) Replace(all map[string][]netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byNode, r.nodes, r.lengths = nil, nil, nil
	for node, prefixes := range all {
		r.set(node, masked(prefixes))
	}
}

// Node is the node in whose ranges an address is, by the narrowest of these.
func (r *Ranges) Node(ip netip.Addr) (name string, ok bool) {
	ip = ip.Unmap()
	r.mu.RLock()
	defer r.mu.RUnlock()
	best := -1
	for l := range r.lengths {
		if l.v6 != ip.Is6() || l.bits <= best {
			continue
		}
		p, err := ip.WithZone("").Prefix(l.bits)
		if err != nil {
			continue
		}
		if nodes := r.nodes[p]; nodes != nil {
			name, best = nodes[0], l.bits
		}
	}
	return name, best >= 0
}

// masked are valid prefixes, each once, as they are looked up.
func masked(prefixes []netip.Prefix) (out []netip.Prefix) {
	for _, p := range prefixes {
		if p = p.Masked(); p.IsValid() && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// set is called with mu held.
func (r *Ranges) set(node string, prefixes []netip.Prefix) {
	if slices.Equal(r.byNode[node], prefixes) {
		return
	}
	if r.byNode == nil {
		r.byNode, r.nodes, r.lengths = map[string][]netip.Prefix{}, map[netip.Prefix][]string{}, map[length]int{}
	}
	for _, p := range r.byNode[node] {
		if r.nodes[p] = slices.DeleteFunc(r.nodes[p], func(n string) bool { return n == node }); len(r.nodes[p]) == 0 {
			delete(r.nodes, p)
		}
		l := lengthOf(p)
		if r.lengths[l]--; r.lengths[l] == 0 {
			delete(r.lengths, l)
		}
	}
	delete(r.byNode, node)
	for _, p := range prefixes {
		r.byNode[node] = append(r.byNode[node], p)
		r.nodes[p] = append(r.nodes[p], node)
		slices.Sort(r.nodes[p])
		r.lengths[lengthOf(p)]++
	}
}

func lengthOf(p netip.Prefix) length { return length{p.Addr().Is6(), p.Bits()} }
