package tape

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"
	"sync"
)

// managedFields is left out of tapes: it is bookkeeping, large, and of no use
// to a policy.
const managedFields = "managedFields"

// plan is how values of one type are written, worked out once per type.
type plan struct {
	marshal bool // has MarshalJSON on the value
	addr    bool // has MarshalJSON on the pointer only
	fields  []field
}

type field struct {
	name      string
	index     []int
	omitEmpty bool
	omitZero  bool
}

var plans sync.Map // reflect.Type → *plan

var marshaler = reflect.TypeFor[json.Marshaler]()

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{marshal: t.Implements(marshaler)}
	p.addr = !p.marshal && t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(marshaler)
	if t.Kind() == reflect.Struct && !p.marshal && !p.addr {
		p.fields = fieldsOf(t, nil)
	}
	got, _ := plans.LoadOrStore(t, p)
	return got.(*plan)
}

// fieldsOf lists the JSON fields of a struct, those of embedded structs
// without a name included.
func fieldsOf(t reflect.Type, prefix []int) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(append([]int(nil), prefix...), i)
		if f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct {
			out = append(out, fieldsOf(f.Type, at)...)
			continue
		}
		if !f.IsExported() || tag == "-" || tag == managedFields {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		opts = "," + opts + ","
		out = append(out, field{name: tag, index: at, omitEmpty: strings.Contains(opts, ",omitempty,"), omitZero: strings.Contains(opts, ",omitzero,")})
	}
	return out
}

// value writes a value of a static type into node i.
func (b *Builder) value(i uint32, v reflect.Value, depth int) {
	if depth > maxDepth {
		b.err = errDeep
	}
	if b.err != nil {
		return
	}
	if k := v.Kind(); k == reflect.Pointer || k == reflect.Interface {
		if v.IsNil() {
			b.set(i, Null, 0, 0, 0)
			return
		}
		if k == reflect.Interface {
			b.any(i, v.Interface(), depth)
			return
		}
		b.value(i, v.Elem(), depth+1)
		return
	}
	p := planOf(v.Type())
	if p.marshal || p.addr {
		b.marshal(i, v, p, depth)
		return
	}
	b.kind(i, v, p, depth)
}

func (b *Builder) marshal(i uint32, v reflect.Value, p *plan, depth int) {
	if p.addr {
		if !v.CanAddr() {
			c := reflect.New(v.Type()).Elem()
			c.Set(v)
			v = c
		}
		v = v.Addr()
	}
	text, err := v.Interface().(json.Marshaler).MarshalJSON()
	if err != nil {
		b.err = fmt.Errorf("tape: %w", err)
		return
	}
	b.raw(i, text, depth)
}

func (b *Builder) kind(i uint32, v reflect.Value, p *plan, depth int) {
	switch v.Kind() {
	case reflect.String:
		b.string(i, v.String())
	case reflect.Bool:
		b.boolean(i, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		b.number(i, Int, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		b.number(i, Int, v.Uint())
	case reflect.Float32, reflect.Float64:
		b.number(i, Float, math.Float64bits(v.Float()))
	case reflect.Struct:
		b.structure(i, v, p, depth)
	case reflect.Slice, reflect.Array:
		b.list(i, v, depth)
	case reflect.Map:
		b.reflectMap(i, v, depth)
	default:
		b.err = fmt.Errorf("tape: values of type %s have no JSON form", v.Type())
	}
}

func (b *Builder) structure(i uint32, v reflect.Value, p *plan, depth int) {
	n := 0
	for k := range p.fields {
		if p.fields[k].present(v) {
			n++
		}
	}
	c := b.grow(n)
	b.set(i, Map, n, c, 0)
	for k := range p.fields {
		f := &p.fields[k]
		if !f.present(v) {
			continue
		}
		b.nodes[c*nodeWords] = b.key(f.name)
		b.value(c, v.FieldByIndex(f.index), depth+1)
		c++
	}
}

func (f *field) present(v reflect.Value) bool {
	if !f.omitEmpty && !f.omitZero {
		return true
	}
	x := v.FieldByIndex(f.index)
	if f.omitZero && x.IsZero() {
		return false
	}
	if !f.omitEmpty {
		return true
	}
	switch x.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return x.Len() > 0
	case reflect.Struct:
		return true
	}
	return !x.IsZero()
}

func (b *Builder) list(i uint32, v reflect.Value, depth int) {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			b.set(i, Null, 0, 0, 0)
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b.bytes(i, v.Bytes())
			return
		}
	}
	n := v.Len()
	f := b.grow(n)
	b.set(i, List, n, f, 0)
	for k := range n {
		b.value(f+uint32(k), v.Index(k), depth+1)
	}
}

func (b *Builder) reflectMap(i uint32, v reflect.Value, depth int) {
	if v.IsNil() {
		b.set(i, Null, 0, 0, 0)
		return
	}
	keys := v.MapKeys()
	if len(keys) > 0 && keys[0].Kind() != reflect.String {
		b.err = fmt.Errorf("tape: map with keys of type %s", v.Type().Key())
		return
	}
	sort.Slice(keys, func(x, y int) bool { return keys[x].String() < keys[y].String() })
	f := b.grow(len(keys))
	b.set(i, Map, len(keys), f, 0)
	for k, key := range keys {
		c := f + uint32(k)
		b.nodes[c*nodeWords] = b.key(key.String())
		b.value(c, v.MapIndex(key), depth+1)
	}
}
