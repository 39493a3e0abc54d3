package wire

import (
	"encoding/binary"
	"errors"
)

// AppendUint appends a varint.
func AppendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendInt appends a signed number, zigzag coded.
func AppendInt(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// AppendString appends a length-prefixed string.
func AppendString(b []byte, s string) []byte {
	return append(AppendUint(b, uint64(len(s))), s...)
}

// AppendBytes appends length-prefixed bytes.
func AppendBytes(b, s []byte) []byte {
	return append(AppendUint(b, uint64(len(s))), s...)
}

// AppendBool appends one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendStrings appends a counted list of strings.
func AppendStrings(b []byte, list []string) []byte {
	b = AppendUint(b, uint64(len(list)))
	for _, s := range list {
		b = AppendString(b, s)
	}
	return b
}

// AppendOptional appends whether there is a string, and the string.
func AppendOptional(b []byte, s *string) []byte {
	if s == nil {
		return append(b, 0)
	}
	return AppendString(append(b, 1), *s)
}

var errShort = errors.New("message is cut short or malformed")

// Reader reads a frame. After the first fault every read answers zero and Err
// tells; a caller checks once at the end. The zero value reads an empty frame.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b. Bytes returns slices of b, not copies.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is nil as long as everything read was there. It is an ErrProtocol.
func (r *Reader) Err() error {
	if r.err != nil {
		return &Error{Kind: KindProtocol, Message: r.err.Error()}
	}
	return nil
}

// Rest is what has not been read. A field that a later minor version put at the
// end of a frame is read only when there is some: an older side does not send it.
func (r *Reader) Rest() []byte { return r.b }

func (r *Reader) fail() {
	r.err, r.b = errShort, nil
}

// Uint reads a varint.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Int reads a signed number.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// Bool reads one byte.
func (r *Reader) Bool() bool { return r.Byte() != 0 }

// Bytes reads length-prefixed bytes; the result is a part of the frame.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// Str reads a length-prefixed string.
func (r *Reader) Str() string { return string(r.Bytes()) }

// Optional reads what AppendOptional wrote.
func (r *Reader) Optional() *string {
	if !r.Bool() {
		return nil
	}
	s := r.Str()
	return &s
}

// ReadSized reads an element that carries its size, so that it may have grown: what
// read leaves of it is skipped.
func ReadSized(r *Reader, read func(*Reader)) {
	in := Reader{b: r.Bytes()}
	if read(&in); in.err != nil {
		r.fail()
	}
}

// Count reads the number of elements that follow, each at least min bytes
// long, so that a false count cannot make the reader allocate much.
func (r *Reader) Count(min int) int {
	n := r.Uint()
	if n > uint64(len(r.b)/max(min, 1)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Strings reads a counted list of strings.
func (r *Reader) Strings() []string {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = r.Str()
	}
	return out
}
