package projection

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/packed"
)

// plan is how the wanted part of one Go type is written, worked out once.
type plan struct {
	kind kind
	elem *plan  // of what a pointer, slice or map holds
	step []step // of a struct, one for each wanted field
}

type kind uint8

const (
	kindJSON    kind = iota // as encoding/json has it
	kindString              // any string type
	kindBool                // any bool type
	kindInt                 // any signed integer
	kindTime                // metav1.Time
	kindPointer             // null or its element
	kindList
	kindMap // from strings to elem
	kindStruct
)

// step is a wanted field; the type may have no such field.
type step struct {
	index               []int // nil: not in this type
	omitEmpty, omitZero bool
	plan                *plan
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	timeType      = reflect.TypeFor[metav1.Time]()
)

// planOf plans a type; nil children is all of it.
func planOf(t reflect.Type, children []*field) *plan {
	if t == timeType {
		return &plan{kind: kindTime}
	}
	k := t.Kind()
	if k == reflect.Pointer {
		return &plan{kind: kindPointer, elem: planOf(t.Elem(), children)}
	}
	if t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) {
		return &plan{}
	}
	switch k {
	case reflect.String:
		return &plan{kind: kindString}
	case reflect.Bool:
		return &plan{kind: kindBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &plan{kind: kindInt}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return &plan{kind: kindList, elem: planOf(t.Elem(), children)}
		}
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return &plan{kind: kindMap, elem: planOf(t.Elem(), nil)}
		}
	case reflect.Struct:
		if children != nil {
			return &plan{kind: kindStruct, step: steps(t, children)}
		}
	}
	return &plan{}
}

// steps finds the wanted fields in a struct, those of embedded structs without
// a name included.
func steps(t reflect.Type, children []*field) []step {
	out := make([]step, len(children))
	var visit func(t reflect.Type, prefix []int)
	visit = func(t reflect.Type, prefix []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			at := append(slices.Clone(prefix), i)
			if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
				visit(f.Type, at)
				continue
			}
			k := slices.IndexFunc(children, func(c *field) bool { return c.name == name })
			if k < 0 || !f.IsExported() || name == "-" {
				continue
			}
			opts = "," + opts + ","
			out[k] = step{index: at, plan: planOf(f.Type, children[k].children),
				omitEmpty: strings.Contains(opts, ",omitempty,"), omitZero: strings.Contains(opts, ",omitzero,")}
		}
	}
	visit(t, nil)
	return out
}

func (p *plan) append(b []byte, v reflect.Value) ([]byte, error) {
	switch p.kind {
	case kindString:
		return wire.AppendString(append(b, packed.String), v.String()), nil
	case kindBool:
		return appendBool(b, v.Bool()), nil
	case kindInt:
		return wire.AppendInt(append(b, packed.Int), v.Int()), nil
	case kindTime:
		return appendTime(b, v)
	case kindPointer:
		if v.IsNil() {
			return append(b, packed.None), nil
		}
		return p.elem.append(b, v.Elem())
	case kindList:
		return p.list(b, v)
	case kindMap:
		return p.mapping(b, v)
	case kindStruct:
		return p.structure(b, v)
	}
	return appendJSON(b, v)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, packed.True)
	}
	return append(b, packed.False)
}

func appendTime(b []byte, v reflect.Value) ([]byte, error) {
	t := v.Interface().(metav1.Time)
	if t.IsZero() {
		return append(b, packed.None), nil
	}
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return appendAny(b, t)
	}
	b = wire.AppendUint(append(b, packed.String), uint64(len("2006-01-02T15:04:05Z")))
	return t.UTC().AppendFormat(b, time.RFC3339), nil
}

func (p *plan) list(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, packed.None), nil
	}
	b = wire.AppendUint(append(b, packed.List), uint64(v.Len()))
	for i := range v.Len() {
		if b, err = p.elem.append(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (p *plan) mapping(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() {
		return append(b, packed.None), nil
	}
	b = wire.AppendUint(append(b, packed.Map), uint64(v.Len()))
	for it := v.MapRange(); it.Next(); {
		b = wire.AppendString(b, it.Key().String())
		if b, err = p.elem.append(b, it.Value()); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (p *plan) structure(b []byte, v reflect.Value) (_ []byte, err error) {
	b = append(b, packed.Struct)
	for i := range p.step {
		s := &p.step[i]
		if s.index == nil {
			b = append(b, packed.None)
			continue
		}
		x := v.FieldByIndex(s.index)
		if s.omitZero && x.IsZero() || s.omitEmpty && empty(x) {
			b = append(b, packed.None)
			continue
		}
		if b, err = s.plan.append(b, x); err != nil {
			return nil, err
		}
	}
	return b, nil
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
	if string(text) == "null" {
		return append(b, packed.None), nil
	}
	return wire.AppendBytes(append(b, packed.JSON), text), nil
}
