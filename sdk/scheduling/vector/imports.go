package vector

import (
	"errors"
	"unsafe"
)

// ImportModule is the name of the module that a WASM guest imports the vector
// operations from.
const ImportModule = "pintle_vec"

// Param is the type of a parameter of an [Import].
type Param uint8

// The parameter types of WASM.
const (
	I32 Param = iota
	I64
)

// Import is one vector operation as a host serves it to WASM guests. No import
// has a result.
type Import struct {
	Name   string
	Params []Param
	// Call reads its arguments from stack and works on the guest's memory. It
	// checks every pointer and length. pause is called after every part of the
	// work, with the number of comparisons or additions in it; it may panic to
	// stop the guest.
	//
	// # Errors
	//   - ErrPointer: the guest must be stopped, as after any trap
	Call func(mem []byte, stack []uint64, pause func(work int)) error
}

// part is how much work is done between two pauses: some tenths of a
// millisecond. The guest says how much there is to do, and may be anybody.
const part = 1 << 18

// ErrPointer is the fault of a guest that passed memory which is not its own
// or not aligned.
var ErrPointer = errors.New("vector operation on memory outside the guest")

// Imports lists the vector operations. The parameters are pointers and counts
// (I32) and values (I64), in the order of the Go functions; a slice is passed
// as its pointer, and the number of rows once.
func Imports() []Import {
	p, n, v := I32, I32, I64
	return []Import{
		{"vec_short", []Param{p, p, p, n, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[3])}
			out, alloc, used := a.mask(0), a.int64s(1), a.int64s(2)
			return a.each(1, func(lo, hi int) { short(words64(out, lo, hi), alloc[lo:hi], used[lo:hi], int64(s[4])) })
		}},
		{"vec_below", []Param{p, p, n, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, col := a.mask(0), a.int64s(1)
			return a.each(1, func(lo, hi int) { below(words64(out, lo, hi), col[lo:hi], int64(s[3])) })
		}},
		{"vec_outside", []Param{p, p, n, v, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, col := a.mask(0), a.int64s(1)
			return a.each(1, func(lo, hi int) { outside(words64(out, lo, hi), col[lo:hi], int64(s[3]), int64(s[4])) })
		}},
		{"vec_in", []Param{p, p, n, p, n}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, col, values := a.mask(0), a.uint32s(1), words[uint32](&a, 3, count(s[4]))
			return a.each(min(len(values), mostValues), func(lo, hi int) { a.in(words64(out, lo, hi), col[lo:hi], values) })
		}},
		{"vec_bits_set", []Param{p, p, n, n}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, col := a.mask(0), a.uint32s(1)
			return a.each(1, func(lo, hi int) { bitsSet(words64(out, lo, hi), col[lo:hi], uint32(s[3])) })
		}},
		{"vec_lookup", []Param{p, p, n, p, n}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, col, table := a.mask(0), a.uint32s(1), words[uint8](&a, 3, count(s[4]))
			return a.each(1, func(lo, hi int) { lookup(words64(out, lo, hi), col[lo:hi], table) })
		}},
		{"vec_lookup_add", []Param{p, p, p, n, p, n}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[3])}
			out, rows, col, table := a.int64s(0), a.rowMask(1), a.uint32s(2), words[int64](&a, 4, count(s[5]))
			return a.each(1, func(lo, hi int) { lookupAdd(out[lo:hi], words64(rows, lo, hi), col[lo:hi], table) })
		}},
		{"vec_add_scaled", []Param{p, p, p, n, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[3])}
			out, rows, col := a.int64s(0), a.rowMask(1), a.int64s(2)
			return a.each(1, func(lo, hi int) { addScaled(out[lo:hi], words64(rows, lo, hi), col[lo:hi], int64(s[4])) })
		}},
		{"vec_add_const", []Param{p, p, n, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, rows := a.int64s(0), a.rowMask(1)
			return a.each(1, func(lo, hi int) { addConst(out[lo:hi], words64(rows, lo, hi), int64(s[3])) })
		}},
		{"vec_mark", []Param{p, p, n, n}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, rows := a.uint32s(0), a.rowMask(1)
			return a.each(1, func(lo, hi int) { mark(out[lo:hi], words64(rows, lo, hi), uint32(s[3])) })
		}},
		{"vec_least2", []Param{p, p, n, p, p, v, v, p, p, v, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, rows, x, y := a.int64s(0), a.rowMask(1), a.share(3), a.share(7)
			return a.each(8, func(lo, hi int) { least2(out[lo:hi], words64(rows, lo, hi), x.from(lo, hi), y.from(lo, hi)) })
		}},
		{"vec_balanced2", []Param{p, p, n, p, p, v, v, p, p, v, v}, func(mem []byte, s []uint64, pause func(int)) error {
			a := args{mem: mem, stack: s, pause: pause, rows: count(s[2])}
			out, rows, x, y := a.int64s(0), a.rowMask(1), a.share(3), a.share(7)
			return a.each(8, func(lo, hi int) { balanced2(out[lo:hi], words64(rows, lo, hi), x.from(lo, hi), y.from(lo, hi)) })
		}},
	}
}

