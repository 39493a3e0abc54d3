package wasm

import (
	"errors"
	"fmt"
)

// The bounds of a module beyond those of its size.
const (
	maxLocals   = 50_000  // of one function; what browsers allow
	maxTable    = 1 << 20 // elements of all tables
	maxFunction = 8 << 20 // bytes of one function's code
)

// sanitize checks what the engine takes on trust. A module says how many
// things follow, and the engine makes room for them before it looks: a module
// of a few bytes could claim the memory of the whole process. Every count must
// be covered by bytes, locals and tables are bounded, and a table that could
// grow for ever gets a limit. Custom sections (names, debugging) are dropped.
//
// What passes is not yet valid; the engine checks that.
func sanitize(in []byte) ([]byte, error) {
	if len(in) < 8 || string(in[:4]) != "\x00asm" || string(in[4:8]) != "\x01\x00\x00\x00" {
		return nil, errors.New("not a WASM module of version 1")
	}
	out := append(make([]byte, 0, len(in)+8), in[:8]...)
	r := &reader{b: in, at: 8}
	for r.more() {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			break
		}
		if id == 0 {
			continue
		}
		s := &reader{b: body}
		if id == sectionTable {
			body = s.tables()
		} else {
			s.section(id)
		}
		if s.err != nil {
			return nil, fmt.Errorf("section %d: %w", id, s.err)
		}
		out = append(appendU32(append(out, id), uint32(len(body))), body...)
	}
	return out, r.err
}

// More sections by id.
const (
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionExport   = 7
	sectionStart    = 8
	sectionElement  = 9
	sectionData     = 11
	sectionCount    = 12
)

// count reads how many things follow, each of at least one byte.
func (r *reader) count() uint32 {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.fail(fmt.Errorf("%d elements in %d bytes", n, len(r.b)-r.at))
		return 0
	}
	return n
}

// section walks through a section so far that every count in it is known to
// be covered.
func (r *reader) section(id byte) {
	switch id {
	case sectionStart, sectionCount:
		return
	case sectionType, sectionImport, sectionFunction, sectionMemory, sectionGlobal, sectionExport, sectionElement, sectionCode, sectionData:
	default:
		r.fail(errors.New("it is not known"))
		return
	}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		switch id {
		case sectionType:
			r.byte()
			r.skip(r.u32())
			r.skip(r.u32())
		case sectionImport:
			r.importEntry()
		case sectionExport:
			r.skip(r.u32())
			r.skip(1)
			r.u32()
		case sectionElement:
			r.element()
		case sectionCode:
			r.function()
		case sectionData:
			r.data()
		case sectionGlobal:
			r.skip(2)
			r.expression()
		default:
			return // functions and memories are numbers: nothing is allocated by them
		}
	}
}

func (r *reader) importEntry() {
	r.skip(r.u32())
	r.skip(r.u32())
	switch kind := r.byte(); kind {
	case 0:
		r.u32()
	case 3:
		r.skip(2)
	default:
		r.fail(fmt.Errorf("import of kind %d: only functions and globals can be imported", kind))
	}
}

// tables copies the table section and bounds the tables.
func (r *reader) tables() []byte {
	n := r.count()
	most := maxTable / max(n, 1)
	out := appendU32(nil, n)
	for ; n > 0 && r.err == nil; n-- {
		kind, flag := r.byte(), r.byte()
		low, high := r.u32(), most
		if flag == 1 {
			high = r.u32()
		}
		if flag > 1 || low > most {
			r.fail(fmt.Errorf("a table of %d elements, %d are allowed", low, most))
		}
		out = appendU32(appendU32(append(out, kind, 1), low), min(high, most))
	}
	return out
}

// element skips an element segment, whose flags say what it has.
func (r *reader) element() {
	flags := r.u32()
	if flags > 7 {
		r.fail(fmt.Errorf("element segment of kind %d", flags))
		return
	}
	if flags&1 == 0 { // active
		if flags&2 != 0 {
			r.u32() // table
		}
		r.expression()
	}
	if flags&3 != 0 {
		r.skip(1) // element kind or type
	}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		if flags&4 != 0 {
			r.expression()
		} else {
			r.u32()
		}
	}
}

func (r *reader) data() {
	switch flags := r.u32(); flags {
	case 0:
		r.expression()
	case 1:
	case 2:
		r.u32()
		r.expression()
	default:
		r.fail(fmt.Errorf("data segment of kind %d", flags))
	}
	r.skip(r.u32())
}

// function skips a function's code and bounds its locals.
func (r *reader) function() {
	size := r.u32()
	if size > maxFunction {
		r.fail(fmt.Errorf("a function of %d bytes, %d are allowed", size, maxFunction))
		return
	}
	f := &reader{b: r.bytes(size)}
	if r.err != nil {
		return
	}
	var locals uint64
	for n := f.count(); n > 0 && f.err == nil; n-- {
		locals += uint64(f.u32())
		f.skip(1)
	}
	if f.err == nil && locals > maxLocals {
		f.fail(fmt.Errorf("a function with %d locals, %d are allowed", locals, maxLocals))
	}
	r.err = f.err
	if r.err != nil {
		r.at = len(r.b)
	}
}
