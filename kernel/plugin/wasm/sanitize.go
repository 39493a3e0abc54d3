package wasm

import (
	"errors"
	"fmt"
)

// The bounds of a module beyond those of its size. What the engine makes of one
// thing is some hundred times as large as its bytes, and in places its time grows
// with the square of their number. The largest function of a Go plugin with all
// of Kubernetes' types has 30 KB, its widest type 11 parameters.
const (
	maxLocals   = 50_000    // of one function; what browsers allow
	maxTable    = 1 << 20   // elements of all tables, and of all element segments
	maxFunction = 512 << 10 // bytes of one function's code: the engine needs a KiB for each of them
	maxParams   = 128       // of a function type
	maxResults  = 16        // of a function type
)

// maxCount is how many things of a kind a module may have.
var maxCount = map[byte]uint32{
	sectionType:     10_000,
	sectionImport:   10_000,
	sectionFunction: 200_000,
	sectionTable:    100,
	sectionGlobal:   100_000,
	sectionExport:   1_000,
	sectionElement:  10_000,
	sectionCode:     200_000,
	sectionData:     1_000_000, // Go's linker makes one for every few words: some 60,000
}

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
	entries := uint32(maxTable)
	for n := r.counted(id); n > 0 && r.err == nil; n-- {
		switch id {
		case sectionType:
			r.functionType()
		case sectionImport:
			r.importEntry()
		case sectionExport:
			r.skip(r.u32())
			r.skip(1)
			r.u32()
		case sectionElement:
			entries = r.element(entries)
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

// counted is count with the bound for the section.
func (r *reader) counted(id byte) uint32 {
	n := r.count()
	if most, ok := maxCount[id]; ok && n > most {
		r.fail(fmt.Errorf("%d things in it, %d are allowed", n, most))
		return 0
	}
	return n
}

func (r *reader) functionType() {
	r.byte()
	params := r.u32()
	r.skip(params)
	results := r.u32()
	r.skip(results)
	if r.err == nil && (params > maxParams || results > maxResults) {
		r.fail(fmt.Errorf("a function type of %d parameters and %d results, %d and %d are allowed", params, results, maxParams, maxResults))
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
	n := r.counted(sectionTable)
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

// element skips an element segment, whose flags say what it has, and answers how
// many of the entries that are left it leaves.
func (r *reader) element(left uint32) uint32 {
	flags := r.u32()
	if flags > 7 {
		r.fail(fmt.Errorf("element segment of kind %d", flags))
		return 0
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
	n := r.count()
	if n > left {
		r.fail(fmt.Errorf("element segments of more than %d entries", maxTable))
		return 0
	}
	for i := n; i > 0 && r.err == nil; i-- {
		if flags&4 != 0 {
			r.expression()
		} else {
			r.u32()
		}
	}
	return left - n
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
