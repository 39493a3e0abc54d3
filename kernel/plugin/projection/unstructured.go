package projection

import (
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/packed"
)

// appendFields projects unstructured content.
func appendFields(b []byte, m map[string]any, children []*field) (_ []byte, err error) {
	b = append(b, packed.Struct)
	for _, f := range children {
		if b, err = appendValue(b, m[f.name], f.children); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendValue(b []byte, v any, children []*field) (_ []byte, err error) {
	switch x := v.(type) {
	case nil:
		return append(b, packed.None), nil
	case string:
		return wire.AppendString(append(b, packed.String), x), nil
	case bool:
		return appendBool(b, x), nil
	case int64:
		return wire.AppendInt(append(b, packed.Int), x), nil
	case map[string]any:
		if children != nil {
			return appendFields(b, x, children)
		}
		b = wire.AppendUint(append(b, packed.Map), uint64(len(x)))
		for k, e := range x {
			if b, err = appendValue(wire.AppendString(b, k), e, nil); err != nil {
				return nil, err
			}
		}
		return b, nil
	case []any:
		b = wire.AppendUint(append(b, packed.List), uint64(len(x)))
		for _, e := range x {
			if b, err = appendValue(b, e, children); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	return appendAny(b, v)
}
