package vector_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// Each operation is compared with the obvious loop, and called as a WASM guest
// calls it, on lengths around the words of a mask.
func TestOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 31, 32, 63, 64, 65, 200} {
		g := newGuest(n)
		for i := range n {
			g.alloc[i], g.used[i] = int64(r.IntN(2000)), int64(r.IntN(2000))
			g.alloc2[i], g.used2[i] = int64(r.IntN(5))<<uint(r.IntN(50)), int64(r.IntN(1<<20))
			g.ids[i] = uint32(r.IntN(20))
			if r.IntN(3) > 0 {
				g.rows.Set(i)
			}
		}
		values, table8, table64 := []uint32{3, 5, 19}, []uint8{0, 1, 0, 1, 1}, []int64{5, -3, 0, 9}
		g.put(values, table8, table64)
		x := vector.Share{Alloc: g.alloc, Used: g.used, Want: 100, Weight: 1}
		y := vector.Share{Alloc: g.alloc2, Used: g.used2, Want: 1000, Weight: 3}

		g.mask(t, "vec_short", func(m vector.Mask) { vector.Short(m, g.alloc, g.used, 100) },
			func(i int) bool { return 100 > g.alloc[i]-g.used[i] }, g.at.out, g.at.alloc, g.at.used, uint64(n), 100)
		g.mask(t, "vec_below", func(m vector.Mask) { vector.Below(m, g.alloc, 900) },
			func(i int) bool { return g.alloc[i] < 900 }, g.at.out, g.at.alloc, uint64(n), 900)
		g.mask(t, "vec_outside", func(m vector.Mask) { vector.Outside(m, g.alloc, 100, 900) },
			func(i int) bool { return g.alloc[i] < 100 || g.alloc[i] > 900 }, g.at.out, g.at.alloc, uint64(n), 100, 900)
		g.mask(t, "vec_in", func(m vector.Mask) { vector.In(m, g.ids, values) },
			func(i int) bool { return g.ids[i] == 3 || g.ids[i] == 5 || g.ids[i] == 19 }, g.at.out, g.at.ids, uint64(n), g.at.values, 3)
		g.mask(t, "vec_bits_set", func(m vector.Mask) { vector.BitsSet(m, g.ids, 5) },
			func(i int) bool { return g.ids[i]&5 != 0 }, g.at.out, g.at.ids, uint64(n), 5)
		g.mask(t, "vec_lookup", func(m vector.Mask) { vector.Lookup(m, g.ids, table8) },
			func(i int) bool { return g.ids[i] < 5 && table8[g.ids[i]] != 0 }, g.at.out, g.at.ids, uint64(n), g.at.table8, 5)

		g.sums(t, "vec_lookup_add", func(out []int64) { vector.LookupAdd(out, g.rows, g.ids, table64) },
			func(i int, v int64) int64 {
				if g.ids[i] < 4 {
					return v + table64[g.ids[i]]
				}
				return v
			}, g.at.sum, g.at.rows, g.at.ids, uint64(n), g.at.table64, 4)
		g.sums(t, "vec_add_scaled", func(out []int64) { vector.AddScaled(out, g.rows, g.alloc, 3) },
			func(i int, v int64) int64 { return v + 3*g.alloc[i] }, g.at.sum, g.at.rows, g.at.alloc, uint64(n), 3)
		g.sums(t, "vec_add_const", func(out []int64) { vector.AddConst(out, g.rows, 11) },
			func(_ int, v int64) int64 { return v + 11 }, g.at.sum, g.at.rows, uint64(n), 11)
		g.sums(t, "vec_least2", func(out []int64) { vector.Least2(out, g.rows, x, y) },
			func(i int, _ int64) int64 { return least(i, x, y) },
			g.at.sum, g.at.rows, uint64(n), g.at.alloc, g.at.used, 100, 1, g.at.alloc2, g.at.used2, 1000, 3)
		g.sums(t, "vec_balanced2", func(out []int64) { vector.Balanced2(out, g.rows, x, y) },
			func(i int, _ int64) int64 { return balanced(i, x, y) },
			g.at.sum, g.at.rows, uint64(n), g.at.alloc, g.at.used, 100, 1, g.at.alloc2, g.at.used2, 1000, 3)
	}
}

