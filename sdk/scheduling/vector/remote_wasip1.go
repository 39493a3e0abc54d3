package vector

import "unsafe"

func callShort(out Mask, alloc, used []int64, want int64) {
	used, out = used[:len(alloc)], out[:Words(len(alloc))]
	vecShort(ptr(out), ptr(alloc), ptr(used), uint32(len(alloc)), want)
}

func callBelow(out Mask, col []int64, limit int64) {
	vecBelow(ptr(out[:Words(len(col))]), ptr(col), uint32(len(col)), limit)
}

func callOutside(out Mask, col []int64, lo, hi int64) {
	vecOutside(ptr(out[:Words(len(col))]), ptr(col), uint32(len(col)), lo, hi)
}

func callIn(out Mask, col, values []uint32) {
	vecIn(ptr(out[:Words(len(col))]), ptr(col), uint32(len(col)), ptr(values), uint32(len(values)))
}

func callBitsSet(out Mask, col []uint32, flags uint32) {
	vecBitsSet(ptr(out[:Words(len(col))]), ptr(col), uint32(len(col)), flags)
}

func callLookup(out Mask, col []uint32, table []uint8) {
	vecLookup(ptr(out[:Words(len(col))]), ptr(col), uint32(len(col)), ptr(table), uint32(len(table)))
}

func callLookupAdd(out []int64, rows Mask, col []uint32, table []int64) {
	vecLookupAdd(ptr(out), ptr(rows[:Words(len(out))]), ptr(col[:len(out)]), uint32(len(out)), ptr(table), uint32(len(table)))
}

func callAddScaled(out []int64, rows Mask, col []int64, factor int64) {
	vecAddScaled(ptr(out), ptr(rows[:Words(len(out))]), ptr(col[:len(out)]), uint32(len(out)), factor)
}

func callAddConst(out []int64, rows Mask, v int64) {
	vecAddConst(ptr(out), ptr(rows[:Words(len(out))]), uint32(len(out)), v)
}

func callMark(out []uint32, rows Mask, id uint32) {
	vecMark(ptr(out), ptr(rows[:Words(len(out))]), uint32(len(out)), id)
}

func callLeast2(out []int64, rows Mask, a, b Share) {
	n := len(out)
	vecLeast2(ptr(out), ptr(rows[:Words(n)]), uint32(n),
		ptr(a.Alloc[:n]), ptr(a.Used[:n]), a.Want, a.Weight,
		ptr(b.Alloc[:n]), ptr(b.Used[:n]), b.Want, b.Weight)
}

func callBalanced2(out []int64, rows Mask, a, b Share) {
	n := len(out)
	vecBalanced2(ptr(out), ptr(rows[:Words(n)]), uint32(n),
		ptr(a.Alloc[:n]), ptr(a.Used[:n]), a.Want, a.Weight,
		ptr(b.Alloc[:n]), ptr(b.Used[:n]), b.Want, b.Weight)
}

func ptr[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

//go:wasmimport pintle_vec vec_short
func vecShort(out, alloc, used unsafe.Pointer, n uint32, want int64)

//go:wasmimport pintle_vec vec_below
func vecBelow(out, col unsafe.Pointer, n uint32, limit int64)

//go:wasmimport pintle_vec vec_outside
func vecOutside(out, col unsafe.Pointer, n uint32, lo, hi int64)

//go:wasmimport pintle_vec vec_in
func vecIn(out, col unsafe.Pointer, n uint32, values unsafe.Pointer, count uint32)

//go:wasmimport pintle_vec vec_bits_set
func vecBitsSet(out, col unsafe.Pointer, n, flags uint32)

//go:wasmimport pintle_vec vec_lookup
func vecLookup(out, col unsafe.Pointer, n uint32, table unsafe.Pointer, count uint32)

//go:wasmimport pintle_vec vec_lookup_add
func vecLookupAdd(out, rows, col unsafe.Pointer, n uint32, table unsafe.Pointer, count uint32)

//go:wasmimport pintle_vec vec_add_scaled
func vecAddScaled(out, rows, col unsafe.Pointer, n uint32, factor int64)

//go:wasmimport pintle_vec vec_add_const
func vecAddConst(out, rows unsafe.Pointer, n uint32, v int64)

//go:wasmimport pintle_vec vec_mark
func vecMark(out, rows unsafe.Pointer, n, id uint32)

//go:wasmimport pintle_vec vec_least2
func vecLeast2(out, rows unsafe.Pointer, n uint32, aAlloc, aUsed unsafe.Pointer, aWant, aWeight int64, bAlloc, bUsed unsafe.Pointer, bWant, bWeight int64)

//go:wasmimport pintle_vec vec_balanced2
func vecBalanced2(out, rows unsafe.Pointer, n uint32, aAlloc, aUsed unsafe.Pointer, aWant, aWeight int64, bAlloc, bUsed unsafe.Pointer, bWant, bWeight int64)
