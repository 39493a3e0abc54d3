package audit

import (
	"encoding/json"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// serializer lets upstream's library encode an object by a function; nil encodes
// nothing.
type serializer struct {
	encode func(runtime.Object) ([]byte, error)
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (serializer) SupportedMediaTypes() []runtime.SerializerInfo {
	return []runtime.SerializerInfo{{MediaType: runtime.ContentTypeJSON}}
}

// EncoderForVersion implements runtime.NegotiatedSerializer.
func (s serializer) EncoderForVersion(runtime.Encoder, runtime.GroupVersioner) runtime.Encoder {
	return s
}

// DecoderToVersion implements runtime.NegotiatedSerializer; nothing is decoded.
func (serializer) DecoderToVersion(d runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return d
}

// Encode implements runtime.Encoder.
func (s serializer) Encode(obj runtime.Object, w io.Writer) error {
	if s.encode == nil {
		return nil
	}
	raw, err := s.encode(obj)
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}

// Identifier implements runtime.Encoder.
func (serializer) Identifier() runtime.Identifier { return "audit" }

// withoutManagedFields takes managedFields out of an object, the items of a list, or
// the rows of a table.
func withoutManagedFields(raw []byte) ([]byte, error) {
	var obj map[string]json.RawMessage
	if err := json.Unmarshal(raw, &obj); err != nil {
		return nil, err
	}
	var kind string
	_ = json.Unmarshal(obj["kind"], &kind) // none: an object of its own
	var err error
	switch {
	case kind == "Table":
		err = each(obj, "rows", func(row map[string]json.RawMessage) error { return within(row, "object") })
	case strings.HasSuffix(kind, "List") && obj["items"] != nil:
		err = each(obj, "items", clean)
	default:
		err = clean(obj)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(obj)
}

// each changes the objects of an array.
func each(obj map[string]json.RawMessage, field string, change func(map[string]json.RawMessage) error) error {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(obj[field], &list); err != nil {
		return err
	}
	for _, item := range list {
		if err := change(item); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(list)
	obj[field] = raw
	return err
}

// within changes an object that is a field.
func within(obj map[string]json.RawMessage, field string) error {
	if obj[field] == nil {
		return nil
	}
	var in map[string]json.RawMessage
	if err := json.Unmarshal(obj[field], &in); err != nil || in == nil {
		return err
	}
	if err := clean(in); err != nil {
		return err
	}
	raw, err := json.Marshal(in)
	obj[field] = raw
	return err
}

func clean(obj map[string]json.RawMessage) error {
	var meta map[string]json.RawMessage
	if raw := obj["metadata"]; raw == nil || json.Unmarshal(raw, &meta) != nil || meta["managedFields"] == nil {
		return nil
	}
	delete(meta, "managedFields")
	raw, err := json.Marshal(meta)
	obj["metadata"] = raw
	return err
}

var (
	_ runtime.NegotiatedSerializer = serializer{}
	_ runtime.Encoder              = serializer{}
)
