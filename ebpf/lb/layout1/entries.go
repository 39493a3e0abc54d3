package layout1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/bpf"
)

// mapped is the address as the present layout has it: mapped into IPv6.
func (a Addr) mapped() bpf.LBAddr {
	var out bpf.LBAddr
	out.W[2] = binary.NativeEndian.Uint32([]byte{0, 0, 0xff, 0xff})
	out.W[3] = uint32(a)
	return out
}

// client is who asked: an address, or a network namespace, which begins with
// bits that no address begins with.
func client(c uint64) bpf.LBAddr {
	if c&clientAddr != 0 {
		return Addr(c).mapped()
	}
	var out bpf.LBAddr
	out.W[0], out.W[1] = math.MaxUint32, math.MaxUint32
	out.W[2], out.W[3] = uint32(c), uint32(c>>32) // as a little-endian machine has 64 bits
	return out
}

func keep[T any](v T) T { return v }

// chunk is how many entries one call reads or writes.
const chunk = 1024

// batches reads a hash map in batches, which lose no entry while others write.
func batches[K, V any](from *ebpf.Map, f func([]K, []V) error) error {
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, chunk), make([]V, chunk)
	for {
		n, err := from.BatchLookup(&cursor, keys, values, nil)
		end := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !end {
			return fmt.Errorf("read %v: %w", from, err)
		}
		if err := f(keys[:n], values[:n]); err != nil || end {
			return err
		}
	}
}

func each[K, V any](from *ebpf.Map, f func(K, V) error) error {
	return batches(from, func(keys []K, values []V) error {
		for i := range keys {
			if err := f(keys[i], values[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// copyAll writes every entry of a map, converted, to another one.
func copyAll[K, V, K2, V2 any](m *Maps, name string, to *ebpf.Map, key func(K) K2, value func(V) V2) error {
	return batches(m.byName[name], func(keys []K, values []V) error {
		if len(keys) == 0 {
			return nil
		}
		k, v := make([]K2, len(keys)), make([]V2, len(keys))
		for i := range keys {
			k[i], v[i] = key(keys[i]), value(values[i])
		}
		if _, err := to.BatchUpdate(k, v, nil); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	})
}

// copyRanges copies a map that has no batches; it is small, and nobody writes it.
func copyRanges(from, to *ebpf.Map) error {
	var (
		k bpf.LBRangeKey
		v uint32
	)
	it := from.Iterate()
	for it.Next(&k, &v) {
		if err := to.Put(k, v); err != nil {
			return fmt.Errorf("write service range: %w", err)
		}
	}
	return it.Err()
}

// putNewer writes an entry unless there is one that is as new.
func putNewer[K, V any](to *ebpf.Map, k K, v V, asNew func(V) bool) error {
	err := to.Update(k, v, ebpf.UpdateNoExist)
	if !errors.Is(err, ebpf.ErrKeyExist) {
		return err
	}
	var have V
	switch err := to.Lookup(k, &have); {
	case errors.Is(err, ebpf.ErrKeyNotExist): // just made room for another one
	case err != nil:
		return err
	case asNew(have):
		return nil
	}
	return to.Put(k, v)
}
