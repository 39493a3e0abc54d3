package wasm

import (
	"errors"
	"fmt"
)

// fuel is how many loop rounds and calls a guest makes between two yields:
// about a fifth of a millisecond of tight code. It bounds how long the garbage
// collector of this process may have to wait for a guest.
const fuel = 50_000

// errNoYield: the module does not import pintle.yield, so there is nothing to
// call when fuel runs out.
var errNoYield = errors.New("the module does not import pintle.yield")

// Sections of a module by id.
const (
	sectionType   = 1
	sectionImport = 2
	sectionGlobal = 6
	sectionCode   = 10
)

// meter rewrites a module so that every loop round, and every call of a
// function that calls others, takes one unit from a counter, and pintle.yield
// is called when it is used up. Compiled code cannot be interrupted, and a
// loop without calls would stop the garbage collector and with it the whole
// process; after this, no code runs long without passing through the host.
//
// Indices of the module stay as they are: the counter is one more global at
// the end. A module that is not understood is refused; it then runs in the
// engine's own, slower, interruptible mode.
func meter(in []byte) ([]byte, error) {
	if len(in) < 8 || string(in[:4]) != "\x00asm" || string(in[4:8]) != "\x01\x00\x00\x00" {
		return nil, errors.New("not a WASM module")
	}
	w := rewriter{out: append(make([]byte, 0, len(in)+len(in)/4), in[:8]...), yield: -1}
	r := &reader{b: in, at: 8}
	for r.more() {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		if err := w.section(id, body); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if !w.code {
		return nil, errors.New("the module has no code")
	}
	return w.out, nil
}

type rewriter struct {
	out     []byte
	voids   map[uint32]bool // types that take and give nothing
	yield   int             // index of the imported function; -1 while unknown
	globals uint32          // imported ones, then all
	counter bool            // the counter has been added
	code    bool
	tax     []byte // the instructions that take one unit
}

func (w *rewriter) section(id byte, body []byte) error {
	var err error
	switch id {
	case sectionType:
		err = w.types(body)
	case sectionImport:
		err = w.imports(body)
	case sectionGlobal:
		body, err = w.addCounter(body)
	case sectionCode:
		body, err = w.functions(body)
	}
	if err != nil {
		return err
	}
	w.out = appendU32(append(w.out, id), uint32(len(body)))
	w.out = append(w.out, body...)
	return nil
}

func (w *rewriter) types(body []byte) error {
	r := &reader{b: body}
	w.voids = map[uint32]bool{}
	n := r.u32()
	for i := uint32(0); i < n && r.err == nil; i++ {
		if r.byte() != 0x60 {
			return errors.New("a type that is no function type")
		}
		params := r.u32()
		r.skip(params)
		results := r.u32()
		r.skip(results)
		if params == 0 && results == 0 {
			w.voids[i] = true
		}
	}
	return r.err
}

func (w *rewriter) imports(body []byte) error {
	r := &reader{b: body}
	functions := 0
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		module, name := r.name(), r.name()
		switch kind := r.byte(); kind {
		case 0:
			if t := r.u32(); module == importModule && name == "yield" && w.voids[t] {
				w.yield = functions
			}
			functions++
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

// functions puts the tax into the code of all functions.
func (w *rewriter) functions(body []byte) ([]byte, error) {
	if w.yield < 0 {
		return nil, errNoYield
	}
	if !w.counter {
		return nil, errors.New("the module has no globals")
	}
	w.code = true
	w.tax = w.makeTax()
	r := &reader{b: body}
	n := r.u32()
	out := appendU32(make([]byte, 0, len(body)+len(body)/4), n)
	var one []byte
	for ; n > 0 && r.err == nil; n-- {
		code := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		var err error
		if one, err = w.function(one[:0], code); err != nil {
			return nil, err
		}
		out = append(appendU32(out, uint32(len(one))), one...)
	}
	if r.err == nil && r.at != len(body) {
		return nil, errors.New("malformed code section")
	}
	return out, r.err
}

// makeTax: if counter == 0 { counter = fuel; yield() }; counter--
func (w *rewriter) makeTax() []byte {
	get := func(b []byte) []byte { return appendU32(append(b, opGlobalGet), w.globals) }
	set := func(b []byte) []byte { return appendU32(append(b, opGlobalSet), w.globals) }
	b := append(get(nil), opI32Eqz, opIf, 0x40, opI32Const)
	b = set(appendS32(b, fuel))
	b = append(appendU32(append(b, opCall), uint32(w.yield)), opEnd)
	b = append(get(b), opI32Const, 1, opI32Sub)
	return set(b)
}

// function copies one function body and puts the tax behind every loop
// header and, when the function calls others before it reaches a loop, at its
// beginning.
func (w *rewriter) function(out, code []byte) ([]byte, error) {
	r := &reader{b: code}
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		r.skipNumber()
		r.skip(1)
	}
	if r.err != nil {
		return nil, r.err
	}
	start := r.at
	calls, covered, straight := false, false, true
	var loops []int
	for r.more() {
		switch r.instruction() {
		case opLoop:
			covered = covered || straight
			loops = append(loops, r.at)
		case opCall, opCallIndirect:
			calls, straight = true, false
		case opBr, opBrIf, opBrTable, opReturn, opIf, opElse, opEnd, opUnreachable:
			straight = false
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	out = append(out, code[:start]...)
	if calls && !covered {
		out = append(out, w.tax...)
	}
	last := start
	for _, at := range loops {
		out = append(append(out, code[last:at]...), w.tax...)
		last = at
	}
	return append(out, code[last:]...), nil
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
