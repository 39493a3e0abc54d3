package wasm

import (
	"errors"
	"fmt"
)

// fuel is how much a guest may do between two yields: about a fifth of a
// millisecond of tight code. It bounds how long the garbage collector of this
// process may have to wait for a guest.
const fuel = 50_000

// weightShift: a round of a loop and a call cost one unit, and one more for
// every 1<<weightShift instructions of the function, since all of them may be
// in the round.
const weightShift = 6

var errNoCode = errors.New("the module has no code")

// Sections of a module by id.
const (
	sectionType   = 1
	sectionImport = 2
	sectionGlobal = 6
	sectionCode   = 10
)

// meter rewrites a module so that every loop round, and every call of a
// function that does more than a little, takes fuel from a counter, and
// pintle.yield is called when it is used up. Compiled code cannot be
// interrupted, and a loop without calls would stop the garbage collector and
// with it the whole process; after this, no code runs long without passing
// through the host. Memory is moved in pieces, see bulk.go.
//
// Indices of the module stay as they are: the counter is one more global at
// the end, the helpers of bulk.go are more functions and types. Code that names
// them is refused: it was not valid before.
//
// Of a module that does not import pintle.yield only the moves of memory are
// rewritten, and functions that call others get a loop, and metered is false: it
// has to run in the engine's own, slower, interruptible mode.
// RATIONALE.md: "Why fuel and yield, instead of the engine's own
// interruption?"
func meter(in []byte) (out []byte, metered bool, err error) {
	if len(in) < 8 || string(in[:4]) != "\x00asm" || string(in[4:8]) != "\x01\x00\x00\x00" {
		return nil, false, errors.New("not a WASM module")
	}
	w := rewriter{out: append(make([]byte, 0, len(in)+len(in)/4), in[:8]...), yield: -1, used: map[uint32]bool{}}
	r := &reader{b: in, at: 8}
	for r.more() {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		if err := w.section(id, body); err != nil {
			return nil, false, err
		}
	}
	if r.err != nil {
		return nil, false, r.err
	}
	if !w.code {
		return nil, false, errNoCode
	}
	return w.out, w.yield >= 0, nil
}

type rewriter struct {
	out       []byte
	voids     map[uint32]bool // types that take and give nothing
	types     uint32
	yield     int    // index of the imported function; -1 without
	functions uint32 // imported ones, then all
	globals   uint32 // imported ones, then all
	counter   bool   // the counter has been added
	code      bool
	used      map[uint32]bool // instructions after opMisc
	edits     []edit          // of the function at hand
	params    []uint32        // by type
	results   []uint32        // by type
	imported  []uint32        // types of imported functions
	typeOf    []uint32        // by function, without imported ones
	effort    effort
}

// edit puts bytes in the place of what lies between two positions.
type edit struct {
	from, to int
	with     []byte
}

func (w *rewriter) helper(which uint32) uint32 { return w.functions + which }

func (w *rewriter) section(id byte, body []byte) error {
	var err error
	switch id {
	case sectionType:
		body, err = w.addTypes(body)
	case sectionImport:
		err = w.imports(body)
	case sectionFunction:
		body, err = w.addHelpers(body)
	case sectionGlobal:
		body, err = w.addCounter(body)
	case sectionExport, sectionStart, sectionElement, sectionCount, sectionCode, sectionData:
		if !w.counter { // there are no globals: this is the place for some
			if err = w.section(sectionGlobal, []byte{0}); err != nil {
				return err
			}
		}
		if id == sectionCode {
			body, err = w.functionBodies(body)
		}
	}
	if err != nil {
		return err
	}
	w.out = appendU32(append(w.out, id), uint32(len(body)))
	w.out = append(w.out, body...)
	return nil
}

