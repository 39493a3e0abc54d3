package columns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// The version of the region's format. A reader refuses another major.
const (
	Major = 1
	Minor = 0
)

// PageSize is the alignment of a region and the unit of its size.
const PageSize = 4096

// MaxRows and MaxColumns bound what a header may ask for.
const (
	MaxRows    = 1 << 20
	MaxColumns = 1 << 12
)

const (
	magic       = 0x4c544e50 // "PNTL"
	headerWords = 5
	columnWords = 5
	columnAlign = 64
)

// Type is the type of a column's elements.
type Type uint32

// The types. A Bits column has one bit per row, in words of 64.
const (
	Int64 Type = iota + 1
	Uint32
	Bits
)

// ID names what a column holds; columns.txt declares them.
type ID uint32

// Bits of the Flags column.
const (
	FlagUnschedulable uint32 = 1 << iota
	FlagReady
)

// Column is one column of a region.
type Column struct {
	ID   ID
	Type Type
	// Key tells columns of one ID apart; 0 where there is only one.
	Key    uint32
	Offset uint32 // in bytes from the region's start
	Stride uint32 // in bytes from row to row; 0 for Bits
}

// Layout says where each column of a region lies.
type Layout struct {
	Capacity int // rows
	Size     int // bytes, a multiple of PageSize
	Columns  []Column
}

// Errors of Parse.
var (
	ErrVersion   = errors.New("region has another format version")
	ErrMalformed = errors.New("region header is malformed")
)

// Plan gives every column its place: ID, Type and Key are taken from cols,
// Offset and Stride are filled in.
func Plan(capacity int, cols []Column) Layout {
	l := Layout{Capacity: capacity, Columns: append([]Column(nil), cols...)}
	pos := (headerWords + columnWords*len(cols)) * 4
	for i := range l.Columns {
		pos = alignUp(pos, columnAlign)
		c := &l.Columns[i]
		c.Offset, c.Stride = uint32(pos), stride(c.Type)
		pos += bytesOf(c.Type, capacity)
	}
	l.Size = alignUp(pos, PageSize)
	return l
}

// WriteHeader describes the layout at the region's start.
func (l Layout) WriteHeader(region []byte) error {
	if len(region) < l.Size {
		return fmt.Errorf("region of %d bytes for a layout of %d: %w", len(region), l.Size, ErrMalformed)
	}
	words := []uint32{magic, Major<<16 | Minor, uint32(l.Size), uint32(l.Capacity), uint32(len(l.Columns))}
	for _, c := range l.Columns {
		words = append(words, uint32(c.ID), uint32(c.Type), c.Key, c.Offset, c.Stride)
	}
	for i, w := range words {
		binary.LittleEndian.PutUint32(region[i*4:], w)
	}
	return nil
}

// Parse reads the header of a region and checks that every column lies
// within.
//
// # Errors
//   - ErrVersion when the major version differs
//   - ErrMalformed
func Parse(region []byte) (Layout, error) {
	if len(region) < headerWords*4 {
		return Layout{}, ErrMalformed
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(region[i*4:]) }
	if word(0) != magic {
		return Layout{}, ErrMalformed
	}
	if major := word(1) >> 16; major != Major {
		return Layout{}, fmt.Errorf("version %d.%d, known is %d.%d: %w", major, word(1)&0xffff, Major, Minor, ErrVersion)
	}
	l := Layout{Size: int(word(2)), Capacity: int(word(3))}
	n := int(word(4))
	if l.Size > len(region) || l.Capacity > MaxRows || n > MaxColumns || (headerWords+n*columnWords)*4 > l.Size {
		return Layout{}, ErrMalformed
	}
	l.Columns = make([]Column, n)
	for i := range l.Columns {
		w := headerWords + i*columnWords
		c := Column{ID: ID(word(w)), Type: Type(word(w + 1)), Key: word(w + 2), Offset: word(w + 3), Stride: word(w + 4)}
		if c.Type >= Int64 && c.Type <= Bits {
			if c.Offset%8 != 0 || c.Stride != stride(c.Type) || int(c.Offset)+bytesOf(c.Type, l.Capacity) > l.Size {
				return Layout{}, ErrMalformed
			}
		}
		l.Columns[i] = c
	}
	return l, nil
}

// Find returns the index of a column, -1 when there is none.
func (l Layout) Find(id ID, key uint32) int {
	for i, c := range l.Columns {
		if c.ID == id && c.Key == key {
			return i
		}
	}
	return -1
}

// Int64s returns a column of a region that Parse or Plan described; nil when
// the layout has no such column of that type.
func (l Layout) Int64s(region []byte, id ID, key uint32) []int64 {
	if b := l.bytes(region, id, key, Int64); b != nil {
		return unsafe.Slice((*int64)(unsafe.Pointer(&b[0])), l.Capacity)
	}
	return nil
}

// Uint32s is Int64s for columns of Uint32.
func (l Layout) Uint32s(region []byte, id ID, key uint32) []uint32 {
	if b := l.bytes(region, id, key, Uint32); b != nil {
		return unsafe.Slice((*uint32)(unsafe.Pointer(&b[0])), l.Capacity)
	}
	return nil
}

// Mask is Int64s for columns of Bits.
func (l Layout) Mask(region []byte, id ID, key uint32) vector.Mask {
	if b := l.bytes(region, id, key, Bits); b != nil {
		return unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), vector.Words(l.Capacity))
	}
	return nil
}

func (l Layout) bytes(region []byte, id ID, key uint32, t Type) []byte {
	i := l.Find(id, key)
	if i < 0 || l.Capacity == 0 || l.Columns[i].Type != t || len(region) < l.Size || !aligned(region) {
		return nil
	}
	off := int(l.Columns[i].Offset)
	return region[off : off+bytesOf(t, l.Capacity)]
}

// Region allocates zeroed memory for the layout on the heap, aligned to a
// page.
func (l Layout) Region() []byte { return Alloc(l.Size) }

// Alloc returns n zeroed bytes that begin on a page boundary.
func Alloc(n int) []byte {
	buf := make([]byte, n+PageSize)
	skip := int(-uintptr(unsafe.Pointer(&buf[0])) & (PageSize - 1))
	return buf[skip : skip+n : skip+n]
}

func aligned(b []byte) bool { return len(b) > 0 && uintptr(unsafe.Pointer(&b[0]))%8 == 0 }

func stride(t Type) uint32 {
	switch t {
	case Int64:
		return 8
	case Uint32:
		return 4
	}
	return 0
}

func bytesOf(t Type, rows int) int {
	if t == Bits {
		return vector.Words(rows) * 8
	}
	return int(stride(t)) * rows
}

func alignUp(n, to int) int { return (n + to - 1) / to * to }
