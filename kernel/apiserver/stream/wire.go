package stream

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

func appendField(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// jsonFrame is what stands before and after the object in a watch frame.
func jsonFrame(typ string) (head, tail []byte) {
	return []byte(`{"type":"` + typ + `","object":`), []byte("}\n")
}

// protobufFrame is what stands before an object of n bytes in a watch frame:
// its length in four bytes, then a WatchEvent {1: type, 2: {1: object}}.
func protobufFrame(typ string, n int) []byte {
	ext := 1 + protowire.SizeBytes(n)
	size := 1 + protowire.SizeBytes(len(typ)) + 1 + protowire.SizeBytes(ext)
	b := binary.BigEndian.AppendUint32(make([]byte, 0, size-n+4), uint32(size))
	b = appendField(b, 1, []byte(typ))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.BytesType), uint64(ext))
	return protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(n))
}
