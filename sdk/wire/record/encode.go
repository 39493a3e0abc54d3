package record

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"unsafe"
)

// Encoder writes objects: structs with JSON tags, or trees as encoding/json
// makes them. It is safe for concurrent use.
type Encoder struct {
	forms Forms
	whole Plan
}

// NewEncoder makes an encoder; forms, which may be nil, must not change any
// more.
func NewEncoder(forms Forms) *Encoder {
	e := &Encoder{forms: forms}
	e.whole.e = e
	return e
}

// Plan is a declaration, compiled for every type that is written with it. It is
// safe for concurrent use.
type Plan struct {
	e      *Encoder
	fields *Fields
	plans  sync.Map // reflect.Type → *plan
}

// Plan prepares to write what f declares; nil is all of the object.
func (e *Encoder) Plan(f *Fields) *Plan {
	if f == nil {
		return &e.whole
	}
	return &Plan{e: e, fields: f}
}

// Fields is what the plan was made of.
func (p *Plan) Fields() *Fields { return p.fields }

// Append writes v: a pointer to a struct with JSON tags, unstructured content,
// or what encoding/json decodes to. v is only read.
//
// # Errors
//   - a value that has no JSON form, is nested too deeply or too large
func (p *Plan) Append(b []byte, v any) ([]byte, error) {
	start := len(b)
	w := writer{p.e}
	var out []byte
	var err error
	if u, ok := v.(interface{ UnstructuredContent() map[string]any }); ok {
		out, err = w.tree(b, u.UnstructuredContent(), p.fields, 0)
	} else {
		out, err = w.value(b, v, p.fields, p, 0)
	}
	if err == nil && len(out)-start > maxSize {
		err = fmt.Errorf("record of %d bytes", len(out)-start)
	}
	if err != nil {
		return b[:start], fmt.Errorf("encode %T: %w", v, err)
	}
	return out, nil
}

func (p *Plan) of(t reflect.Type) *plan {
	if got, ok := p.plans.Load(t); ok {
		return got.(*plan)
	}
	m := planner{forms: p.e.forms, open: map[reflect.Type]*plan{}}
	got, _ := p.plans.LoadOrStore(t, m.plan(t, p.fields))
	return got.(*plan)
}

type writer struct{ e *Encoder }

// value writes a Go value of a type that is known only now; its plans are in
// from.
func (w writer) value(b []byte, v any, f *Fields, from *Plan, depth int) ([]byte, error) {
	if v == nil {
		return append(b, None), nil
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return append(b, None), nil
		}
		return w.append(b, from.of(r.Type().Elem()), r.UnsafePointer(), depth)
	}
	switch v.(type) {
	case bool, string, int64, int, float64, json.Number, []any, map[string]any:
		return w.tree(b, v, f, depth)
	}
	p := reflect.New(r.Type())
	p.Elem().Set(r)
	return w.append(b, from.of(r.Type()), p.UnsafePointer(), depth)
}

// append writes what p points to.
func (w writer) append(b []byte, pl *plan, p unsafe.Pointer, depth int) ([]byte, error) {
	switch pl.kind {
	case kindString:
		return AppendString(b, *(*string)(p)), nil
	case kindBool:
		return AppendBool(b, *(*bool)(p)), nil
	case kindInt32:
		return AppendInt(b, int64(*(*int32)(p))), nil
	case kindInt64:
		return AppendInt(b, *(*int64)(p)), nil
	case kindForm:
		return pl.form(b, p)
	case kindBytes:
		if *(*unsafe.Pointer)(p) == nil {
			return append(b, None), nil
		}
		return appendBase64(b, *(*[]byte)(p)), nil
	case kindInt8, kindInt16, kindUint8, kindUint16, kindUint32, kindUint64, kindFloat32, kindFloat64:
		return number(b, pl.kind, p)
	case kindOther:
		return w.other(b, pl, p, depth)
	}
	if depth > maxDepth {
		return nil, errDeep
	}
	switch pl.kind {
	case kindPointer:
		to := *(*unsafe.Pointer)(p)
		if to == nil {
			return append(b, None), nil
		}
		return w.append(b, pl.elem, to, depth+1)
	case kindAny:
		v := reflect.NewAt(pl.typ, p).Elem()
		if v.IsNil() {
			return append(b, None), nil
		}
		from := &w.e.whole
		if pl.fields != nil {
			from = w.e.Plan(pl.fields)
		}
		return w.value(b, v.Elem().Interface(), pl.fields, from, depth+1)
	case kindList:
		s := (*slice)(p)
		if s.data == nil {
			return append(b, None), nil
		}
		return w.list(b, pl, s.data, s.len, depth)
	case kindArray:
		return w.list(b, pl, p, pl.length, depth)
	case kindStrings:
		return appendStrings(b, *(*map[string]string)(p)), nil
	case kindMap:
		return w.mapping(b, pl, p, depth)
	case kindPick:
		return w.pick(b, pl, p, depth)
	case kindStruct:
		return w.structure(b, pl, p, depth)
	}
	return w.object(b, pl, p, depth)
}

