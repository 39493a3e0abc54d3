package wasm

import (
	"errors"
	"fmt"
)

var errTruncated = errors.New("module is truncated")

// reader reads a binary module and never beyond its end. After the first
// fault every read answers zero and err tells.
type reader struct {
	b   []byte
	at  int
	err error
	// Of the last instruction: its first immediate where that is an index of a
	// global, a function or (of a block or an indirect call) a type, or the second
	// part of its opcode after opMisc. A block that names no type has noType.
	immediate uint32
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.b)
}

func (r *reader) more() bool { return r.err == nil && r.at < len(r.b) }

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.fail(errTruncated)
		return 0
	}
	c := r.b[r.at]
	r.at++
	return c
}

// u32 reads an unsigned LEB128 of at most five bytes.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(errors.New("malformed number in module"))
	return 0
}

// s32 reads a signed LEB128 of at most five bytes.
func (r *reader) s32() int32 {
	var v int64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			if v != int64(int32(v)) {
				break
			}
			return int32(v)
		}
	}
	r.fail(errors.New("malformed number in module"))
	return 0
}

// skipNumber skips a LEB128 of any kind, at most ten bytes.
func (r *reader) skipNumber() {
	for range 10 {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(errors.New("malformed number in module"))
}

func (r *reader) skip(n uint32) {
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.fail(errTruncated)
		return
	}
	r.at += int(n)
}

func (r *reader) bytes(n uint32) []byte {
	from := r.at
	r.skip(n)
	if r.err != nil {
		return nil
	}
	return r.b[from:r.at]
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// instruction skips one instruction and returns its opcode.
func (r *reader) instruction() byte {
	op := r.byte()
	switch {
	case op == opCall, op == opRefFunc, op == opGlobalGet, op == opGlobalSet:
		r.immediate = r.u32()
	case op == opBlock, op == opLoop, op == opIf:
		r.immediate = r.blockType()
	case op == opBr, op == opBrIf, op == 0xd0, op >= 0x20 && op <= 0x26:
		r.skipNumber()
	case op == opBrTable:
		for n := uint64(r.u32()) + 1; n > 0 && r.err == nil; n-- {
			r.skipNumber()
		}
	case op == opCallIndirect:
		r.immediate = r.u32()
		r.skipNumber()
	case op >= 0x28 && op <= 0x3e:
		r.skipNumber()
		r.skipNumber()
	case op == 0x1c: // select with types
		r.skip(r.u32())
	case op == 0x3f, op == 0x40:
		r.skip(1)
	case op == opI32Const, op == 0x42:
		r.skipNumber()
	case op == 0x43:
		r.skip(4)
	case op == 0x44:
		r.skip(8)
	case op == opMisc:
		r.prefixed()
	case op == opVector:
		r.vector()
	case op == opUnreachable, op == 0x01, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	default:
		r.fail(fmt.Errorf("instruction %#x is not understood", op))
	}
	return op
}

// noType is no index of a type.
const noType = 1<<32 - 1

// blockType reads what a block takes and gives: a type's index, as a signed
// number, or a byte that stands for nothing or one value.
func (r *reader) blockType() uint32 {
	if r.at < len(r.b) && r.b[r.at]&0xc0 == 0x40 {
		r.at++
		return noType
	}
	return r.u32()
}

// prefixed skips what follows opMisc: saturating conversions and bulk memory.
func (r *reader) prefixed() {
	r.immediate = r.u32()
	switch s := r.immediate; {
	case s <= 7:
	case s == 8, s == 10, s == 12, s == 14:
		r.skipNumber()
		r.skipNumber()
	case s == 9, s == 11, s == 13, s >= 15 && s <= 17:
		r.skipNumber()
	default:
		r.fail(fmt.Errorf("instruction 0xfc %d is not understood", s))
	}
}

// vector skips what follows opVector: instructions on 128 bits.
func (r *reader) vector() {
	switch s := r.u32(); {
	case s <= 11, s == 92, s == 93: // load, store
		r.skipNumber()
		r.skipNumber()
	case s == 12, s == 13: // constant, shuffle
		r.skip(16)
	case s >= 21 && s <= 34: // a lane
		r.skip(1)
	case s >= 84 && s <= 91: // load and store a lane
		r.skipNumber()
		r.skipNumber()
		r.skip(1)
	case s <= 255:
	default:
		r.fail(fmt.Errorf("instruction 0xfd %d is not understood", s))
	}
}

// expression skips a constant expression with its end.
func (r *reader) expression() {
	for r.err == nil {
		if r.instruction() == opEnd {
			return
		}
	}
}

// The opcodes that the rewriter looks at.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opI32Const     = 0x41
	opI32Eqz       = 0x45
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI32GeU       = 0x4f
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32ShrU      = 0x76
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
)

// The instructions after opMisc whose work grows with a number on the stack.
const (
	miscMemoryInit = 8
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableFill  = 17
)

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
