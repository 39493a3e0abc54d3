package packed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// maxDepth bounds lists and maps within one another.
const maxDepth = 64

var (
	errShort = errors.New("packed object is cut short")
	errDeep  = errors.New("packed object is nested too deeply")
)

// Decode reads a body into what v, a pointer to a struct, points to. Like
// json.Unmarshal it leaves fields that are not there as they are. Strings of
// the result share one copy of the body.
func Decode(body []byte, v any) error {
	if len(body) > 0 && body[0] == '{' {
		return json.Unmarshal(body, v)
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode into %T: a pointer to a struct is needed", v)
	}
	d := decoder{rest: string(body)}
	if err := d.value(p.Elem(), layoutOf(p.Type().Elem()).fields, 0); err != nil {
		return err
	}
	if d.rest != "" {
		return fmt.Errorf("%d bytes behind the packed object", len(d.rest))
	}
	return nil
}

// decoder reads a body, as a string so that strings can be parts of it.
type decoder struct{ rest string }

func (d *decoder) tag() (byte, error) {
	if d.rest == "" {
		return 0, errShort
	}
	t := d.rest[0]
	d.rest = d.rest[1:]
	return t, nil
}

// uint reads a varint; nearly all of them are one byte.
func (d *decoder) uint() (uint64, error) {
	if d.rest != "" && d.rest[0] < 0x80 {
		v := uint64(d.rest[0])
		d.rest = d.rest[1:]
		return v, nil
	}
	v, n := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if n <= 0 {
		return 0, errShort
	}
	d.rest = d.rest[n:]
	return v, nil
}

func (d *decoder) int() (int64, error) {
	u, err := d.uint()
	return int64(u>>1) ^ -int64(u&1), err
}

func (d *decoder) string() (string, error) {
	n, err := d.uint()
	if err != nil || n > uint64(len(d.rest)) {
		return "", errShort
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s, nil
}

// count reads how many values follow; each takes a byte at least.
func (d *decoder) count() (int, error) {
	n, err := d.uint()
	if err != nil || n > uint64(len(d.rest)) {
		return 0, errShort
	}
	return int(n), nil
}

// value decodes the next value into v; fields are those that are wanted of a
// struct in it.
func (d *decoder) value(v reflect.Value, fields []field, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	if d.rest == "" {
		return errShort
	}
	if d.rest[0] == None {
		d.rest = d.rest[1:]
		return nil
	}
	switch k := v.Kind(); {
	case k == reflect.Interface || fields == nil && selfDecoding(v.Type()):
		return d.other(v)
	case k == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem(), fields, depth+1)
	}
	at := d.rest
	t, _ := d.tag()
	switch k := v.Kind(); {
	case t == Struct && k == reflect.Struct:
		return d.structure(v, fields, depth)
	case t == String && k == reflect.String:
		s, err := d.string()
		v.SetString(s)
		return err
	case t == Int && v.CanInt():
		return d.setInt(v)
	case (t == True || t == False) && k == reflect.Bool:
		v.SetBool(t == True)
		return nil
	case t == List && k == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		return d.list(v, fields, depth)
	case t == Map && k == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return d.mapping(v, depth)
	}
	d.rest = at
	return d.other(v)
}

func (d *decoder) structure(v reflect.Value, fields []field, depth int) error {
	for i := range fields {
		f := &fields[i]
		x := v.Field(f.index[0])
		for _, k := range f.index[1:] {
			x = x.Field(k)
		}
		if err := d.value(x, f.fields, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) setInt(v reflect.Value) error {
	i, err := d.int()
	if err != nil {
		return err
	}
	if v.OverflowInt(i) {
		return fmt.Errorf("number %d does not fit a field of type %s", i, v.Type())
	}
	v.SetInt(i)
	return nil
}

func (d *decoder) list(v reflect.Value, fields []field, depth int) error {
	n, err := d.count()
	if err != nil {
		return err
	}
	s := reflect.MakeSlice(v.Type(), n, n)
	v.Set(s)
	for i := range n {
		if err := d.value(s.Index(i), fields, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(v reflect.Value, depth int) error {
	n, err := d.count()
	if err != nil {
		return err
	}
	if m, ok := v.Addr().Interface().(*map[string]string); ok {
		return d.strings(m, n)
	}
	m := reflect.MakeMapWithSize(v.Type(), n)
	v.Set(m)
	for range n {
		key, err := d.string()
		if err != nil {
			return err
		}
		x := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(x, nil, depth+1); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), x)
	}
	return nil
}

// strings decodes labels and the like, without reflection.
func (d *decoder) strings(to *map[string]string, n int) error {
	m := make(map[string]string, n)
	*to = m
	for range n {
		key, err := d.string()
		if err != nil {
			return err
		}
		t, err := d.tag()
		if err != nil {
			return err
		}
		if t != String && t != None {
			return fmt.Errorf("value of %q is not a string", key)
		}
		s := ""
		if t == String {
			if s, err = d.string(); err != nil {
				return err
			}
		}
		m[key] = s
	}
	return nil
}

// other decodes by way of JSON what is of another form here than there.
func (d *decoder) other(v reflect.Value) error {
	text, err := d.json(nil, 0)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v.Addr().Interface())
}

// json appends the next value as JSON. A struct has no names here; whoever
// wants one says which of its fields.
func (d *decoder) json(b []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	t, err := d.tag()
	if err != nil {
		return nil, err
	}
	switch t {
	case None:
		return append(b, "null"...), nil
	case True:
		return append(b, "true"...), nil
	case False:
		return append(b, "false"...), nil
	case Int:
		i, err := d.int()
		return strconv.AppendInt(b, i, 10), err
	case String:
		s, err := d.string()
		if err != nil {
			return nil, err
		}
		return quote(b, s), nil
	case JSON:
		s, err := d.string()
		return append(b, s...), err
	case List:
		return d.jsonList(b, depth)
	case Map:
		return d.jsonMap(b, depth)
	}
	return nil, fmt.Errorf("a value of tag %d where none can be", t)
}

func quote(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always has a form
	return append(b, text...)
}

func (d *decoder) jsonList(b []byte, depth int) ([]byte, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = d.json(b, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (d *decoder) jsonMap(b []byte, depth int) ([]byte, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	b = append(b, '{')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := d.string()
		if err != nil {
			return nil, err
		}
		if b, err = d.json(append(quote(b, key), ':'), depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
