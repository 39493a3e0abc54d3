package tape

import (
	"encoding/json"
	"errors"
	"iter"
	"math"
)

// Value is one value of a tape: an object, a part of it, or nothing. Reading
// what does not exist, or as another kind, answers the zero value, so that
// chains need no checks. It is valid as long as the call that brought it.
type Value struct {
	t *Tape
	i uint32
}

// node returns the four words of the value; nil when it does not exist.
func (v Value) node() []uint32 {
	if v.t == nil {
		return nil
	}
	at := uint64(v.i) * nodeWords
	if at+nodeWords > uint64(len(v.t.nodes)) {
		return nil
	}
	return v.t.nodes[at : at+nodeWords : at+nodeWords]
}

// Kind of the value; None when it does not exist.
func (v Value) Kind() Kind {
	n := v.node()
	if n == nil {
		return None
	}
	return Kind(n[1] >> 28)
}

// Exists tells whether the value is there; an explicit null is.
func (v Value) Exists() bool { return v.node() != nil }

// Len is the number of elements of a list or map, or of bytes of a string.
func (v Value) Len() int {
	n := v.node()
	if n == nil {
		return 0
	}
	switch Kind(n[1] >> 28) {
	case List, Map, String:
		return int(n[1] & lenMask)
	}
	return 0
}

// String is the text of a string; "" of anything else.
func (v Value) String() string {
	n := v.node()
	if n == nil || Kind(n[1]>>28) != String {
		return ""
	}
	return v.t.str(n[2], n[1]&lenMask)
}

// Bool is true for the bool true only.
func (v Value) Bool() bool {
	n := v.node()
	return n != nil && Kind(n[1]>>28) == Bool && n[2] != 0
}

// Int is a number without its fraction; 0 of anything else.
func (v Value) Int() int64 {
	n := v.node()
	if n == nil {
		return 0
	}
	x := uint64(n[2]) | uint64(n[3])<<32
	switch Kind(n[1] >> 28) {
	case Int:
		return int64(x)
	case Float:
		return int64(math.Float64frombits(x))
	}
	return 0
}

// Float is a number; 0 of anything else.
func (v Value) Float() float64 {
	n := v.node()
	if n != nil && Kind(n[1]>>28) == Float {
		return math.Float64frombits(uint64(n[2]) | uint64(n[3])<<32)
	}
	return float64(v.Int())
}

// Key is the member of a map.
func (v Value) Key(name string) Value {
	n := v.node()
	if n == nil || Kind(n[1]>>28) != Map {
		return Value{}
	}
	k, ok := v.t.key(name)
	if !ok {
		return Value{}
	}
	first, count := uint64(n[2]), uint64(n[1]&lenMask)
	for i := first; i < first+count && i*nodeWords < uint64(len(v.t.nodes)); i++ {
		if v.t.nodes[i*nodeWords] == k {
			return Value{v.t, uint32(i)}
		}
	}
	return Value{}
}

// Index is an element of a list.
func (v Value) Index(i int) Value {
	n := v.node()
	if n == nil || Kind(n[1]>>28) != List || i < 0 || i >= int(n[1]&lenMask) {
		return Value{}
	}
	return Value{v.t, n[2] + uint32(i)}
}

// Get follows a path such as "spec.containers[0].image" or
// "metadata.labels[app.kubernetes.io/name]". A malformed path finds nothing.
func (v Value) Get(path string) Value {
	for path != "" && v.t != nil {
		s, rest, ok := next(path)
		if !ok {
			return Value{}
		}
		if s.Index >= 0 && v.Kind() == List {
			v = v.Index(s.Index)
		} else {
			v = v.Key(s.Key)
		}
		path = rest
	}
	return v
}

// Items ranges over a list.
func (v Value) Items() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != List {
			return
		}
		for i := range v.Len() {
			if !yield(i, v.Index(i)) {
				return
			}
		}
	}
}

// Fields ranges over a map: in the order of a struct's fields, or sorted.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		n := v.node()
		if n == nil || Kind(n[1]>>28) != Map {
			return
		}
		for i := range n[1] & lenMask {
			c := Value{v.t, n[2] + i}
			m := c.node()
			if m == nil || !yield(v.t.keyName(m[0]), c) {
				return
			}
		}
	}
}

// maxDepth bounds the nesting of what is built and of what AppendJSON follows.
const maxDepth = 1000

var (
	errAbsent = errors.New("tape: no such value")
	errDeep   = errors.New("tape: nested too deeply")
)

// AppendJSON appends the value as JSON; null when it does not exist.
func (v Value) AppendJSON(b []byte) ([]byte, error) { return v.appendJSON(b, 0) }

func (v Value) appendJSON(b []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return b, errDeep
	}
	var err error
	switch v.Kind() {
	case Bool:
		if v.Bool() {
			return append(b, "true"...), nil
		}
		return append(b, "false"...), nil
	case Int:
		return appendInt(b, v.Int()), nil
	case Float:
		return appendFloat(b, v.Float())
	case String:
		return AppendQuoted(b, v.String()), nil
	case List:
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
	case Map:
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

// Decode unmarshals the value into out, as encoding/json does. It costs many
// times a Get: prefer Get for single fields.
func (v Value) Decode(out any) error {
	if !v.Exists() {
		return errAbsent
	}
	b, err := v.AppendJSON(nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}
