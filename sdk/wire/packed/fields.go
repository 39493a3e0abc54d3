package packed

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// maxFields bounds a projection, in bytes of its text. A type with more fields
// wants most of the object anyhow, and is sent all of it.
const maxFields = 1024

// layout is what is wanted of a type.
type layout struct {
	text   string
	fields []field
}

// field is a JSON field of a struct.
type field struct {
	index  []int
	fields []field // of the struct that it holds, behind pointers and lists; nil when all of it is wanted
}

var (
	layouts       sync.Map // reflect.Type → *layout
	unmarshalJSON = reflect.TypeFor[json.Unmarshaler]()
)

// Fields names the JSON fields that a struct type decodes, in the form of
// wire.ListRequest.Only; "" stands for all of the object. So a plugin that
// declares three fields of a pod is sent, and decodes, three fields.
func Fields(t reflect.Type) string { return layoutOf(t).text }

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	l, w := &layout{}, writer{}
	if t.Kind() == reflect.Struct && !selfDecoding(t) {
		if fields, ok := w.structure(t, nil); ok && len(fields) > 0 {
			l.text, l.fields = w.text.String(), fields
		}
	}
	got, _ := layouts.LoadOrStore(t, l)
	return got.(*layout)
}

func selfDecoding(t reflect.Type) bool {
	return t.Implements(unmarshalJSON) || reflect.PointerTo(t).Implements(unmarshalJSON)
}

type writer struct {
	text strings.Builder
	open []reflect.Type // the structs that are being written: a type within itself has no end
}

// structure writes the fields of a struct; ok is false when they are too many
// or cannot be told.
func (w *writer) structure(t reflect.Type, prefix []int) (out []field, ok bool) {
	for _, o := range w.open {
		if o == t {
			return nil, false
		}
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(append([]int(nil), prefix...), i)
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct && !selfDecoding(f.Type) {
			inner, ok := w.structure(f.Type, at)
			if !ok {
				return nil, false
			}
			out = append(out, inner...)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		// encoding/json takes any spelling of a field without a name.
		if name == "" || strings.ContainsAny(name, "(),") {
			return nil, false
		}
		inner, ok := w.field(name, f.Type)
		if !ok {
			return nil, false
		}
		out = append(out, field{at, inner})
	}
	return out, w.text.Len() <= maxFields
}

func (w *writer) field(name string, t reflect.Type) (inner []field, ok bool) {
	if s := w.text.String(); s != "" && !strings.HasSuffix(s, "(") {
		w.text.WriteByte(',')
	}
	w.text.WriteString(name)
	for !selfDecoding(t) && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || selfDecoding(t) || t.NumField() == 0 {
		return nil, true // a value, or a map, whole
	}
	w.text.WriteByte('(')
	inner, ok = w.structure(t, nil)
	w.text.WriteByte(')')
	return inner, ok && len(inner) > 0
}
