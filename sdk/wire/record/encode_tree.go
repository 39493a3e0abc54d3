package record

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// json writes a JSON text.
func (w writer) json(b []byte, text []byte, f *Fields, depth int) ([]byte, error) {
	switch n := len(text); {
	case n >= 2 && text[0] == '"' && bytes.IndexByte(text, '\\') < 0:
		return AppendString(b, string(text[1:n-1])), nil
	case n > 0 && n < 19 && (text[0] == '-' || text[0] >= '0' && text[0] <= '9'):
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return AppendInt(b, i), nil
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return w.tree(b, v, f, depth)
}

// tree writes what encoding/json or unstructured content is made of.
func (w writer) tree(b []byte, v any, f *Fields, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch x := v.(type) {
	case nil:
		return append(b, None), nil
	case bool:
		return AppendBool(b, x), nil
	case string:
		return AppendString(b, x), nil
	case int64:
		return AppendInt(b, x), nil
	case int:
		return AppendInt(b, int64(x)), nil
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return AppendInt(b, int64(x)), nil
		}
		return finite(b, x)
	case json.Number:
		if i, err := strconv.ParseInt(string(x), 10, 64); err == nil {
			return AppendInt(b, i), nil
		}
		n, err := x.Float64()
		if err != nil {
			return nil, err
		}
		return finite(b, n)
	case []any:
		if x == nil {
			return append(b, None), nil
		}
		b, at := BeginList(b, len(x))
		for _, e := range x {
			if b, err = w.tree(b, e, f, depth+1); err != nil {
				return nil, err
			}
		}
		End(b, at)
		return b, nil
	case map[string]any:
		if x == nil {
			return append(b, None), nil
		}
		if f != nil {
			return w.treeFields(b, x, f, depth, false)
		}
		return w.treeMap(b, x, depth, false)
	}
	from := &w.e.whole
	if f != nil {
		from = w.e.Plan(f)
	}
	return w.value(b, v, f, from, depth+1)
}

// treeFields writes the wanted entries of a map; see treeMap.
func (w writer) treeFields(b []byte, m map[string]any, f *Fields, depth int, metadata bool) (_ []byte, err error) {
	b, at := beginStruct(b)
	end := len(b)
	for i := range f.list {
		from := len(b)
		name, wanted := f.list[i].name, f.list[i].fields
		below, ok := m[name].(map[string]any)
		switch {
		case metadata && name == managedFields:
			b = append(b, None)
		case ok && depth == 0 && name == "metadata" && wanted != nil:
			b, err = w.treeFields(b, below, wanted, depth+1, true)
		case ok && depth == 0 && name == "metadata":
			b, err = w.treeMap(b, below, depth+1, true)
		default:
			b, err = w.tree(b, m[name], wanted, depth+1)
		}
		if err != nil {
			return nil, err
		}
		if b[from] != None {
			end = len(b)
		}
	}
	return endStruct(b, at, end), nil
}

// treeMap writes all of a map; without managedFields if it is metadata.
func (w writer) treeMap(b []byte, m map[string]any, depth int, metadata bool) (_ []byte, err error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		if !metadata || k != managedFields {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	b, at := BeginMap(b, len(keys))
	for _, k := range keys {
		b = AppendKey(b, k)
		if below, ok := m[k].(map[string]any); ok && depth == 0 && k == "metadata" {
			b, err = w.treeMap(b, below, depth+1, true)
		} else {
			b, err = w.tree(b, m[k], nil, depth+1)
		}
		if err != nil {
			return nil, err
		}
	}
	End(b, at)
	return b, nil
}
