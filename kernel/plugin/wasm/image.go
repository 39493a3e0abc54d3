package wasm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostImage bounds an image; a module that fills more is left to the engine.
const mostImage = 64 << 20

// segment is an active data segment at a constant address.
type segment struct {
	at   uint32
	init []byte
}

func (s segment) end() uint64 { return uint64(s.at) + uint64(len(s.init)) }

// image is what the memory of a module's instances begins with, kept once and
// mapped copy-on-write into each: a page that a guest does not write costs
// nothing, and an instance opens without copying it. The engine would copy
// every segment and keep a record of it in every instance; Go's linker makes
// some fifty thousand, since it leaves out every handful of zeros.
type image struct {
	fd     int
	length uint64 // whole pages
}

// newImage lays out segments in order; none make no image.
func newImage(segments []segment) (*image, error) {
	var length uint64
	for _, s := range segments {
		length = max(length, roundUp(s.end()))
	}
	if length == 0 {
		return nil, nil
	}
	fd, err := unix.MemfdCreate("wasm-image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory image: %w", err)
	}
	m := &image{fd: fd, length: length}
	if err := m.fill(segments); err != nil {
		_ = m.close()
		return nil, fmt.Errorf("memory image: %w", err)
	}
	return m, nil
}

func (m *image) fill(segments []segment) error {
	if err := unix.Ftruncate(m.fd, int64(m.length)); err != nil {
		return err
	}
	b, err := unix.Mmap(m.fd, 0, int(m.length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for _, s := range segments {
		copy(b[s.at:], s.init)
	}
	return unix.Munmap(b)
}

// mapAt puts the image at the beginning of space, instead of what is mapped
// there.
func (m *image) mapAt(space []byte) error {
	if m == nil {
		return nil
	}
	if uint64(len(space)) < m.length {
		return fmt.Errorf("an image of %d bytes in a space of %d", m.length, len(space))
	}
	_, err := unix.MmapPtr(m.fd, 0, unsafe.Pointer(&space[0]), uintptr(m.length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED)
	return err
}

// close releases the image; instances that have mapped it keep it.
func (m *image) close() error {
	if m == nil {
		return nil
	}
	return unix.Close(m.fd)
}

// takeSegments takes the data segments out of a sanitized module. It takes
// none, and the engine then applies them, when one is not plain, when one does
// not fit in the memory that the module asks for (an error of the module), or
// when its code names segments.
func takeSegments(in []byte) (code []byte, taken []segment) {
	r := &reader{b: in, at: 8}
	out := append(make([]byte, 0, len(in)), in[:8]...)
	var room uint64
	for r.more() {
		from := r.at
		id := r.byte()
		body := r.bytes(r.u32())
		switch id {
		case sectionCount:
			return in, nil
		case sectionMemory:
			m := &reader{b: body}
			if m.u32() == 1 && m.u32() <= 1 {
				room = uint64(m.u32()) * pageSize
			}
		case sectionData:
			var ok bool
			if taken, ok = plainSegments(body, min(room, mostImage)); !ok {
				return in, nil
			}
			continue
		}
		out = append(out, in[from:r.at]...)
	}
	if r.err != nil {
		return in, nil
	}
	return out, taken
}

// plainSegments reads a data section whose segments all lie within room.
func plainSegments(body []byte, room uint64) ([]segment, bool) {
	r := &reader{b: body}
	var out []segment
	for n := r.u32(); n > 0; n-- {
		if r.u32() != 0 || r.byte() != opI32Const {
			return nil, false
		}
		s := segment{at: uint32(r.s32())}
		if r.byte() != opEnd {
			return nil, false
		}
		s.init = r.bytes(r.u32())
		if r.err != nil || s.end() > room {
			return nil, false
		}
		out = append(out, s)
	}
	return out, r.err == nil && r.at == len(body)
}
