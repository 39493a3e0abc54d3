package generate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/api"
)

// place is a field or an element of an object.
type place struct {
	in     any    // map[string]any or []any
	key    string // of the map
	index  int    // of the slice
	schema *api.Schema
	field  string // the name of the field, or of the one that the element is in
}

func (p place) value() any {
	if m, ok := p.in.(map[string]any); ok {
		return m[p.key]
	}
	return p.in.([]any)[p.index]
}

func (p place) set(v any) {
	if m, ok := p.in.(map[string]any); ok {
		m[p.key] = v
		return
	}
	p.in.([]any)[p.index] = v
}

// elsewhere are all of a value, in a fixed order.
func places(v any, s *api.Schema) (out []place) {
	if s != nil {
		s = s.Resolve()
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			var sub *api.Schema
			if s != nil {
				if sub = s.Properties[k]; sub == nil {
					sub = s.Element()
				}
			}
			out = append(out, place{in: v, key: k, schema: sub, field: k})
			out = append(out, places(v[k], sub)...)
		}
	case []any:
		for i := range v {
			var sub *api.Schema
			if s != nil {
				sub = s.Items
			}
			out = append(out, place{in: v, index: i, schema: sub})
			out = append(out, places(v[i], sub)...)
		}
	}
	return out
}

// mutate changes an object in one place or two, so that it may no longer be
// valid. Names, labels and what the kind is stay, so that it is still found and
// removed.
func (m *maker) mutate(o map[string]any) {
	for range 1 + m.IntN(2) {
		all := slices.DeleteFunc(places(o, m.r.Schema), func(p place) bool {
			return slices.Contains([]string{"metadata", "name", "namespace", "labels", label, "kind", "apiVersion"}, p.key) && p.index == 0 && isTop(o, p)
		})
		if len(all) == 0 {
			o["spec"] = m.wrong(nil)
			return
		}
		m.change(pick(m.Rand, all))
	}
}

// isTop says whether a place is in the object itself or its metadata.
func isTop(o map[string]any, p place) bool {
	in, ok := p.in.(map[string]any)
	if !ok {
		return false
	}
	metadata, _ := o["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	same := func(x map[string]any) bool { return x != nil && fmt.Sprintf("%p", x) == fmt.Sprintf("%p", in) }
	return same(o) || same(metadata) || same(labels)
}

func (m *maker) change(p place) {
	f := filler{Rand: m.Rand, optional: 0.3}
	switch in := p.in.(type) {
	case map[string]any:
		if m.chance(4) {
			delete(in, p.key)
			return
		}
	}
	v := p.value()
	switch m.IntN(6) {
	case 0:
		p.set(nil)
	case 1:
		p.set(m.wrong(v))
	case 2:
		if list, ok := v.([]any); ok && len(list) > 0 {
			p.set(append(slices.Clone(list), list[0]))
			return
		}
		p.set(strings.Repeat("long-", 60))
	default:
		m.vary(f, p)
	}
}

// vary sets another value that the schema allows, or adds a field.
func (m *maker) vary(f filler, p place) {
	if p.schema == nil {
		p.set(pick(m.Rand, texts))
		return
	}
	s := p.schema.Resolve()
	if object, ok := p.value().(map[string]any); ok && len(s.Properties) > 0 {
		name := pick(m.Rand, slices.Sorted(maps.Keys(s.Properties)))
		object[name] = f.value(s.Properties[name], name, 2)
		return
	}
	p.set(f.value(s, p.field, 2))
}

// wrong is a value of another type than v.
func (m *maker) wrong(v any) any {
	other := []any{"text", 7, true, []any{"x"}, map[string]any{"x": "y"}, 1.5}
	for {
		w := pick(m.Rand, other)
		if fmt.Sprintf("%T", w) != fmt.Sprintf("%T", v) {
			return w
		}
	}
}