func least(i int, list ...vector.Share) int64 {
	var sum, weights int64
	for _, s := range list {
		if s.Alloc[i] == 0 {
			continue
		}
		weights += s.Weight
		if free := s.Alloc[i] - s.Used[i] - s.Want; free > 0 {
			sum += s.Weight * (free * 100 / s.Alloc[i])
		}
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}

func balanced(i int, a, b vector.Share) int64 {
	even := func(x, y int64) int64 {
		if a.Alloc[i] == 0 || b.Alloc[i] == 0 {
			return 100
		}
		d := min(float64(x)/float64(a.Alloc[i]), 1) - min(float64(y)/float64(b.Alloc[i]), 1)
		return int64((1 - max(d/2, -d/2)) * 100)
	}
	return 50 + (50+even(a.Used[i]+a.Want, b.Used[i]+b.Want)-even(a.Used[i], b.Used[i]))/2
}

// guest is a memory with operands in it, as a WASM guest has.
type guest struct {
	mem                             []byte
	n                               int
	alloc, used, alloc2, used2, sum []int64
	ids                             []uint32
	out, rows                       vector.Mask
	at                              struct{ out, rows, alloc, used, alloc2, used2, sum, ids, values, table8, table64 uint64 }
	imports                         map[string]vector.Import
}

func newGuest(n int) *guest {
	g := &guest{mem: columns.Alloc(1 << 16), n: n, imports: map[string]vector.Import{}}
	for _, im := range vector.Imports() {
		g.imports[im.Name] = im
	}
	at := uint64(64)
	i64 := func(p *uint64) []int64 { *p = at; at += 8 * 256; return view[int64](g.mem, *p, n) }
	g.alloc, g.used, g.alloc2 = i64(&g.at.alloc), i64(&g.at.used), i64(&g.at.alloc2)
	g.used2, g.sum = i64(&g.at.used2), i64(&g.at.sum)
	g.at.ids, at = at, at+1024
	g.ids = view[uint32](g.mem, g.at.ids, n)
	g.at.out, g.at.rows, at = at, at+64, at+128
	g.out, g.rows = view[uint64](g.mem, g.at.out, vector.Words(n)), view[uint64](g.mem, g.at.rows, vector.Words(n))
	g.at.values, g.at.table8, g.at.table64 = at, at+64, at+128
	return g
}

func view[T any](mem []byte, at uint64, n int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[at])), n)
}

func (g *guest) put(values []uint32, table8 []uint8, table64 []int64) {
	copy(view[uint32](g.mem, g.at.values, len(values)), values)
	copy(view[uint8](g.mem, g.at.table8, len(table8)), table8)
	copy(view[int64](g.mem, g.at.table64, len(table64)), table64)
}

// garbage is what the upper half of a 32-bit argument may hold.
const garbage = 0xdead << 32

