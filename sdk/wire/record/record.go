// Package record is the form in which objects cross the boundary between
// kernel and plugin, at every extension point.
//
// A guest says once which fields of an object it wants; see [Fields]. A body is
// one value: the object. A value is a tag, one byte, and what the tag says:
//
//	0  none    null, or not there
//	1  false
//	2  true
//	3  int     zigzag varint
//	4  float   8 bytes, IEEE 754, little endian
//	5  string  length (varint), UTF-8
//	6  list    size (4 bytes), count (4 bytes); count values
//	7  map     size (4 bytes), count (4 bytes); count entries, in order of their
//	           keys or of the fields of a type: length of the key (varint), key, value
//	8  struct  size (4 bytes); values
//
// A varint has seven bits to a byte, the low ones first, and the eighth bit set
// in all bytes but the last; zigzag is (n << 1) ^ (n >> 63). Size is the number
// of bytes behind itself that belong to the value, so that a reader can step
// over what it does not look at; size and count are little endian.
//
// A struct is the answer to a list of fields: its values are those of the fields
// that the guest named, in the order in which it named them. The fields behind
// the last value are not there. So nobody numbers fields but the guest itself,
// and a field that Kubernetes or the SDK adds changes nothing for a compiled
// guest. What the guest did not break down into fields is complete, with the
// names in it: objects are maps then. A number, a text or a time is what it is in
// the object's JSON: a Quantity and a Time are strings. A field is there exactly
// when that JSON has it; what is not there is zero. metadata.managedFields is never
// there.
//
// Equal objects have equal bytes.
//
// docs/abi.md has the same for readers of other languages, and RATIONALE.md ("Why
// does one form of object serve every point?") the reasons.
//
// Both sides are here: an [Encoder] for hosts, [Decode] into Go types and [Value]
// for single fields for guests. All of it is safe for concurrent use, except
// where it says otherwise.
package record

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
)

// The tags.
const (
	None byte = iota
	False
	True
	Int
	Float
	String
	List
	Map
	Struct
)

// maxDepth bounds values within one another, on both sides.
const maxDepth = 1000

// maxSize bounds a body.
const maxSize = 1 << 30

var (
	errShort = errors.New("record is cut short or malformed")
	errDeep  = errors.New("record is nested too deeply")
)

// AppendString appends a string.
func AppendString(b []byte, s string) []byte { return appendText(append(b, String), s) }

// appendText appends length and text, as keys are written.
func appendText(b []byte, s string) []byte {
	if len(s) < 0x80 {
		return append(append(b, byte(len(s))), s...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendInt appends a number.
func AppendInt(b []byte, v int64) []byte {
	if v >= 0 && v < 0x40 {
		return append(b, Int, byte(v)<<1)
	}
	return binary.AppendVarint(append(b, Int), v)
}

// AppendFloat appends a number that may have a fraction.
func AppendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, Float), math.Float64bits(v))
}

// AppendBool appends true or false.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, True)
	}
	return append(b, False)
}

func appendBase64(b []byte, v []byte) []byte {
	b = binary.AppendUvarint(append(b, String), uint64(base64.StdEncoding.EncodedLen(len(v))))
	return base64.StdEncoding.AppendEncode(b, v)
}

// BeginList begins a list of so many values, which the caller appends before
// [End], with the position that it got.
func BeginList(b []byte, count int) (_ []byte, at int) {
	b = append(b, List, 0, 0, 0, 0, byte(count), byte(count>>8), byte(count>>16), byte(count>>24))
	return b, len(b) - 4
}

// BeginMap begins a map of so many entries; see [AppendKey] and [BeginList].
func BeginMap(b []byte, count int) (_ []byte, at int) {
	b, at = BeginList(b, count)
	b[at-5] = Map
	return b, at
}

// AppendKey appends the key of an entry; its value follows.
func AppendKey(b []byte, key string) []byte { return appendText(b, key) }

// End ends a list or a map.
func End(b []byte, at int) { binary.LittleEndian.PutUint32(b[at-4:], uint32(len(b)-at)) }

// beginStruct begins a struct, to be ended like a list.
func beginStruct(b []byte) (_ []byte, at int) {
	b = append(b, Struct, 0, 0, 0, 0)
	return b, len(b)
}

// endStruct ends a struct; the values behind end are None and are left out.
func endStruct(b []byte, at, end int) []byte {
	b = b[:end]
	End(b, at)
	return b
}

// setCount corrects the count of a map that was begun at at.
func setCount(b []byte, at, count int) { binary.LittleEndian.PutUint32(b[at:], uint32(count)) }
