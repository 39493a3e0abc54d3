package wasm

// One instruction may fill or copy all of a guest's memory, and the engine
// does it in one piece of compiled code, which nothing interrupts: neither the
// deadline nor the garbage collector of this process. So the instructions that
// move memory are replaced by calls of functions that move it in pieces, and
// all whose work grows with a number on the stack pay for that number.
const (
	// bulkPiece is moved at once: some ten microseconds.
	bulkPiece = 64 << 10
	// bulkShift: one unit of fuel is good for 1<<bulkShift bytes. Filling memory
	// that was not touched before costs about a nanosecond for four bytes.
	bulkShift = 5
	// bulkFree is moved without paying: the call that asks has paid enough.
	bulkFree = 256
)

// The functions that a rewritten module has at the end, in this order.
const (
	helperCharge = iota // (n) → n, pays for n bytes
	helperFill          // as memory.fill
	helperCopy          // as memory.copy
	helpers
)

// helperTypes are their types, which are at the end too: (i32) → (i32) and
// (i32 i32 i32) → ().
var helperTypes = []byte{0x60, 1, 0x7f, 1, 0x7f, 0x60, 3, 0x7f, 0x7f, 0x7f, 0}

// assembler writes the code of the helpers.
type assembler struct{ b []byte }

func (a *assembler) op(ops ...byte) *assembler { a.b = append(a.b, ops...); return a }
func (a *assembler) index(op byte, i uint32) *assembler {
	a.b = appendU32(append(a.b, op), i)
	return a
}
func (a *assembler) num(v int32) *assembler    { a.b = appendS32(append(a.b, opI32Const), v); return a }
func (a *assembler) get(local byte) *assembler { return a.op(opLocalGet, local) }

// step adds a piece to a local, or takes it off.
func (a *assembler) step(local, op byte) *assembler {
	return a.get(local).num(bulkPiece).op(op, opLocalSet, local)
}

// charge pays for the number on the stack and drops it.
func (a *assembler) charge(w *rewriter) *assembler {
	if w.yield < 0 {
		return a.op(opDrop)
	}
	return a.index(opCall, w.helper(helperCharge)).op(opDrop)
}

// body is the code of a helper. Without pintle.yield nothing is paid; the
// engine looks at its context in every loop then.
func (w *rewriter) body(which int) []byte {
	a := &assembler{b: []byte{0}} // no locals
	switch {
	case which == helperCharge && w.yield >= 0:
		w.chargeBody(a)
	case which == helperCharge:
		a.get(0)
	case which == helperFill && w.used[miscMemoryFill]:
		w.moveBody(a, []byte{opMisc, miscMemoryFill, 0}, func(a *assembler) { a.step(0, opI32Add) })
	case which == helperCopy && w.used[miscMemoryCopy]:
		w.copyBody(a)
	default: // the module may have no memory
	}
	return a.op(opEnd).b
}

// chargeBody: if n>>shift >= counter { counter = fuel; yield() } else { counter -= n>>shift }; return n
func (w *rewriter) chargeBody(a *assembler) {
	cost := func() *assembler { return a.get(0).num(bulkShift).op(opI32ShrU) }
	cost().index(opGlobalGet, w.globals).op(opI32GeU, opIf, 0x40)
	a.num(fuel).index(opGlobalSet, w.globals).index(opCall, uint32(w.yield)).op(opElse)
	a.index(opGlobalGet, w.globals)
	cost().op(opI32Sub).index(opGlobalSet, w.globals).op(opEnd)
	a.get(0)
}

// moveBody moves pieces while more than one is left, then what is left. next
// moves the first operands on by a piece.
func (w *rewriter) moveBody(a *assembler, move []byte, next func(*assembler)) {
	w.pieces(a, func() {
		a.get(0).get(1).num(bulkPiece).op(move...)
		next(a)
		a.step(2, opI32Sub)
	})
	a.get(0).get(1).get(2).op(move...)
	w.chargeRest(a)
}

// pieces: while n > piece { f(); charge(piece) }
func (w *rewriter) pieces(a *assembler, f func()) {
	a.op(opBlock, 0x40, opLoop, 0x40)
	a.get(2).num(bulkPiece).op(opI32LeU, opBrIf, 1)
	f()
	a.num(bulkPiece).charge(w)
	a.op(opBr, 0, opEnd, opEnd)
}

func (w *rewriter) chargeRest(a *assembler) {
	a.get(2).num(bulkFree).op(opI32GtU, opIf, 0x40)
	a.get(2).charge(w).op(opEnd)
}

// copyBody copies from the end when the destination lies behind the source,
// since the two may overlap.
// RATIONALE.md: "Why is memory filled and copied by functions of our own?"
func (w *rewriter) copyBody(a *assembler) {
	move := []byte{opMisc, miscMemoryCopy, 0, 0}
	a.get(2).num(bulkPiece).op(opI32GtU, opIf, 0x40)
	a.get(0).get(1).op(opI32LeU, opIf, 0x40)
	w.pieces(a, func() {
		a.get(0).get(1).num(bulkPiece).op(move...)
		a.step(0, opI32Add).step(1, opI32Add).step(2, opI32Sub)
	})
	a.op(opElse)
	w.pieces(a, func() {
		a.step(2, opI32Sub)
		a.get(0).get(2).op(opI32Add).get(1).get(2).op(opI32Add).num(bulkPiece).op(move...)
	})
	a.op(opEnd, opEnd)
	a.get(0).get(1).get(2).op(move...)
	w.chargeRest(a)
}
