package wasm

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tetratelabs/wazero/experimental"
)

const pageSize = 64 << 10

// memory is the linear memory of one guest: address space for all that it may
// ever have is reserved at once, so that growing never moves it and slices of
// it stay valid; pages cost nothing until they are touched.
// RATIONALE.md: "Why does a WASM guest's memory never move?"
type memory struct {
	limit   uint64
	image   *image // what it begins with
	space   []byte // reserved
	refused bool   // the guest asked for more than limit

	length atomic.Uint64 // accessible; read by those who watch the plugin
}

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, max uint64) experimental.LinearMemory {
	size := max
	if size > m.limit {
		size = m.limit
	}
	if size == 0 {
		size = pageSize
	}
	space, err := unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		// Reallocate then refuses, and the instance does not come up.
		m.refused = true
		return m
	}
	m.space = space
	return m
}

// Reallocate implements experimental.LinearMemory: it makes more of the
// reserved space accessible, or answers nil.
func (m *memory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.space)) {
		m.refused = true
		return nil
	}
	if length := m.length.Load(); size > length {
		if err := unix.Mprotect(m.space[length:roundUp(size)], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			m.refused = true
			return nil
		}
		if length == 0 && m.image.mapAt(m.space) != nil {
			m.refused = true
			return nil
		}
		m.length.Store(size)
	}
	return m.space[:size:size]
}

func roundUp(n uint64) uint64 { return (n + 4095) &^ 4095 }

// Free implements experimental.LinearMemory. The engine calls it as soon as a
// module is closed, which a guest does by itself when its program exits, and
// does not look whether code of the guest is called after that. So the memory
// stays until its instance is closed; see release.
func (m *memory) Free() {}

// release gives the memory back when nothing of the guest will run any more.
func (m *memory) release() {
	if m.space != nil {
		// The mapping is this type's own: munmap of it does not fail.
		_ = unix.Munmap(m.space)
		m.space = nil
		m.length.Store(0)
	}
}

func (m *memory) String() string {
	return fmt.Sprintf("%d of %d MiB", m.length.Load()>>20, m.limit>>20)
}

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)
