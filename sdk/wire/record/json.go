package record

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// AppendJSON appends the value as JSON; null when it does not exist.
func (v Value) AppendJSON(b []byte) ([]byte, error) { return v.appendJSON(b, 0) }

func (v Value) appendJSON(b []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return b, errDeep
	}
	var err error
	switch v.Kind() {
	case KindBool:
		if v.Bool() {
			return append(b, "true"...), nil
		}
		return append(b, "false"...), nil
	case KindInt:
		return appendInt(b, v.Int()), nil
	case KindFloat:
		return appendFloat(b, v.Float())
	case KindString:
		return AppendQuoted(b, v.String()), nil
	case KindList:
		b = append(b, '[')
		for i, c := range v.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = c.appendJSON(b, depth+1); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case KindMap:
		if tag, _ := v.tag(); tag == Struct && v.fields == nil {
			return b, errNoNames
		}
		b = append(b, '{')
		first := true
		for k, c := range v.Fields() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(AppendQuoted(b, k), ':')
			if b, err = c.appendJSON(b, depth+1); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
	return append(b, "null"...), nil
}

// Decode reads the value into what out points to. It costs more than a Get:
// prefer Get for single fields.
//
// # Errors
//   - a value that does not exist, or does not fit the type of out
func (v Value) Decode(out any) error {
	if !v.Exists() {
		return errAbsent
	}
	if tag, _ := v.tag(); tag == Struct && v.fields == nil {
		return errNoNames
	}
	p := reflect.ValueOf(out)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("decode into %T: a pointer is needed", out)
	}
	d := decoder{cursor{v.doc.text, v.at}}
	return d.value(layoutOf(p.Type().Elem()), v.fields, p.UnsafePointer(), 0)
}

func appendInt(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

func appendFloat(b []byte, v float64) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return b, fmt.Errorf("%v has no JSON form", v)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64), nil
}

// AppendQuoted appends s as a JSON string.
func AppendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			q, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
