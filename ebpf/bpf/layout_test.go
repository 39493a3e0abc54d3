package bpf_test

import (
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// entry is the sizes that Go has of a map's keys and values.
type entry struct{ key, value uintptr }

func size[K, V any]() entry {
	var (
		k K
		v V
	)
	return entry{unsafe.Sizeof(k), unsafe.Sizeof(v)}
}

// Programs and user space share memory: of every map, in every object, both have
// one idea of an entry.
func TestSizesAgree(t *testing.T) {
	want := map[string]entry{
		bpf.LBMapFrontends:     size[bpf.LBFrontendKey, bpf.LBFrontend](),
		bpf.LBMapSlots:         size[bpf.LBSlotKey, uint32](),
		bpf.LBMapBackends:      size[uint32, bpf.LBBackend](),
		bpf.LBMapMaglev:        size[uint32, bpf.LBMaglevTable](),
		bpf.LBMapNodeAddrs:     size[bpf.LBAddr, uint32](),
		bpf.LBMapDevices:       size[uint32, bpf.LBDevice](),
		bpf.LBMapServiceRanges: size[bpf.LBRangeKey, uint32](),
		bpf.LBMapAffinities:    size[bpf.LBAffinityKey, bpf.LBAffinity](),
		bpf.LBMapDatagrams:     size[bpf.LBDatagramKey, bpf.LBDatagram](),
		bpf.LBMapFlows:         size[bpf.LBFlow, bpf.LBNat](),
		bpf.LBMapPeers:         size[int32, bpf.LBPeer](),
		bpf.LBMapCounters:      size[uint32, uint64](),
	}
	for object, load := range map[string]func() (*ebpf.CollectionSpec, error){"lb": bpf.LoadLB, "sockets": bpf.LoadSockets, "takeover": bpf.LoadTakeover} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		for name, m := range spec.Maps {
			w, ok := want[name]
			switch {
			case name[0] == '.': // .rodata
			case !ok:
				t.Errorf("%s: map %s is not in this test", object, name)
			case uintptr(m.KeySize) != w.key || uintptr(m.ValueSize) != w.value:
				t.Errorf("%s: map %s: entries of %d and %d bytes, want %d and %d", object, name, m.KeySize, m.ValueSize, w.key, w.value)
			}
		}
	}
}

// Keys are compared as bytes: a hole between their fields would hold anything.
func TestKeysHaveNoHoles(t *testing.T) {
	spec, err := bpf.LoadLB()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range spec.Maps {
		s, ok := btf.As[*btf.Struct](m.Key)
		if !ok {
			continue
		}
		end := uint32(0)
		for _, f := range s.Members {
			if f.Offset.Bytes() != end {
				t.Errorf("map %s: a hole before %s", name, f.Name)
			}
			n, err := btf.Sizeof(f.Type)
			if err != nil {
				t.Fatal(err)
			}
			end = f.Offset.Bytes() + uint32(n)
		}
		if end != s.Size {
			t.Errorf("map %s: a hole at the end of its key", name)
		}
	}
}
