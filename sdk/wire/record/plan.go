package record

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// plan is how the wanted part of one Go type is written, worked out once. It
// walks memory by offsets: reflection takes three times as long, and this is on
// the way of every object that any plugin is shown.
type plan struct {
	kind    kind
	typ     reflect.Type
	size    uintptr // of the type
	elem    *plan   // of what a pointer, list or map holds
	length  int     // of an array
	steps   []step  // of a struct: the wanted fields, or all; of kindPick, the keys
	fields  *Fields // what is wanted of a value that is known only when it is there
	form    form
	scratch sync.Pool // of a map: *mapScratch
}

type kind uint8

const (
	kindOther  kind = iota // by way of its JSON
	kindString             // any string type
	kindBool
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindUint8
	kindUint16
	kindUint32
	kindUint64
	kindFloat32
	kindFloat64
	kindBytes   // base64
	kindPointer // none or its element
	kindAny     // what an interface holds
	kindList
	kindArray
	kindStrings // a map from strings to strings
	kindMap     // a map from strings to elem
	kindPick    // some entries of a map
	kindStruct  // wanted fields
	kindObject  // all fields, with their names
	kindForm    // as a form has it
)

// step is a field of a struct.
type step struct {
	key     string // length and name, as in a map
	name    string
	offset  uintptr
	missing bool // the type has no such field
	omit    omit
	plan    *plan
}

// omit says when a field is left out.
type omit uint8

const (
	omitNever  omit = iota
	omitLength      // a string or slice that is empty
	omitMap
	omitNil    // a pointer or interface
	omitScalar // a number or bool
	omitZero   // all of it is zero, or its IsZero says so
	omitAlways // an array of no elements
)

// form writes a value of a type that has its own way; p points to it.
type form func(b []byte, p unsafe.Pointer) ([]byte, error)

// Forms are how values of some types are written that would be by way of their
// MarshalJSON, which is slow.
type Forms map[reflect.Type]form

// AddForm adds how a T is written: fn appends one value.
func AddForm[T any](to Forms, fn func(b []byte, v *T) ([]byte, error)) {
	to[reflect.TypeFor[T]()] = func(b []byte, p unsafe.Pointer) ([]byte, error) { return fn(b, (*T)(p)) }
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	isZeroer      = reflect.TypeFor[interface{ IsZero() bool }]()
	scalars       = map[reflect.Kind]kind{reflect.String: kindString, reflect.Bool: kindBool, reflect.Int8: kindInt8, reflect.Int16: kindInt16,
		reflect.Int32: kindInt32, reflect.Int64: kindInt64, reflect.Uint8: kindUint8, reflect.Uint16: kindUint16,
		reflect.Uint32: kindUint32, reflect.Uint64: kindUint64, reflect.Float32: kindFloat32, reflect.Float64: kindFloat64}
)

// planner makes the plans of one type and those in it.
type planner struct {
	forms Forms
	open  map[reflect.Type]*plan // of whole types, which may be within themselves
}

func (m *planner) plan(t reflect.Type, f *Fields) *plan {
	if f == nil {
		if p := m.open[t]; p != nil {
			return p
		}
	}
	p := &plan{typ: t, size: t.Size(), fields: f}
	if f == nil {
		m.open[t] = p
	}
	if p.form = m.forms[t]; p.form != nil {
		p.kind = kindForm
		return p
	}
	if t.Kind() == reflect.Pointer {
		p.kind, p.elem = kindPointer, m.plan(t.Elem(), f)
		return p
	}
	if own(t, jsonMarshaler) || own(t, textMarshaler) {
		return p
	}
	m.kind(p, t, f)
	return p
}

func own(t, how reflect.Type) bool { return t.Implements(how) || reflect.PointerTo(t).Implements(how) }

func (m *planner) kind(p *plan, t reflect.Type, f *Fields) {
	p.kind = scalars[t.Kind()]
	switch t.Kind() {
	case reflect.Int:
		p.kind = scalars[map[uintptr]reflect.Kind{4: reflect.Int32, 8: reflect.Int64}[t.Size()]]
	case reflect.Uint, reflect.Uintptr:
		p.kind = scalars[map[uintptr]reflect.Kind{4: reflect.Uint32, 8: reflect.Uint64}[t.Size()]]
	case reflect.Interface:
		p.kind = kindAny
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 && !own(t.Elem(), jsonMarshaler) && !own(t.Elem(), textMarshaler) {
			p.kind = kindBytes
			return
		}
		p.kind, p.elem = kindList, m.plan(t.Elem(), f)
	case reflect.Array:
		p.kind, p.elem, p.length = kindArray, m.plan(t.Elem(), f), t.Len()
	case reflect.Map:
		m.mapping(p, t, f)
	case reflect.Struct:
		if p.kind = kindStruct; f == nil {
			p.kind = kindObject
		}
		p.steps = m.steps(t, f)
	}
}

