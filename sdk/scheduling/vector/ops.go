package vector

import (
	"math"
	"math/bits"
)

// The pure forms of the vector operations. len(out), or of the first column
// where out is a mask, is the number of rows.

func short(out Mask, alloc, used []int64, want int64) {
	used = used[:len(alloc)]
	for w := range out {
		lo := w << 6
		hi := min(lo+64, len(alloc))
		a, u := alloc[lo:hi], used[lo:hi]
		u = u[:len(a)]
		var word uint64
		for i := range a {
			word |= uint64(a[i]-u[i]-want) >> 63 << (i & 63)
		}
		out[w] = word
	}
}

func below(out Mask, col []int64, limit int64) {
	for w := range out {
		lo := w << 6
		var word uint64
		for i, v := range col[lo:min(lo+64, len(col))] {
			if v < limit {
				word |= 1 << (i & 63)
			}
		}
		out[w] = word
	}
}

func outside(out Mask, col []int64, lo, hi int64) {
	for w := range out {
		at := w << 6
		var word uint64
		for i, v := range col[at:min(at+64, len(col))] {
			if v < lo || v > hi {
				word |= 1 << (i & 63)
			}
		}
		out[w] = word
	}
}

func in(out Mask, col, values []uint32) {
	for w := range out {
		lo := w << 6
		var word uint64
		rows := col[lo:min(lo+64, len(col))]
		for _, want := range values {
			for i, v := range rows {
				if v == want {
					word |= 1 << (i & 63)
				}
			}
		}
		out[w] = word
	}
}

func bitsSet(out Mask, col []uint32, flags uint32) {
	for w := range out {
		lo := w << 6
		var word uint64
		for i, v := range col[lo:min(lo+64, len(col))] {
			if v&flags != 0 {
				word |= 1 << (i & 63)
			}
		}
		out[w] = word
	}
}

func lookup(out Mask, col []uint32, table []uint8) {
	for w := range out {
		lo := w << 6
		var word uint64
		for i, v := range col[lo:min(lo+64, len(col))] {
			if int(v) < len(table) && table[v] != 0 {
				word |= 1 << (i & 63)
			}
		}
		out[w] = word
	}
}

func lookupAdd(out []int64, rows Mask, col []uint32, table []int64) {
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			if v := col[i]; int(v) < len(table) {
				out[i] += table[v]
			}
		}
	}
}

func addScaled(out []int64, rows Mask, col []int64, factor int64) {
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			out[i] += col[i] * factor
		}
	}
}

func addConst(out []int64, rows Mask, v int64) {
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			out[w<<6+bits.TrailingZeros64(word)] += v
		}
	}
}

func mark(out []uint32, rows Mask, id uint32) {
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			out[w<<6+bits.TrailingZeros64(word)] = id
		}
	}
}

func least2(out []int64, rows Mask, a, b Share) {
	both := a.Weight + b.Weight
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			var sum, weights int64
			if a.Alloc[i] != 0 {
				sum, weights = free(a.Alloc[i], a.Used[i]+a.Want)*a.Weight, a.Weight
			}
			if b.Alloc[i] != 0 {
				sum += free(b.Alloc[i], b.Used[i]+b.Want) * b.Weight
				weights += b.Weight
			}
			switch {
			case weights <= 0:
				out[i] = 0
			case weights == 2 && both == 2:
				out[i] = sum >> 1
			default:
				out[i] = sum / weights
			}
		}
	}
}

// free is the unused part of capacity in percent, rounded down.
func free(capacity, used int64) int64 {
	rest := capacity - used
	if rest < 0 || capacity <= 0 {
		return 0
	}
	if capacity > 1<<45 {
		return wideDivide(rest, capacity)
	}
	// Below 2^52 both operands are exact in a float64 and the quotient is off
	// by one at most; a float division is several times as fast.
	rest *= 100
	q := int64(float64(rest) / float64(capacity))
	if q*capacity > rest {
		q--
	}
	return q
}

func wideDivide(rest, capacity int64) int64 {
	if rest > math.MaxInt64/100 {
		return rest / (capacity / 100)
	}
	return rest * 100 / capacity
}

func balanced2(out []int64, rows Mask, a, b Share) {
	for w, word := range rows {
		for ; word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			var with, without int64 = 100, 100
			if a.Alloc[i] != 0 && b.Alloc[i] != 0 {
				ac, bc := float64(a.Alloc[i]), float64(b.Alloc[i])
				with = evenness(float64(a.Used[i]+a.Want)/ac, float64(b.Used[i]+b.Want)/bc)
				without = evenness(float64(a.Used[i])/ac, float64(b.Used[i])/bc)
			}
			out[i] = 50 + (50+with-without)/2
		}
	}
}

// evenness is 100 for two equal fractions and 50 for 0 and 1.
func evenness(x, y float64) int64 {
	x, y = min(x, 1), min(y, 1)
	return int64((1 - math.Abs((x-y)/2)) * 100)
}