// slice is how Go lays out one.
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

func number(b []byte, k kind, p unsafe.Pointer) ([]byte, error) {
	switch k {
	case kindInt8:
		return AppendInt(b, int64(*(*int8)(p))), nil
	case kindInt16:
		return AppendInt(b, int64(*(*int16)(p))), nil
	case kindUint8:
		return AppendInt(b, int64(*(*uint8)(p))), nil
	case kindUint16:
		return AppendInt(b, int64(*(*uint16)(p))), nil
	case kindUint32:
		return AppendInt(b, int64(*(*uint32)(p))), nil
	case kindUint64:
		if v := *(*uint64)(p); v <= math.MaxInt64 {
			return AppendInt(b, int64(v)), nil
		}
		return AppendFloat(b, float64(*(*uint64)(p))), nil
	case kindFloat32:
		// As its JSON has it: 0.1 is not the float64 of 0.1's float32.
		v, _ := strconv.ParseFloat(strconv.FormatFloat(float64(*(*float32)(p)), 'g', -1, 32), 64)
		return finite(b, v)
	}
	return finite(b, *(*float64)(p))
}

func finite(b []byte, v float64) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("%v has no JSON form", v)
	}
	return AppendFloat(b, v), nil
}

func (w writer) list(b []byte, pl *plan, data unsafe.Pointer, n, depth int) (_ []byte, err error) {
	b, at := BeginList(b, n)
	for i := range n {
		if b, err = w.append(b, pl.elem, unsafe.Add(data, uintptr(i)*pl.elem.size), depth+1); err != nil {
			return nil, err
		}
	}
	End(b, at)
	return b, nil
}

func (w writer) structure(b []byte, pl *plan, p unsafe.Pointer, depth int) (_ []byte, err error) {
	b, at := beginStruct(b)
	end := len(b)
	for i := range pl.steps {
		s := &pl.steps[i]
		if s.missing {
			b = append(b, None)
			continue
		}
		x := unsafe.Add(p, s.offset)
		if s.omit != omitNever && s.absent(x) {
			b = append(b, None)
			continue
		}
		from := len(b)
		if b, err = w.append(b, s.plan, x, depth+1); err != nil {
			return nil, err
		}
		if b[from] != None {
			end = len(b)
		}
	}
	return endStruct(b, at, end), nil
}

func (w writer) object(b []byte, pl *plan, p unsafe.Pointer, depth int) (_ []byte, err error) {
	b, at := BeginMap(b, 0)
	count := 0
	for i := range pl.steps {
		s := &pl.steps[i]
		x := unsafe.Add(p, s.offset)
		if s.omit != omitNever && s.absent(x) {
			continue
		}
		count++
		b = append(b, s.key...)
		if b, err = w.append(b, s.plan, x, depth+1); err != nil {
			return nil, err
		}
	}
	setCount(b, at, count)
	End(b, at)
	return b, nil
}

// other writes a value by way of its JSON.
func (w writer) other(b []byte, pl *plan, p unsafe.Pointer, depth int) ([]byte, error) {
	v := reflect.NewAt(pl.typ, p).Interface()
	var text []byte
	var err error
	if m, ok := v.(json.Marshaler); ok {
		text, err = m.MarshalJSON()
	} else {
		text, err = json.Marshal(v)
	}
	if err != nil {
		return nil, err
	}
	return w.json(b, text, pl.fields, depth)
}
