package lb

import (
	"hash/fnv"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// maglev fills the lookup table of "Maglev: A Fast and Reliable Software
// Network Load Balancer", section 3.4: every backend walks a permutation of its
// own, made from its name alone, and takes the next free place in turn. So two
// nodes with the same backends make the same table, and one backend more or
// less moves few places.
func maglev(names []string, ids []uint32) bpf.LBMaglevTable {
	var t bpf.LBMaglevTable
	m := uint64(len(t.Backend)) // prime
	if len(names) == 0 {
		return t
	}
	place := make([]uint64, len(names))
	step := make([]uint64, len(names))
	for i, name := range names {
		h := fnv.New64a()
		h.Write([]byte(name))
		sum := mix(h.Sum64())
		place[i] = sum % m
		step[i] = mix(sum)%(m-1) + 1
	}
	taken := make([]bool, m)
	for filled := uint64(0); filled < m; {
		for i := range names {
			for taken[place[i]] {
				place[i] = (place[i] + step[i]) % m
			}
			taken[place[i]] = true
			t.Backend[place[i]] = ids[i]
			if filled++; filled == m {
				break
			}
		}
	}
	return t
}

// mix spreads the bits of FNV, whose low ones are weak for similar names.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
