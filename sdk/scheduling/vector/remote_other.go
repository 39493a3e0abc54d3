//go:build !wasip1

package vector

// Outside of WASM the operations run here at any length.

func callShort(out Mask, alloc, used []int64, want int64) { short(out, alloc, used, want) }
func callBelow(out Mask, col []int64, limit int64)        { below(out, col, limit) }
func callOutside(out Mask, col []int64, lo, hi int64)     { outside(out, col, lo, hi) }
func callIn(out Mask, col, values []uint32)               { in(out, col, values) }
func callBitsSet(out Mask, col []uint32, flags uint32)    { bitsSet(out, col, flags) }
func callLookup(out Mask, col []uint32, table []uint8)    { lookup(out, col, table) }
func callLookupAdd(out []int64, rows Mask, col []uint32, table []int64) {
	lookupAdd(out, rows, col, table)
}
func callAddScaled(out []int64, rows Mask, col []int64, factor int64) {
	addScaled(out, rows, col, factor)
}
func callAddConst(out []int64, rows Mask, v int64)     { addConst(out, rows, v) }
func callMark(out []uint32, rows Mask, id uint32)      { mark(out, rows, id) }
func callLeast2(out []int64, rows Mask, a, b Share)    { least2(out, rows, a, b) }
func callBalanced2(out []int64, rows Mask, a, b Share) { balanced2(out, rows, a, b) }
