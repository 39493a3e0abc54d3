package record

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// maxTypeText bounds the declaration of a type. A type with more fields wants
// most of the object anyhow, and is sent all of it.
const maxTypeText = 1024

// layout is how values of one Go type are read, worked out once.
type layout struct {
	into   into
	typ    reflect.Type
	elem   *layout // of what a pointer, list or map holds
	fields []fieldLayout
	byName map[string]int
}

type fieldLayout struct {
	name   string
	offset uintptr
	layout *layout
}

// into is a form of Go type.
type into uint8

const (
	intoOther into = iota // by way of JSON
	intoString
	intoBool
	intoInt
	intoFloat
	intoBytes
	intoAny // an empty interface
	intoPointer
	intoList
	intoStrings // map[string]string, exactly
	intoMap
	intoStruct
	intoOwn // a type with UnmarshalJSON
)

var (
	layouts         sync.Map // reflect.Type → *layout
	declarations    sync.Map // reflect.Type → *Fields, nil for all
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	m := map[reflect.Type]*layout{}
	got, _ := layouts.LoadOrStore(t, layoutIn(t, m))
	return got.(*layout)
}

// layoutIn is layoutOf while others are being worked out: a type may be within
// itself.
func layoutIn(t reflect.Type, open map[reflect.Type]*layout) *layout {
	if l := open[t]; l != nil {
		return l
	}
	l := &layout{typ: t}
	open[t] = l
	if k := t.Kind(); k != reflect.Pointer && (t.Implements(jsonUnmarshaler) || reflect.PointerTo(t).Implements(jsonUnmarshaler)) {
		l.into = intoOwn
		return l
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return l
	}
	switch t.Kind() {
	case reflect.String:
		l.into = intoString
	case reflect.Bool:
		l.into = intoBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		l.into = intoInt
	case reflect.Float32, reflect.Float64:
		l.into = intoFloat
	case reflect.Interface:
		if t.NumMethod() == 0 {
			l.into = intoAny
		}
	case reflect.Pointer:
		l.into, l.elem = intoPointer, layoutIn(t.Elem(), open)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			if !own(t.Elem(), jsonUnmarshaler) && !own(t.Elem(), textUnmarshaler) {
				l.into = intoBytes
			}
			return l
		}
		l.into, l.elem = intoList, layoutIn(t.Elem(), open)
	case reflect.Map:
		switch {
		case t == reflect.TypeFor[map[string]string]():
			l.into = intoStrings
		case t.Key().Kind() == reflect.String && !own(t.Key(), textUnmarshaler):
			l.into, l.elem = intoMap, layoutIn(t.Elem(), open)
		}
	case reflect.Struct:
		structLayout(l, t, open)
	}
	return l
}

// structLayout lists the fields of a struct; encoding/json does what takes more
// than names to tell.
func structLayout(l *layout, t reflect.Type, open map[reflect.Type]*layout) {
	plain := true
	l.byName = map[string]int{}
	var visit func(t reflect.Type, base uintptr)
	visit = func(t reflect.Type, base uintptr) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct && !own(f.Type, jsonUnmarshaler) {
				visit(f.Type, base+f.Offset)
				continue
			}
			if !f.IsExported() && !f.Anonymous || name == "-" {
				continue
			}
			// encoding/json takes any spelling of a field without a name.
			if _, twice := l.byName[name]; name == "" || twice || strings.ContainsAny(name, "(),") || strings.Contains(","+opts+",", ",string,") {
				plain = false
				continue
			}
			l.byName[name] = len(l.fields)
			l.fields = append(l.fields, fieldLayout{name, base + f.Offset, layoutIn(f.Type, open)})
		}
	}
	visit(t, 0)
	if plain {
		l.into = intoStruct
	}
}

// FieldsOf declares the JSON fields that a struct type decodes; nil stands for
// all of the object. So a plugin whose type has three fields is sent, and
// decodes, three fields.
func FieldsOf(t reflect.Type) *Fields {
	if f, ok := declarations.Load(t); ok {
		return f.(*Fields)
	}
	var f *Fields
	if l := layoutOf(t); l.into == intoStruct && len(l.fields) > 0 {
		w := declarer{}
		if w.structure(l) {
			f, _ = ParseFields(w.text.String()) // too deep: all of it
		}
	}
	got, _ := declarations.LoadOrStore(t, f)
	return got.(*Fields)
}

type declarer struct {
	text strings.Builder
	open []*layout // the structs that are being written: a type within itself has no end
}

// structure writes the fields of a struct; false when they are too many or
// cannot be told.
func (w *declarer) structure(l *layout) bool {
	for _, o := range w.open {
		if o == l {
			return false
		}
	}
	if l.into != intoStruct || w.text.Len() > maxTypeText {
		return false
	}
	w.open = append(w.open, l)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	for i := range l.fields {
		if i > 0 {
			w.text.WriteByte(',')
		}
		w.text.WriteString(l.fields[i].name)
		in := l.fields[i].layout
		for in.into == intoPointer || in.into == intoList {
			in = in.elem
		}
		if in.typ.Kind() != reflect.Struct || in.into == intoOwn || in.typ.NumField() == 0 {
			continue // a value, or a map, whole
		}
		if len(in.fields) == 0 {
			if in.into == intoOther && own(in.typ, textUnmarshaler) {
				continue
			}
			return false
		}
		w.text.WriteByte('(')
		if !w.structure(in) {
			return false
		}
		w.text.WriteByte(')')
	}
	return w.text.Len() <= maxTypeText
}
