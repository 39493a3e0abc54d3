// Package packed is how the kernel hands a guest the fields of an object that
// the guest decodes. JSON costs a guest a hundred microseconds for a small
// object, most of it for looking up names that both sides know; here the guest
// says once which fields it wants ([Fields]), and the answer has their values in
// that order ([Decode]).
//
// A value is a tag, one byte, and what the tag says:
//
//	None          null, or not there
//	String        length, bytes
//	Int           zigzag varint
//	True, False
//	List          count, values
//	Struct        a value for each wanted field of the projection, in its order
//	Map           count; for each entry the key (length, bytes) and a value
//	JSON          length, JSON text: whatever has no tag of its own
//
// Lengths and counts are varints. A body that begins with '{' is JSON: a host
// may always answer so. Functions are safe for concurrent use.
package packed

// The tags.
const (
	None byte = iota
	String
	Int
	True
	False
	List
	Struct
	Map
	JSON
)