func (g *guest) call(t *testing.T, name string, stack []uint64) {
	t.Helper()
	im, ok := g.imports[name]
	if !ok || len(im.Params) != len(stack) {
		t.Fatalf("import %s with %d parameters, want %d", name, len(im.Params), len(stack))
	}
	stack = append([]uint64(nil), stack...)
	for i, p := range im.Params {
		if p == vector.I32 {
			stack[i] |= garbage
		}
	}
	if err := im.Call(g.mem, stack, func(int) {}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func (g *guest) mask(t *testing.T, name string, op func(vector.Mask), want func(int) bool, stack ...uint64) {
	t.Helper()
	m := vector.NewMask(g.n)
	m.Fill(g.n)
	op(m)
	g.out.Fill(g.n)
	g.call(t, name, stack)
	for i := range g.n {
		if m.Has(i) != want(i) || g.out.Has(i) != want(i) {
			t.Fatalf("%s of %d rows: row %d is %v, as import %v, want %v", name, g.n, i, m.Has(i), g.out.Has(i), want(i))
		}
	}
	if m.Count() != g.out.Count() {
		t.Fatalf("%s of %d rows: bits behind the last row", name, g.n)
	}
}

func (g *guest) sums(t *testing.T, name string, op func([]int64), want func(int, int64) int64, stack ...uint64) {
	t.Helper()
	out := make([]int64, g.n)
	for i := range out {
		out[i], g.sum[i] = int64(i), int64(i)
	}
	op(out)
	g.call(t, name, stack)
	for i := range out {
		w := int64(i)
		if g.rows.Has(i) {
			w = want(i, w)
		}
		if out[i] != w || g.sum[i] != w {
			t.Fatalf("%s of %d rows: row %d is %d, as import %d, want %d", name, g.n, i, out[i], g.sum[i], w)
		}
	}
}

func TestMark(t *testing.T) {
	m := vector.NewMask(70)
	m.Set(0)
	m.Set(69)
	ids := make([]uint32, 70)
	vector.Mark(ids, m, 8)
	for i, v := range ids {
		if want := uint32(0); i == 0 || i == 69 {
			want = 8
			if v != want {
				t.Errorf("row %d is %d", i, v)
			}
		} else if v != want {
			t.Errorf("row %d is %d", i, v)
		}
	}
}

// A hostile guest passes anything.
func FuzzImports(f *testing.F) {
	f.Add(0, uint64(64), uint64(64), uint64(1<<32-1), uint64(7), uint64(1<<40))
	f.Add(9, uint64(0), uint64(8), uint64(300), uint64(16), uint64(24))
	f.Add(6, uint64(1), uint64(3), uint64(5), uint64(9), uint64(11))
	list := vector.Imports()
	f.Fuzz(func(t *testing.T, k int, a, b, c, d, e uint64) {
		mem := columns.Alloc(columns.PageSize)
		for i := range mem {
			mem[i] = byte(i * 7)
		}
		if k < 0 {
			k = -(k + 1)
		}
		im := list[k%len(list)]
		stack := make([]uint64, len(im.Params))
		for i := range stack {
			stack[i] = [...]uint64{a, b, c, d, e}[i%5]
		}
		if err := im.Call(mem, stack, func(int) {}); err != nil && !errors.Is(err, vector.ErrPointer) {
			t.Errorf("%s: %v", im.Name, err)
		}
	})
}

func TestMask(t *testing.T) {
	m, o := vector.NewMask(100), vector.NewMask(100)
	m.Fill(100)
	if m.Count() != 100 || !m.Any() {
		t.Errorf("full mask has %d", m.Count())
	}
	m.Unset(64)
	o.Set(64)
	o.Set(3)
	m.And(o)
	if m.Count() != 1 || !m.Has(3) {
		t.Errorf("and: %v", m)
	}
	m.Or(o)
	m.AndNot(o)
	if m.Any() {
		t.Errorf("and not: %v", m)
	}
	m.Not(100)
	if m.Count() != 100 {
		t.Errorf("not: %d", m.Count())
	}
	var rows []int
	o.Each(func(i int) { rows = append(rows, i) })
	if fmt.Sprint(rows) != "[3 64]" {
		t.Errorf("each: %v", rows)
	}
}

// TestImportsPause: what a guest asks for is done in parts, and stops where the
// host says so; the answer is that of the whole.
func TestImportsPause(t *testing.T) {
	const rows, values = 1000, 1 << 18
	mem := make([]byte, 8*vector.Words(rows)+4*rows+4*values)
	column, list := 8*vector.Words(rows), 8*vector.Words(rows)+4*rows
	for i := range rows {
		binary.LittleEndian.PutUint32(mem[column+4*i:], uint32(i))
	}
	for i := range values {
		binary.LittleEndian.PutUint32(mem[list+4*i:], uint32(2*i))
	}
	vecIn := func(pause func(int)) error {
		for _, im := range vector.Imports() {
			if im.Name == "vec_in" {
				return im.Call(mem, []uint64{0, uint64(column), rows, uint64(list), values}, pause)
			}
		}
		return errors.New("there is no vec_in")
	}
	work, most := 0, 0
	if err := vecIn(func(n int) { work += n; most = max(most, n) }); err != nil {
		t.Fatal(err)
	}
	if work < rows*values || most > 1<<18 {
		t.Errorf("paused after %d comparisons of %d, %d at most at once", work, rows*values, most)
	}
	for i := range rows {
		if got := mem[i/8]>>(i%8)&1 == 1; got != (i%2 == 0) {
			t.Fatalf("row %d: %v", i, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("it went on after the host had stopped it")
		}
	}()
	_ = vecIn(func(int) { panic("stop") })
}
