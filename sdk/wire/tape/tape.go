// Package tape is a read-only form of one object that a kernel builds once and
// every policy reads in place: a flat array of four-word nodes, a table of the
// keys that occur, and the text. Reading a field costs no allocation and
// decodes nothing else.
//
// All words are 32 bits, little endian:
//
//	header  magic, version, nodes, keys, slots, text bytes, 0, 0
//	slots   hash table of keys: index+1 or 0; the number is a power of two
//	keys    offset and length in text, for each key
//	nodes   key index, kind<<28 | length, a, b
//	text
//
// Node 0 is the object. The children of a list or map are contiguous: a is the
// first of them, length their number. Of a string a is the offset and length
// the bytes; of a number or bool a and b are the low and high half.
package tape

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

const (
	magic       = 0x50415450 // "PTAP"
	version     = 1
	headerWords = 8
	nodeWords   = 4
	lenMask     = 1<<28 - 1
)

// Kind is the kind of a value.
type Kind uint8

// The kinds. None is the kind of a value that does not exist.
const (
	None Kind = iota
	Null
	Bool
	Int
	Float
	String
	List
	Map
)

// Tape is a parsed tape. It aliases the bytes that it was parsed from, except
// for the text, which is copied so that strings may be kept.
type Tape struct {
	slots, keys, nodes []uint32
	text               string
}

var errBad = errors.New("tape: malformed")

// Parse reads a tape without copying its nodes; b must stay unchanged as long
// as values are read. Empty b is a tape without a value.
func Parse(b []byte) (*Tape, error) {
	if len(b) == 0 {
		return &Tape{}, nil
	}
	if len(b) < headerWords*4 {
		return nil, errBad
	}
	var h [6]uint64
	for i := range h {
		h[i] = uint64(binary.LittleEndian.Uint32(b[i*4:]))
	}
	nodes, keys, slots, text := h[2], h[3], h[4], h[5]
	words := headerWords + slots + keys*2 + nodes*nodeWords
	if h[0] != magic || h[1] != version || nodes == 0 || slots&(slots-1) != 0 || slots <= keys || words*4+text > uint64(len(b)) {
		return nil, errBad
	}
	w := wordsOf(b[:words*4])
	t := &Tape{slots: w[headerWords : headerWords+slots], text: string(b[words*4 : words*4+text])}
	w = w[headerWords+slots:]
	t.keys, t.nodes = w[:keys*2], w[keys*2:]
	return t, nil
}

// wordsOf views b as words, or copies them when b is not aligned.
func wordsOf(b []byte) []uint32 {
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4 == 0 && littleEndian {
		return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
	}
	w := make([]uint32, len(b)/4)
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[i*4:])
	}
	return w
}

var littleEndian = func() bool {
	x := uint32(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// Root is the whole object; it does not exist when the tape is empty.
func (t *Tape) Root() Value {
	if len(t.nodes) == 0 {
		return Value{}
	}
	return Value{t, 0}
}

// key finds the index of a key in the table, or false.
func (t *Tape) key(name string) (uint32, bool) {
	mask := uint32(len(t.slots) - 1)
	for i, n := hash(name)&mask, 0; n <= int(mask); i, n = (i+1)&mask, n+1 {
		s := t.slots[i]
		if s == 0 {
			return 0, false
		}
		if t.keyName(s-1) == name {
			return s - 1, true
		}
	}
	return 0, false
}

func (t *Tape) keyName(k uint32) string {
	if uint64(k)*2+1 >= uint64(len(t.keys)) {
		return ""
	}
	return t.str(t.keys[k*2], t.keys[k*2+1])
}

// str is a part of the text; empty when out of range.
func (t *Tape) str(off, n uint32) string {
	if end := uint64(off) + uint64(n); end <= uint64(len(t.text)) {
		return t.text[off:end]
	}
	return ""
}

func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h ^ h>>15
}
