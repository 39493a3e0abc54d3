package sdk

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// maxFields bounds a projection, in bytes of its text. A type with more fields
// wants most of the object anyhow, and is sent all of it.
const maxFields = 1024

var (
	projections   sync.Map // reflect.Type → string
	unmarshalJSON = reflect.TypeFor[json.Unmarshaler]()
)

// projectionOf names the JSON fields that a struct type decodes, in the form
// of wire.ListRequest.Only; "" stands for all of the object. So a plugin that
// declares three fields of a pod is sent, and decodes, three fields.
func projectionOf(t reflect.Type) string {
	if p, ok := projections.Load(t); ok {
		return p.(string)
	}
	w := fieldWriter{}
	text := ""
	if !selfDecoding(t) && t.Kind() == reflect.Struct && w.fields(t) {
		text = w.text.String()
	}
	projections.Store(t, text)
	return text
}

func selfDecoding(t reflect.Type) bool {
	return t.Implements(unmarshalJSON) || reflect.PointerTo(t).Implements(unmarshalJSON)
}

type fieldWriter struct {
	text strings.Builder
	open []reflect.Type // the structs that are being written: a type within itself has no end
}

// fields writes those of a struct; it is false when they are too many or
// cannot be told.
func (w *fieldWriter) fields(t reflect.Type) bool {
	for _, o := range w.open {
		if o == t {
			return false
		}
	}
	w.open = append(w.open, t)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct && !selfDecoding(f.Type) {
			if !w.fields(f.Type) {
				return false
			}
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" || strings.ContainsAny(name, "(),") {
			return false // encoding/json would take any spelling of it
		}
		if !w.field(name, f.Type) {
			return false
		}
	}
	return w.text.Len() <= maxFields
}

func (w *fieldWriter) field(name string, t reflect.Type) bool {
	if s := w.text.String(); s != "" && !strings.HasSuffix(s, "(") {
		w.text.WriteByte(',')
	}
	w.text.WriteString(name)
	for {
		if selfDecoding(t) {
			return true
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			t = t.Elem()
			continue
		case reflect.Struct:
			if t.NumField() == 0 {
				return true
			}
			w.text.WriteByte('(')
			ok := w.fields(t)
			w.text.WriteByte(')')
			return ok && !strings.HasSuffix(w.text.String(), "()")
		}
		return true // a value, or a map, whole
	}
}
