package vector

import "math/bits"

// Mask has one bit per row, bit i%64 of word i/64. Bits behind the last row
// are zero. Two masks of one operation have the same length.
type Mask []uint64

// Words is the length of a mask of n rows.
func Words(n int) int { return (n + 63) / 64 }

// NewMask returns an empty mask of n rows.
func NewMask(n int) Mask { return make(Mask, Words(n)) }

// Has tells whether row i is in the mask.
func (m Mask) Has(i int) bool { return m[i>>6]>>(i&63)&1 != 0 }

// Set puts row i into the mask.
func (m Mask) Set(i int) { m[i>>6] |= 1 << (i & 63) }

// Unset takes row i out.
func (m Mask) Unset(i int) { m[i>>6] &^= 1 << (i & 63) }

// Fill makes the mask hold rows 0 to n-1.
func (m Mask) Fill(n int) {
	for i := range m {
		m[i] = ^uint64(0)
	}
	if n&63 != 0 && len(m) > 0 {
		m[len(m)-1] = 1<<(n&63) - 1
	}
}

// Zero empties the mask.
func (m Mask) Zero() { clear(m) }

// Any tells whether the mask holds a row.
func (m Mask) Any() bool {
	for _, w := range m {
		if w != 0 {
			return true
		}
	}
	return false
}

// Count is the number of rows in the mask.
func (m Mask) Count() int {
	n := 0
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}

// And keeps the rows that are also in o.
func (m Mask) And(o Mask) {
	for i := range m {
		m[i] &= o[i]
	}
}

// AndNot takes the rows of o out.
func (m Mask) AndNot(o Mask) {
	for i := range m {
		m[i] &^= o[i]
	}
}

// Or adds the rows of o.
func (m Mask) Or(o Mask) {
	for i := range m {
		m[i] |= o[i]
	}
}

// Not makes the mask hold those of the first n rows that it did not hold.
func (m Mask) Not(n int) {
	for i := range m {
		m[i] = ^m[i]
	}
	if n&63 != 0 && len(m) > 0 {
		m[len(m)-1] &= 1<<(n&63) - 1
	}
}

// Each calls fn for every row in the mask, in order.
func (m Mask) Each(fn func(i int)) {
	for w, word := range m {
		for ; word != 0; word &= word - 1 {
			fn(w<<6 + bits.TrailingZeros64(word))
		}
	}
}