// addTypes reads the types and appends those of the helpers.
func (w *rewriter) addTypes(body []byte) ([]byte, error) {
	r := &reader{b: body}
	w.voids = map[uint32]bool{}
	n := r.u32()
	rest := r.at
	for i := uint32(0); i < n && r.err == nil; i++ {
		if r.byte() != 0x60 {
			return nil, errors.New("a type that is no function type")
		}
		params := r.u32()
		w.params = append(w.params, params)
		r.skip(params)
		results := r.u32()
		w.results = append(w.results, results)
		r.skip(results)
		if params == 0 && results == 0 {
			w.voids[i] = true
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if r.at != len(body) || n > 1<<30 {
		return nil, errors.New("malformed type section")
	}
	w.types = n
	out := append(appendU32(make([]byte, 0, len(body)+16), n+2), body[rest:]...)
	return append(out, helperTypes...), nil
}

func (w *rewriter) imports(body []byte) error {
	r := &reader{b: body}
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		module, name := r.name(), r.name()
		switch kind := r.byte(); kind {
		case 0:
			t := r.u32()
			if module == importModule && name == "yield" && w.voids[t] {
				w.yield = int(w.functions)
			}
			w.imported = append(w.imported, t)
			w.functions++
		case 1:
			r.skip(1)
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.skip(2)
			w.globals++
		default:
			return fmt.Errorf("import of kind %d", kind)
		}
	}
	return r.err
}

func (r *reader) limits() {
	if r.u32()&1 == 1 {
		r.u32()
	}
	r.u32()
}

// addHelpers appends the helpers to the section that says what type functions
// have.
func (w *rewriter) addHelpers(body []byte) ([]byte, error) {
	r := &reader{b: body}
	n := r.u32()
	if r.err != nil || n > 1<<30 {
		return nil, errors.New("malformed function section")
	}
	for i := uint32(0); i < n && r.err == nil; i++ {
		t := r.u32()
		if t >= w.types { // one of ours, or none
			return nil, errors.New("a function of a type that does not exist")
		}
		w.typeOf = append(w.typeOf, t)
	}
	if r.err != nil || r.at != len(body) {
		return nil, errors.New("malformed function section")
	}
	w.functions += n
	out := append(appendU32(make([]byte, 0, len(body)+16), n+helpers), body[len(appendU32(nil, n)):]...)
	for _, t := range [helpers]uint32{w.types, w.types + 1, w.types + 1} {
		out = appendU32(out, t)
	}
	return out, nil
}

// addCounter appends a mutable i32 to the global section.
func (w *rewriter) addCounter(body []byte) ([]byte, error) {
	r := &reader{b: body}
	n := r.u32()
	rest := r.at
	for i := uint32(0); i < n && r.err == nil; i++ {
		r.skip(2)
		r.expression()
	}
	if r.err != nil {
		return nil, r.err
	}
	if r.at != len(body) || n == 1<<32-1 {
		return nil, errors.New("malformed global section")
	}
	w.globals += n
	w.counter = true
	out := append(appendU32(make([]byte, 0, len(body)+8), n+1), body[rest:]...)
	out = append(out, 0x7f, 1, opI32Const)
	return append(appendS32(out, fuel), opEnd), nil
}

// functionBodies puts the tax into the code of all functions and appends the
// helpers.
func (w *rewriter) functionBodies(body []byte) ([]byte, error) {
	w.code = true
	r := &reader{b: body}
	n := r.u32()
	if int(n) != len(w.typeOf) {
		return nil, errors.New("malformed code section")
	}
	out := appendU32(make([]byte, 0, len(body)+len(body)/4), n+helpers)
	var one []byte
	for i := 0; i < int(n) && r.err == nil; i++ {
		code := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		var err error
		if one, err = w.function(one[:0], code, w.params[w.typeOf[i]]); err != nil {
			return nil, err
		}
		out = append(appendU32(out, uint32(len(one))), one...)
	}
	if r.err == nil && r.at != len(body) {
		return nil, errors.New("malformed code section")
	}
	for i := range helpers {
		b := w.body(i)
		out = append(appendU32(out, uint32(len(b))), b...)
	}
	return out, r.err
}

// tax: if counter < weight { counter = fuel; yield() }; counter -= weight
func (w *rewriter) tax(weight int32) []byte {
	a := &assembler{}
	a.index(opGlobalGet, w.globals)
	if weight == 1 {
		a.op(opI32Eqz)
	} else {
		a.num(weight).op(opI32LtU)
	}
	a.op(opIf, 0x40).num(fuel).index(opGlobalSet, w.globals).index(opCall, uint32(w.yield)).op(opEnd)
	return a.index(opGlobalGet, w.globals).num(weight).op(opI32Sub).index(opGlobalSet, w.globals).b
}

// function copies one function body and puts the tax behind every loop header
// and, when the function calls others before it reaches a loop or is not
// small, at its beginning. Instructions that move memory go to the helpers.
func (w *rewriter) function(out, code []byte, params uint32) ([]byte, error) {
	r := &reader{b: code}
	locals := uint64(params)
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		locals += uint64(r.u32())
		r.skip(1)
	}
	if r.err != nil {
		return nil, r.err
	}
	start := r.at
	instructions, forks, covered, straight := 0, 0, false, true
	calls, wide, moved := false, uint64(0), uint64(0)
	w.edits = w.edits[:0]
	for r.more() {
		from := r.at
		op := r.instruction()
		instructions++
		forks += branches(op)
		if op == opBrTable {
			forks += r.at - from // a byte each, at least
		}
		switch op {
		case opLoop:
			covered = covered || straight
			w.edits = append(w.edits, edit{r.at, r.at, nil})
		case opCall, opCallIndirect:
			calls, straight = true, false
		case opBr, opBrIf, opBrTable, opReturn, opIf, opElse, opEnd, opUnreachable:
			straight = false
		}
		if err := w.check(op, r.immediate); err != nil {
			return nil, err
		}
		switch op {
		case opMisc:
			w.bulk(from, r.at, r.immediate)
		case opCall, opCallIndirect:
			moved += w.given(op, r.immediate)
		case opBlock, opLoop, opIf:
			wide = max(wide, w.width(r.immediate))
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := w.effort.function(locals, forks, len(code), moved+wide*uint64(forks)); err != nil {
		return nil, err
	}
	// The engine's own mode looks at the context in loops, and only there: without
	// one, functions that call each other would go on for ever.
	tax, entry := []byte{}, []byte{opLoop, 0x40, opEnd}
	if w.yield >= 0 {
		tax = w.tax(int32(min(1+instructions>>weightShift, fuel)))
		entry = tax
	}
	out = append(out, code[:start]...)
	if (calls || instructions > 1<<weightShift) && !covered {
		out = append(out, entry...)
	}
	last := start
	for _, e := range w.edits {
		out = append(out, code[last:e.from]...)
		if e.with == nil {
			e.with = tax
		}
		out = append(out, e.with...)
		last = e.to
	}
	return append(out, code[last:]...), nil
}

// given is how many values a call leaves. What does not exist is the engine's to
// refuse.
func (w *rewriter) given(op byte, index uint32) uint64 {
	if op == opCall && int(index) < len(w.imported) {
		index = w.imported[index]
	} else if i := int(index) - len(w.imported); op == opCall && i < len(w.typeOf) {
		index = w.typeOf[i]
	}
	if int(index) >= len(w.results) {
		return 0
	}
	return uint64(w.results[index])
}

// width is how many values the type of a block passes in or out.
func (w *rewriter) width(index uint32) uint64 {
	if int(index) >= len(w.params) {
		return 0
	}
	return uint64(max(w.params[index], w.results[index]))
}

// check refuses code that names what the rewriter adds: with it, the counter
// could be filled up.
func (w *rewriter) check(op byte, index uint32) error {
	switch {
	case (op == opGlobalGet || op == opGlobalSet) && index >= w.globals:
		return fmt.Errorf("global %d does not exist", index)
	case (op == opCall || op == opRefFunc) && index >= w.functions:
		return fmt.Errorf("function %d does not exist", index)
	}
	return nil
}

// bulk notes what becomes of an instruction after opMisc.
func (w *rewriter) bulk(from, to int, which uint32) {
	w.used[which] = true
	call := func(helper uint32) []byte { return appendU32([]byte{opCall}, w.helper(helper)) }
	switch which {
	case miscMemoryFill:
		w.edits = append(w.edits, edit{from, to, call(helperFill)})
	case miscMemoryCopy:
		w.edits = append(w.edits, edit{from, to, call(helperCopy)})
	case miscMemoryInit, miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		w.edits = append(w.edits, edit{from, from, call(helperCharge)})
	}
}

func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
