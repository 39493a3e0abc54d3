package resource

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// envelopePrefix opens a protobuf encoding of the Kubernetes API; a message
// runtime.Unknown follows, which names the kind and holds the object's bytes.
var envelopePrefix = []byte("k8s\x00")

// ErrNoProtobuf: the type has no protobuf form. The edge answers JSON instead.
var ErrNoProtobuf = errors.New("type has no protobuf form")

// The fields of runtime.Unknown and of its TypeMeta.
const (
	envelopeTypeMeta protowire.Number = 1
	envelopeRaw      protowire.Number = 2

	typeMetaAPIVersion protowire.Number = 1
	typeMetaKind       protowire.Number = 2
)

// protoMessage is what the generated API types offer.
type protoMessage interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

type protoUnmarshaler interface {
	Unmarshal([]byte) error
}

func isEnvelope(b []byte) bool { return bytes.HasPrefix(b, envelopePrefix) }

// openEnvelope reads the envelope without copying: raw is part of b.
func openEnvelope(b []byte) (kind schema.GroupVersionKind, raw []byte, err error) {
	switch { // in the words of upstream's serializer
	case len(b) == 0:
		return kind, nil, errors.New("empty data")
	case !isEnvelope(b):
		return kind, nil, fmt.Errorf("provided data does not appear to be a protobuf message, expected prefix %v", envelopePrefix)
	case len(b) == len(envelopePrefix):
		return kind, nil, errors.New("empty body")
	}
	var apiVersion, name string
	err = eachField(b[len(envelopePrefix):], func(n protowire.Number, value []byte) error {
		switch n {
		case envelopeTypeMeta:
			return eachField(value, func(n protowire.Number, value []byte) error {
				switch n {
				case typeMetaAPIVersion:
					apiVersion = string(value)
				case typeMetaKind:
					name = string(value)
				}
				return nil
			})
		case envelopeRaw:
			raw = value
		}
		return nil
	})
	if err != nil {
		return kind, nil, fmt.Errorf("protobuf envelope: %w", err)
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return kind, nil, fmt.Errorf("protobuf envelope: %w", err)
	}
	return gv.WithKind(name), raw, nil
}

// eachField calls fn with every length-delimited field of a message and skips the
// others.
func eachField(b []byte, fn func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if typ != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, typ, b); size < 0 {
				return protowire.ParseError(size)
			}
			b = b[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if err := fn(n, value); err != nil {
			return err
		}
	}
	return nil
}

// sealEnvelope encodes obj as kind, byte for byte as upstream does, with one
// allocation.
func sealEnvelope(obj runtime.Object, kind schema.GroupVersionKind) ([]byte, error) {
	m, ok := obj.(protoMessage)
	if !ok {
		return nil, fmt.Errorf("%T: %w", obj, ErrNoProtobuf)
	}
	size := m.Size()
	b := appendEnvelopeHead(make([]byte, 0, envelopeSize(kind, size)), kind, size)
	start := len(b)
	b = b[:start+size]
	if n, err := m.MarshalToSizedBuffer(b[start:]); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", kind.Kind, err)
	} else if n != size {
		return nil, fmt.Errorf("encoding %s: %d bytes announced, %d written", kind.Kind, size, n)
	}
	return append(b, envelopeTail...), nil
}

// envelopeTail is the empty contentEncoding and contentType that upstream's
// generated code writes.
var envelopeTail = []byte{3<<3 | 2, 0, 4<<3 | 2, 0}

func typeMetaSize(apiVersion, kind string) int {
	return protowire.SizeTag(typeMetaAPIVersion) + protowire.SizeBytes(len(apiVersion)) +
		protowire.SizeTag(typeMetaKind) + protowire.SizeBytes(len(kind))
}

func envelopeSize(kind schema.GroupVersionKind, raw int) int {
	tm := typeMetaSize(kind.GroupVersion().String(), kind.Kind)
	return len(envelopePrefix) +
		protowire.SizeTag(envelopeTypeMeta) + protowire.SizeBytes(tm) +
		protowire.SizeTag(envelopeRaw) + protowire.SizeBytes(raw) + len(envelopeTail)
}

// appendEnvelopeHead writes everything before the object's own bytes.
func appendEnvelopeHead(b []byte, kind schema.GroupVersionKind, raw int) []byte {
	apiVersion := kind.GroupVersion().String()
	b = append(b, envelopePrefix...)
	b = protowire.AppendTag(b, envelopeTypeMeta, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(typeMetaSize(apiVersion, kind.Kind)))
	b = protowire.AppendTag(b, typeMetaAPIVersion, protowire.BytesType)
	b = protowire.AppendString(b, apiVersion)
	b = protowire.AppendTag(b, typeMetaKind, protowire.BytesType)
	b = protowire.AppendString(b, kind.Kind)
	b = protowire.AppendTag(b, envelopeRaw, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(raw))
}
