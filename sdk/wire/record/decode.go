package record

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"unsafe"
)

// Decode reads a body into what v, a pointer to a struct, points to: a body of
// the fields that [FieldsOf] declares for that struct, or of all fields. Like
// json.Unmarshal it leaves fields that are not there as they are. Strings of
// the result share one copy of the body.
func Decode(body []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decode into %T: a pointer to a struct is needed", v)
	}
	d := decoder{cursor{text: string(body)}}
	if err := d.value(layoutOf(p.Type().Elem()), nil, p.UnsafePointer(), 0); err != nil {
		return err
	}
	if d.at != len(d.text) {
		return fmt.Errorf("%d bytes behind the record", len(d.text)-d.at)
	}
	return nil
}

type decoder struct{ cursor }

// value decodes the next value into what p points to. f names the fields of
// structs; nil when they are those of the Go type.
func (d *decoder) value(l *layout, f *Fields, p unsafe.Pointer, depth int) error {
	if d.at >= len(d.text) {
		return errShort
	}
	tag := d.text[d.at]
	if tag == None {
		d.at++
		return nil
	}
	switch l.into {
	case intoString:
		if tag == String {
			d.at++
			s, err := d.string()
			*(*string)(p) = s
			return err
		}
	case intoBool:
		if tag == True || tag == False {
			d.at++
			*(*bool)(p) = tag == True
			return nil
		}
	case intoInt:
		if tag == Int {
			d.at++
			return d.setInt(l, p)
		}
	case intoFloat:
		if tag == Float {
			d.at++
			f, err := d.float()
			reflect.NewAt(l.typ, p).Elem().SetFloat(f)
			return err
		}
	case intoBytes:
		if tag == String {
			d.at++
			return d.bytes(p)
		}
	case intoPointer, intoList, intoStrings, intoMap, intoStruct, intoAny:
		return d.nested(l, f, p, tag, depth)
	}
	return d.other(l, f, p)
}

// nested decodes into what holds other values.
func (d *decoder) nested(l *layout, f *Fields, p unsafe.Pointer, tag byte, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	switch {
	case l.into == intoPointer:
		to := (*unsafe.Pointer)(p)
		if *to == nil {
			*to = reflect.New(l.elem.typ).UnsafePointer()
		}
		return d.value(l.elem, f, *to, depth+1)
	case l.into == intoAny:
		v, err := d.any(f, depth)
		if err == nil {
			*(*any)(p) = v
		}
		return err
	case l.into == intoStruct && tag == Struct:
		if f != nil {
			return d.declared(l, f, p, depth)
		}
		return d.structure(l, p, depth)
	case l.into == intoStruct && tag == Map:
		return d.object(l, p, depth)
	case l.into == intoList && tag == List:
		return d.list(l, f, p, depth)
	case l.into == intoStrings && tag == Map:
		return d.strings((*map[string]string)(p))
	case l.into == intoMap && tag == Map:
		return d.mapping(l, p, depth)
	}
	return d.other(l, f, p)
}

// declared reads the values of the fields that f names, as far as the type has
// them.
func (d *decoder) declared(l *layout, f *Fields, p unsafe.Pointer, depth int) error {
	d.at++
	end, err := d.size()
	for i := 0; err == nil && i < len(f.list) && d.at < end; i++ {
		w := &f.list[i]
		k, ok := i, i < len(l.fields) && l.fields[i].name == w.name
		if !ok {
			k, ok = l.byName[w.name]
		}
		if !ok {
			err = d.skip()
			continue
		}
		err = d.value(l.fields[k].layout, w.fields, unsafe.Add(p, l.fields[k].offset), depth+1)
	}
	if err == nil && d.at > end {
		err = errShort
	}
	d.at = end
	return err
}

// structure reads the values of the fields that [FieldsOf] declares.
func (d *decoder) structure(l *layout, p unsafe.Pointer, depth int) error {
	d.at++
	end, err := d.size()
	for i := 0; err == nil && i < len(l.fields) && d.at < end; i++ {
		f := &l.fields[i]
		err = d.value(f.layout, nil, unsafe.Add(p, f.offset), depth+1)
	}
	if err == nil && d.at > end {
		err = errShort
	}
	d.at = end
	return err
}

// object reads fields by name. They mostly come in the order of the type's.
func (d *decoder) object(l *layout, p unsafe.Pointer, depth int) error {
	d.at++
	end, n, err := d.counted()
	next := 0
	for ; err == nil && n > 0; n-- {
		var key string
		if key, err = d.string(); err != nil {
			break
		}
		for next < len(l.fields) && l.fields[next].name != key {
			next++
		}
		i, ok := next, next < len(l.fields)
		if !ok {
			i, ok = l.byName[key]
			next = 0
		}
		if !ok {
			err = d.skip()
			continue
		}
		next = i + 1
		err = d.value(l.fields[i].layout, nil, unsafe.Add(p, l.fields[i].offset), depth+1)
	}
	return d.close(end, err)
}

// close ends a list or a map.
func (d *decoder) close(end int, err error) error {
	if err == nil && d.at != end {
		err = errShort
	}
	return err
}

