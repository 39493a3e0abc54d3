package record

import (
	"errors"
	"iter"
)

// Kind is the kind of a value.
type Kind uint8

// The kinds. Absent is that of a value that does not exist.
const (
	KindAbsent Kind = iota
	KindNull
	KindBool
	KindInt
	KindFloat
	KindString
	KindList
	KindMap
)

// Value is one value of a record: an object, a part of it, or nothing. It is
// read in place. Reading what does not exist, or as another kind, answers the
// zero value, so that chains need no checks. It is valid for ever and used by
// one goroutine at a time.
type Value struct {
	doc    *doc
	at     int
	fields *Fields // of the structs here; nil where there are none
}

// doc is what the values of one body share.
type doc struct {
	text       string
	undeclared string
}

var (
	errAbsent  = errors.New("there is no such value")
	errNoNames = errors.New("a struct whose fields were not declared here")
)

// Parse views a body of the fields that f declares; nil is all. An empty body
// is a value that does not exist. The body is copied.
//
// # Errors
//   - a body that does not hold one value
func Parse(body []byte, f *Fields) (Value, error) {
	if len(body) == 0 {
		return Value{}, nil
	}
	c := cursor{text: string(body)}
	if err := c.skip(); err != nil {
		return Value{}, err
	}
	if c.at != len(c.text) {
		return Value{}, errShort
	}
	return Value{doc: &doc{text: c.text}, fields: f}, nil
}

// Undeclared is the first field that was read of this object and is not
// declared, "" when there is none. What such a read answered means nothing.
func (v Value) Undeclared() string {
	if v.doc == nil {
		return ""
	}
	return v.doc.undeclared
}

// tag is the tag of the value; false when it does not exist.
func (v Value) tag() (byte, bool) {
	if v.doc == nil || v.at >= len(v.doc.text) {
		return None, false
	}
	return v.doc.text[v.at], true
}

// behind is a cursor behind the tag.
func (v Value) behind() cursor { return cursor{v.doc.text, v.at + 1} }

// Kind of the value.
func (v Value) Kind() Kind {
	tag, ok := v.tag()
	if !ok {
		return KindAbsent
	}
	switch tag {
	case None:
		return KindNull
	case False, True:
		return KindBool
	case Int:
		return KindInt
	case Float:
		return KindFloat
	case String:
		return KindString
	case List:
		return KindList
	case Map, Struct:
		return KindMap
	}
	return KindAbsent
}

// Exists tells whether the value is there; an explicit null is, where the names
// of fields are.
func (v Value) Exists() bool { return v.Kind() != KindAbsent }

// Len is the number of elements of a list or map, or of bytes of a string.
func (v Value) Len() int {
	tag, _ := v.tag()
	switch tag {
	case String:
		return len(v.String())
	case List, Map:
		c := v.behind()
		if _, n, err := c.counted(); err == nil {
			return n
		}
	case Struct:
		n := 0
		for range v.Fields() {
			n++
		}
		return n
	}
	return 0
}

// String is the text of a string; "" of anything else.
func (v Value) String() string {
	if tag, _ := v.tag(); tag != String {
		return ""
	}
	c := v.behind()
	s, _ := c.string()
	return s
}

// Bool is true for the bool true only.
func (v Value) Bool() bool {
	tag, _ := v.tag()
	return tag == True
}

// Int is a number without its fraction; 0 of anything else.
func (v Value) Int() int64 {
	switch tag, _ := v.tag(); tag {
	case Int:
		c := v.behind()
		i, _ := c.int()
		return i
	case Float:
		c := v.behind()
		f, _ := c.float()
		return int64(f)
	}
	return 0
}

// Float is a number; 0 of anything else.
func (v Value) Float() float64 {
	if tag, _ := v.tag(); tag == Float {
		c := v.behind()
		f, _ := c.float()
		return f
	}
	return float64(v.Int())
}

// Key is the member of a map.
func (v Value) Key(name string) Value {
	switch tag, _ := v.tag(); tag {
	case Map:
		c := v.behind()
		if at, ok := c.find(name); ok {
			return Value{doc: v.doc, at: at}
		}
	case Struct:
		if v.fields == nil {
			return Value{}
		}
		i := v.fields.index(name)
		if i < 0 {
			if v.doc.undeclared == "" {
				v.doc.undeclared = name
			}
			return Value{}
		}
		c := v.behind()
		end, err := c.size()
		for ; err == nil && i > 0 && c.at < end; i-- {
			err = c.skip()
		}
		if err == nil && c.at < end && c.text[c.at] != None {
			return Value{v.doc, c.at, v.fields.list[v.fields.index(name)].fields}
		}
	}
	return Value{}
}

// Index is an element of a list.
func (v Value) Index(i int) Value {
	if tag, _ := v.tag(); tag != List || i < 0 {
		return Value{}
	}
	c := v.behind()
	_, n, err := c.counted()
	if err != nil || i >= n {
		return Value{}
	}
	for range i {
		if c.skip() != nil {
			return Value{}
		}
	}
	return Value{v.doc, c.at, v.fields}
}

// Get follows a path such as "spec.containers[0].image" or
// "metadata.labels[app.kubernetes.io/name]". A malformed path finds nothing.
func (v Value) Get(path string) Value {
	for path != "" && v.doc != nil {
		s, rest, ok := next(path)
		if !ok {
			return Value{}
		}
		if s.Index >= 0 && v.Kind() == KindList {
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
		if tag, _ := v.tag(); tag != List {
			return
		}
		c := v.behind()
		_, n, err := c.counted()
		for i := 0; err == nil && i < n; i++ {
			if !yield(i, Value{v.doc, c.at, v.fields}) {
				return
			}
			err = c.skip()
		}
	}
}

// Fields ranges over a map: in the order of a type's fields, of the declared
// fields, or sorted.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		switch tag, _ := v.tag(); tag {
		case Map:
			c := v.behind()
			_, n, err := c.counted()
			for ; err == nil && n > 0; n-- {
				var key string
				if key, err = c.string(); err != nil || !yield(key, Value{doc: v.doc, at: c.at}) {
					return
				}
				err = c.skip()
			}
		case Struct:
			v.declared(yield)
		}
	}
}

func (v Value) declared(yield func(string, Value) bool) {
	c := v.behind()
	end, err := c.size()
	for i := 0; err == nil && v.fields != nil && i < len(v.fields.list) && c.at < end; i++ {
		w := &v.fields.list[i]
		if c.text[c.at] != None && !yield(w.name, Value{v.doc, c.at, w.fields}) {
			return
		}
		err = c.skip()
	}
}