// count reads a 32-bit argument: the upper half of the stack word may hold
// garbage.
func count(v uint64) int { return int(uint32(v)) }

// args reads the arguments of one call and remembers the first fault.
type args struct {
	mem   []byte
	stack []uint64
	pause func(work int)
	rows  int
	bad   bool
}

// each does op on all rows, a part at a time; weight is the work for one row.
// Parts begin at whole words of masks.
func (a *args) each(weight int, op func(lo, hi int)) error {
	if a.bad {
		return ErrPointer
	}
	weight = max(weight, 1)
	step := max(part/weight, 64) &^ 63
	for lo := 0; lo < a.rows; lo += step {
		hi := min(lo+step, a.rows)
		op(lo, hi)
		a.pause((hi - lo) * weight)
	}
	return nil
}

// mostValues are compared with one word of rows in a part.
const mostValues = part / 64

// in is the operation for one part of the rows, which is one word when there
// are more values than that.
func (a *args) in(out Mask, col, values []uint32) {
	if len(values) <= mostValues {
		in(out, col, values)
		return
	}
	out.Zero()
	for len(values) > 0 {
		n := min(len(values), mostValues)
		var some [1]uint64
		in(some[:len(out)], col, values[:n])
		out.Or(some[:len(out)])
		values = values[n:]
		a.pause(64 * n)
	}
}

// words64 are the words of a mask for rows from lo, a multiple of 64.
func words64(m Mask, lo, hi int) Mask { return m[lo>>6 : Words(hi)] }

// from is the share of some of the rows.
func (s Share) from(lo, hi int) Share {
	s.Alloc, s.Used = s.Alloc[lo:hi], s.Used[lo:hi]
	return s
}

func (a *args) int64s(i int) []int64   { return words[int64](a, i, a.rows) }
func (a *args) uint32s(i int) []uint32 { return words[uint32](a, i, a.rows) }
func (a *args) mask(i int) Mask        { return words[uint64](a, i, Words(a.rows)) }

// rowMask is a mask that rows are read from. A bit behind the last row would
// lead out of the columns.
func (a *args) rowMask(i int) Mask {
	m := a.mask(i)
	if tail := a.rows & 63; tail != 0 && len(m) > 0 && m[len(m)-1]>>tail != 0 {
		a.bad = true
	}
	return m
}

func (a *args) share(i int) Share {
	return Share{Alloc: a.int64s(i), Used: a.int64s(i + 1), Want: int64(a.stack[i+2]), Weight: int64(a.stack[i+3])}
}

// words views n elements of the guest's memory at the pointer in argument i.
func words[T uint8 | uint32 | uint64 | int64](a *args, i, n int) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	at := count(a.stack[i])
	if n == 0 {
		return nil
	}
	if n > len(a.mem)/size || at > len(a.mem)-n*size || at%size != 0 {
		a.bad = true
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&a.mem[at])), n)
}