func (d *decoder) setInt(l *layout, p unsafe.Pointer) error {
	i, err := d.int()
	if err != nil {
		return err
	}
	fits := true
	switch l.typ.Size() {
	case 8:
		*(*int64)(p) = i
	case 4:
		fits = i == int64(int32(i))
		*(*int32)(p) = int32(i)
	case 2:
		fits = i == int64(int16(i))
		*(*int16)(p) = int16(i)
	case 1:
		fits = i == int64(int8(i))
		*(*int8)(p) = int8(i)
	}
	if !fits {
		return fmt.Errorf("number %d does not fit a field of type %s", i, l.typ)
	}
	return nil
}

func (d *decoder) bytes(p unsafe.Pointer) error {
	s, err := d.string()
	if err != nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	*(*[]byte)(p) = b
	return err
}

func (d *decoder) list(l *layout, f *Fields, p unsafe.Pointer, depth int) error {
	d.at++
	end, n, err := d.counted()
	if err != nil {
		return err
	}
	data, size := reflect.MakeSlice(l.typ, n, n).UnsafePointer(), l.elem.typ.Size()
	*(*slice)(p) = slice{data, n, n}
	for i := 0; err == nil && i < n; i++ {
		err = d.value(l.elem, f, unsafe.Add(data, uintptr(i)*size), depth+1)
	}
	return d.close(end, err)
}

func (d *decoder) mapping(l *layout, p unsafe.Pointer, depth int) error {
	d.at++
	end, n, err := d.counted()
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(l.typ, n)
	reflect.NewAt(l.typ, p).Elem().Set(m)
	for ; err == nil && n > 0; n-- {
		var key string
		if key, err = d.string(); err != nil {
			break
		}
		x := reflect.New(l.elem.typ)
		if err = d.value(l.elem, nil, x.UnsafePointer(), depth+1); err == nil {
			m.SetMapIndex(reflect.ValueOf(key).Convert(l.typ.Key()), x.Elem())
		}
	}
	return d.close(end, err)
}

// strings decodes labels and the like.
func (d *decoder) strings(to *map[string]string) error {
	d.at++
	end, n, err := d.counted()
	if err != nil {
		return err
	}
	m := make(map[string]string, n)
	*to = m
	for ; err == nil && n > 0; n-- {
		var key, s string
		if key, err = d.string(); err != nil {
			break
		}
		switch {
		case d.at >= len(d.text):
			err = errShort
		case d.text[d.at] == None:
			d.at++
		case d.text[d.at] == String:
			d.at++
			s, err = d.string()
		default:
			err = fmt.Errorf("value of %q is not a string", key)
		}
		m[key] = s
	}
	return d.close(end, err)
}

// any reads a value as encoding/json would.
func (d *decoder) any(f *Fields, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	if d.at >= len(d.text) {
		return nil, errShort
	}
	d.at++
	switch tag := d.text[d.at-1]; tag {
	case None:
		return nil, nil
	case True, False:
		return tag == True, nil
	case Int:
		i, err := d.int()
		return float64(i), err
	case Float:
		return boxed(d.float())
	case String:
		return boxed(d.string())
	case List:
		end, n, err := d.counted()
		if err != nil {
			return nil, err
		}
		out := make([]any, n)
		for i := 0; err == nil && i < n; i++ {
			out[i], err = d.any(f, depth+1)
		}
		return out, d.close(end, err)
	case Map:
		end, n, err := d.counted()
		if err != nil {
			return nil, err
		}
		out := make(map[string]any, n)
		for ; err == nil && n > 0; n-- {
			var key string
			if key, err = d.string(); err == nil {
				out[key], err = d.any(nil, depth+1)
			}
		}
		return out, d.close(end, err)
	case Struct:
		if f == nil {
			return nil, errNoNames
		}
		return d.names(f, depth)
	default:
		return nil, fmt.Errorf("a value of tag %d where none can be", tag)
	}
}

// names reads the values of declared fields as a map.
func (d *decoder) names(f *Fields, depth int) (any, error) {
	end, err := d.size()
	out := map[string]any{}
	for i := 0; err == nil && i < len(f.list) && d.at < end; i++ {
		if d.text[d.at] == None {
			d.at++
			continue
		}
		out[f.list[i].name], err = d.any(f.list[i].fields, depth+1)
	}
	return out, d.close(end, err)
}

func boxed[T any](v T, err error) (any, error) { return v, err }

// other decodes by way of JSON what is of another form here than there.
func (d *decoder) other(l *layout, f *Fields, p unsafe.Pointer) error {
	from := d.at
	if err := d.skip(); err != nil {
		return err
	}
	text, err := Value{doc: &doc{text: d.text}, at: from, fields: f}.AppendJSON(nil)
	if err != nil {
		return err
	}
	to := reflect.NewAt(l.typ, p).Interface()
	if u, ok := to.(json.Unmarshaler); ok {
		return u.UnmarshalJSON(text)
	}
	return json.Unmarshal(text, to)
}
