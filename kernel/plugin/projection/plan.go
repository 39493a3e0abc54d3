package projection

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// plan is how the wanted fields of one Go type are written, worked out once.
type plan struct {
	kind kind
	elem *plan  // of what a pointer, slice or map holds
	step []step // of a struct
}

type kind uint8

const (
	kindJSON    kind = iota // as encoding/json has it
	kindString              // any string type
	kindBool                // any bool type
	kindInt                 // any signed integer
	kindPointer             // null or its element
	kindSlice               // null or a list
	kindStruct              // some fields
)

type step struct {
	key                 string // `"name":`
	index               []int
	omitEmpty, omitZero bool
	plan                *plan
}

var jsonMarshaler = reflect.TypeFor[json.Marshaler]()

// planOf plans a type; no children is all of it.
func planOf(t reflect.Type, children []*field) *plan {
	if t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) {
		return &plan{}
	}
	switch t.Kind() {
	case reflect.String:
		return &plan{kind: kindString}
	case reflect.Bool:
		return &plan{kind: kindBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &plan{kind: kindInt}
	case reflect.Pointer:
		return &plan{kind: kindPointer, elem: planOf(t.Elem(), children)}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 && len(children) > 0 {
			return &plan{kind: kindSlice, elem: planOf(t.Elem(), children)}
		}
	case reflect.Struct:
		if len(children) > 0 {
			return &plan{kind: kindStruct, step: steps(t, nil, children)}
		}
	}
	return &plan{}
}

// steps are the wanted fields of a struct, those of embedded structs without a
// name included.
func steps(t reflect.Type, prefix []int, children []*field) []step {
	var out []step
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(slices.Clone(prefix), i)
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			out = append(out, steps(f.Type, at, children)...)
			continue
		}
		k := slices.IndexFunc(children, func(c *field) bool { return c.name == name })
		if k < 0 || !f.IsExported() || name == "-" {
			continue
		}
		opts = "," + opts + ","
		out = append(out, step{key: strconv.Quote(name) + ":", index: at, plan: planOf(f.Type, children[k].children),
			omitEmpty: strings.Contains(opts, ",omitempty,"), omitZero: strings.Contains(opts, ",omitzero,")})
	}
	return out
}

func (p *plan) append(b []byte, v reflect.Value) ([]byte, error) {
	switch p.kind {
	case kindString:
		return appendString(b, v.String())
	case kindBool:
		return strconv.AppendBool(b, v.Bool()), nil
	case kindInt:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case kindPointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return p.elem.append(b, v.Elem())
	case kindSlice:
		return p.slice(b, v)
	case kindStruct:
		return p.structure(b, v)
	}
	return appendJSON(b, v)
}

func (p *plan) slice(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = p.elem.append(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (p *plan) structure(b []byte, v reflect.Value) (_ []byte, err error) {
	b = append(b, '{')
	first := true
	for i := range p.step {
		s := &p.step[i]
		x := v.FieldByIndex(s.index)
		if s.omitZero && x.IsZero() || s.omitEmpty && empty(x) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if b, err = s.plan.append(append(b, s.key...), x); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func appendString(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendAny(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"'), nil
}

func appendJSON(b []byte, v reflect.Value) ([]byte, error) {
	if v.CanAddr() { // a marshaler may have a pointer's method
		return appendAny(b, v.Addr().Interface())
	}
	return appendAny(b, v.Interface())
}

func appendAny(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("projection: %w", err)
	}
	return append(b, text...), nil
}

// appendMap projects unstructured content.
func appendMap(b []byte, m map[string]any, children []*field) (_ []byte, err error) {
	b = append(b, '{')
	first := true
	for _, f := range children {
		v, ok := m[f.name]
		if !ok {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if b, err = appendString(b, f.name); err != nil {
			return nil, err
		}
		if b, err = appendValue(append(b, ':'), v, f.children); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any, children []*field) (_ []byte, err error) {
	if len(children) == 0 {
		return appendAny(b, v)
	}
	switch x := v.(type) {
	case map[string]any:
		return appendMap(b, x, children)
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendValue(b, e, children); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	return appendAny(b, v)
}