func (m *planner) mapping(p *plan, t reflect.Type, f *Fields) {
	switch {
	case t.Key().Kind() != reflect.String || own(t.Key(), textMarshaler):
	case f != nil:
		p.kind = kindPick
		if text := t.Elem(); text.Kind() != reflect.String || own(text, jsonMarshaler) || own(text, textMarshaler) {
			p.elem = m.plan(text, nil)
		}
		for _, w := range f.list {
			p.steps = append(p.steps, step{name: w.name, plan: m.plan(t.Elem(), w.fields)})
		}
	case t.Elem().Kind() == reflect.String && !own(t.Elem(), jsonMarshaler) && !own(t.Elem(), textMarshaler):
		p.kind = kindStrings
	default:
		p.kind, p.elem = kindMap, m.plan(t.Elem(), nil)
	}
}

// steps finds the wanted fields in a struct, or all; those of
// embedded structs without a name included.
func (m *planner) steps(t reflect.Type, f *Fields) []step {
	var out []step
	if f != nil {
		out = make([]step, len(f.list))
		for i := range out {
			out[i].missing = true
		}
	}
	eachField(t, 0, func(name, opts string, offset uintptr, sf reflect.StructField) {
		s := step{name: name, key: string(appendText(nil, name)), offset: offset}
		opts = "," + opts + ","
		var wanted *Fields
		at := -1
		if name == managedFields {
			return
		}
		if f != nil {
			if at = f.index(name); at < 0 {
				return
			}
			wanted = f.list[at].fields
		}
		s.plan = m.plan(sf.Type, wanted)
		if strings.Contains(opts, ",string,") {
			s.plan = &plan{typ: sf.Type, size: sf.Type.Size(), form: quotedForm(sf.Type), kind: kindForm}
		}
		s.omit = omitOf(sf.Type, strings.Contains(opts, ",omitempty,"), strings.Contains(opts, ",omitzero,"))
		if at >= 0 {
			out[at] = s
		} else {
			out = append(out, s)
		}
	})
	return out
}

// managedFields is left out: it is bookkeeping, the larger half of many objects,
// and of no use to a plugin. An update that leaves it out keeps it.
const managedFields = "managedFields"

// eachField calls fn for the JSON fields of a struct.
func eachField(t reflect.Type, base uintptr, fn func(name, opts string, offset uintptr, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			eachField(f.Type, base+f.Offset, fn)
			continue
		}
		if !f.IsExported() || name == "-" && opts == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fn(name, opts, base+f.Offset, f)
	}
}

func omitOf(t reflect.Type, empty, zero bool) omit {
	if zero {
		return omitZero
	}
	if !empty {
		return omitNever
	}
	switch t.Kind() {
	case reflect.String, reflect.Slice:
		return omitLength
	case reflect.Map:
		return omitMap
	case reflect.Pointer, reflect.Interface:
		return omitNil
	case reflect.Array:
		if t.Len() == 0 {
			return omitAlways
		}
		return omitNever
	case reflect.Struct:
		return omitNever
	}
	return omitScalar
}

// absent tells whether the field at p is left out.
func (s *step) absent(p unsafe.Pointer) bool {
	switch s.omit {
	case omitNever:
		return false
	case omitLength: // the second word of both
		return *(*int)(unsafe.Add(p, unsafe.Sizeof(uintptr(0)))) == 0
	case omitMap:
		return *(*unsafe.Pointer)(p) == nil || reflect.NewAt(s.plan.typ, p).Elem().Len() == 0
	case omitNil:
		return *(*unsafe.Pointer)(p) == nil
	case omitScalar:
		return zeroBytes(p, s.plan.size)
	case omitZero:
		v := reflect.NewAt(s.plan.typ, p)
		if v.Type().Implements(isZeroer) && s.plan.typ.Kind() != reflect.Pointer {
			return v.Interface().(interface{ IsZero() bool }).IsZero()
		}
		return v.Elem().IsZero()
	}
	return true
}

func zeroBytes(p unsafe.Pointer, size uintptr) bool {
	switch size {
	case 1:
		return *(*uint8)(p) == 0
	case 4:
		return *(*uint32)(p) == 0
	case 8:
		return *(*uint64)(p) == 0
	}
	for i := range size {
		if *(*uint8)(unsafe.Add(p, i)) != 0 {
			return false
		}
	}
	return true
}

// quotedForm is that of a field with the option "string".
func quotedForm(t reflect.Type) form {
	return func(b []byte, p unsafe.Pointer) ([]byte, error) {
		text, err := json.Marshal(reflect.NewAt(t, p).Interface())
		if err != nil || t.Kind() == reflect.Pointer && string(text) == "null" {
			return append(b, None), err
		}
		return AppendString(b, string(text)), nil
	}
}
