package vector

// Share is one resource in a score: what nodes have, what is used, what the
// pod wants, and how much the resource weighs.
type Share struct {
	Alloc, Used  []int64
	Want, Weight int64
}

// small is the number of rows below which a guest computes by itself: leaving
// it costs more.
const small = 32

// Short sets out to the rows that lack room: want > alloc-used.
func Short(out Mask, alloc, used []int64, want int64) {
	if len(alloc) >= small {
		callShort(out, alloc, used, want)
		return
	}
	short(out, alloc, used, want)
}

// Below sets out to the rows with a value below limit.
func Below(out Mask, col []int64, limit int64) {
	if len(col) >= small {
		callBelow(out, col, limit)
		return
	}
	below(out, col, limit)
}

// Outside sets out to the rows with a value below lo or above hi.
func Outside(out Mask, col []int64, lo, hi int64) {
	if len(col) >= small {
		callOutside(out, col, lo, hi)
		return
	}
	outside(out, col, lo, hi)
}

// In sets out to the rows whose value is one of values.
func In(out Mask, col, values []uint32) {
	if len(col) >= small {
		callIn(out, col, values)
		return
	}
	in(out, col, values)
}

// BitsSet sets out to the rows whose value has any of the flags.
func BitsSet(out Mask, col []uint32, flags uint32) {
	if len(col) >= small {
		callBitsSet(out, col, flags)
		return
	}
	bitsSet(out, col, flags)
}

// Lookup sets out to the rows whose value v has table[v] != 0; values behind
// the table's end are out.
func Lookup(out Mask, col []uint32, table []uint8) {
	if len(col) >= small {
		callLookup(out, col, table)
		return
	}
	lookup(out, col, table)
}

// LookupAdd adds table[v] to the rows, v being the row's value; values behind
// the table's end add nothing.
func LookupAdd(out []int64, rows Mask, col []uint32, table []int64) {
	if len(out) >= small {
		callLookupAdd(out, rows, col, table)
		return
	}
	lookupAdd(out, rows, col, table)
}

// AddScaled adds col*factor to the rows.
func AddScaled(out []int64, rows Mask, col []int64, factor int64) {
	if len(out) >= small {
		callAddScaled(out, rows, col, factor)
		return
	}
	addScaled(out, rows, col, factor)
}

// AddConst adds v to the rows.
func AddConst(out []int64, rows Mask, v int64) {
	if len(out) >= small {
		callAddConst(out, rows, v)
		return
	}
	addConst(out, rows, v)
}

// Mark writes id into the rows.
func Mark(out []uint32, rows Mask, id uint32) {
	if len(out) >= small {
		callMark(out, rows, id)
		return
	}
	mark(out, rows, id)
}

// Least2 writes the percentage of two resources that stays free with the pod,
// weighted and rounded down. A resource that a node does not have is left out.
func Least2(out []int64, rows Mask, a, b Share) {
	if len(out) >= small {
		callLeast2(out, rows, a, b)
		return
	}
	least2(out, rows, a, b)
}

// Balanced2 writes how much evener two resources are used with the pod than
// without it: 75 for no difference, 50 to 100. Weights are ignored.
func Balanced2(out []int64, rows Mask, a, b Share) {
	if len(out) >= small {
		callBalanced2(out, rows, a, b)
		return
	}
	balanced2(out, rows, a, b)
}
