package record

import "errors"

// Reader reads a value from front to back, for types that are read so often that
// [Value.Decode] takes too long. The caller knows the form: fields of a struct come
// in the order in which they are declared. What is not there is zero. After the
// first fault, also a value of another form, everything is zero and Err tells; what
// Decode makes of that value is then right. It is used by one goroutine.
type Reader struct {
	cursor
	end int // of the list or struct that is read
	err error
}

var errForm = errors.New("a value of another form")

// Reader reads the value; one that does not exist reads as a null.
func (v Value) Reader() Reader {
	if v.doc == nil {
		return Reader{}
	}
	return Reader{cursor: cursor{v.doc.text, v.at}, end: len(v.doc.text)}
}

// Err is nil as long as everything had the expected form.
func (r *Reader) Err() error { return r.err }

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = r.end
}

// is steps over a tag; false when the value is not there.
func (r *Reader) is(tag byte) bool {
	if r.at >= r.end {
		return false
	}
	got := r.text[r.at]
	r.at++
	if got == tag {
		return true
	}
	if got != None {
		r.fail(errForm)
	}
	return false
}

// need fails when nothing is left: a list has all its elements.
func (r *Reader) need() {
	if r.at >= r.end {
		r.fail(errShort)
	}
}

// Text reads a string.
func (r *Reader) Text() string {
	if at := r.at; at+1 < r.end && r.text[at] == String { // nearly always: in a guest, calls cost more than the rest
		if n := int(r.text[at+1]); n < 0x80 && n <= r.end-at-2 {
			r.at = at + 2 + n
			return r.text[at+2 : at+2+n]
		}
	}
	if !r.is(String) {
		return ""
	}
	s, err := r.string()
	if err != nil {
		r.fail(err)
	}
	return s
}

// Int reads a number without a fraction.
func (r *Reader) Int() int64 {
	if !r.is(Int) {
		return 0
	}
	i, err := r.int()
	if err != nil {
		r.fail(err)
	}
	return i
}

// Int32 is Int for a number that fits.
func (r *Reader) Int32() int32 {
	i := r.Int()
	if i != int64(int32(i)) {
		r.fail(errForm)
		return 0
	}
	return int32(i)
}

// Struct begins a struct, whose fields are read next, and [Reader.Leave] ends it
// with what Struct returned. It is false when there is none.
func (r *Reader) Struct() (outer int, ok bool) {
	outer = r.end
	if !r.is(Struct) {
		return outer, false
	}
	end := sizeAt(r.text, r.at)
	if end < 0 || end > outer {
		r.fail(errShort)
		return outer, false
	}
	r.at, r.end = r.at+4, end
	return outer, true
}

// sizeAt is where a value ends whose size stands at a place; -1 when that is cut
// short.
func sizeAt(text string, at int) int {
	if len(text)-at < 4 {
		return -1
	}
	t := text[at : at+4]
	return at + 4 + int(uint32(t[0])|uint32(t[1])<<8|uint32(t[2])<<16|uint32(t[3])<<24)
}

// Leave ends a struct or a list.
func (r *Reader) Leave(outer int) {
	if r.at > r.end {
		r.fail(errShort)
	}
	r.at, r.end = r.end, outer
}

// Items reads a list; each reads one element. It is nil when there is no list.
func Items[T any](r *Reader, each func(r *Reader, to *T)) []T {
	outer, n, ok := r.list(List)
	if !ok {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		r.need()
		each(r, &out[i])
	}
	r.leaveAll(outer)
	return out
}

// list begins a list or map of n values.
func (r *Reader) list(tag byte) (outer, n int, ok bool) {
	if !r.is(tag) {
		return r.end, 0, false
	}
	outer = r.end
	end, n, err := r.counted()
	if err != nil || end > outer {
		r.fail(errShort)
		return outer, 0, false
	}
	r.end = end
	return outer, n, true
}

// leaveAll ends what must have been read to its end.
func (r *Reader) leaveAll(outer int) {
	if r.at != r.end {
		r.fail(errShort)
	}
	r.Leave(outer)
}

// Texts reads a list of strings.
func (r *Reader) Texts() []string {
	outer, n, ok := r.list(List)
	if !ok {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		r.need()
		out[i] = r.Text()
	}
	r.leaveAll(outer)
	return out
}

// TextMap reads a map from strings to strings.
func (r *Reader) TextMap() map[string]string {
	outer, n, ok := r.list(Map)
	if !ok {
		return nil
	}
	out := make(map[string]string, n)
	for range n {
		key, err := r.string()
		if err != nil {
			r.fail(err)
			break
		}
		r.need()
		out[key] = r.Text()
	}
	r.leaveAll(outer)
	return out
}
