package generate

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/api"
)

// filler makes values by schemas. With the zero optional it takes required
// fields alone.
type filler struct {
	*rand.Rand
	optional float64 // how likely a field is that may be left out
}

const deepest = 9

// Values of leaves: what is often valid, and some of the borders.
var (
	texts = []string{
		"x", "x", "a-b", "TCP", "Always", "example.com/x", "10.0.0.1", "fd00::1", "100m", "1Gi", "Example", "a b", "", "-x",
		"example.com", "/a/b", "2020-01-02T03:04:05Z", "1", "ü", strings.Repeat("l", 64), strings.Repeat("l", 260), "*", "system:node:x",
	}
	quantities = []any{"1", "100m", "1Gi", "-1", "1e3", 2, 0.5, "x", "", "1Ei", "1.0001"}
	numbers    = []any{0, 1, 2, 80, 3600, -1, 65535, 65536, 2147483647, 2147483648, 9007199254740993}
	keys       = []string{"a", "b", "example.com/k", "A_b.c", "cpu", "memory", "-", "a b", ""}
	instants   = []string{"2020-01-02T03:04:05Z", "2020-01-02T03:04:05.000006Z", "2020-01-02", "x"}
)

// value makes a value; field is its name.
func (f filler) value(s *api.Schema, field string, depth int) any {
	s = s.Resolve()
	if len(s.Enum) > 0 && f.IntN(12) > 0 {
		return pick(f.Rand, s.Enum)
	}
	switch {
	case s.IntString || s.Format == "int-or-string":
		return pick(f.Rand, []any{1, 80, "50%", "http", -1, "x y"})
	case len(s.OneOf) > 0 && s.Type == "":
		return pick(f.Rand, quantities)
	}
	switch s.Type {
	case "string":
		return f.text(s, field)
	case "integer":
		return pick(f.Rand, numbers)
	case "number":
		return 1.5
	case "boolean":
		return f.IntN(2) == 0
	case "array":
		return f.array(s, field, depth)
	case "object":
		return f.object(s, depth)
	}
	return map[string]any{}
}

func (f filler) text(s *api.Schema, field string) string {
	switch s.Format {
	case "date-time":
		return pick(f.Rand, instants)
	case "byte":
		return pick(f.Rand, []string{"dg==", "", "no base64!"})
	}
	switch field {
	case "name", "key", "namespace":
		if f.IntN(4) > 0 {
			return pick(f.Rand, []string{"x", "y", "a-b"})
		}
	case "image":
		return "registry.example/c:1"
	}
	return pick(f.Rand, texts)
}

func (f filler) array(s *api.Schema, field string, depth int) any {
	out := []any{}
	if s.Items == nil || depth > deepest {
		return out
	}
	n := 1 + f.IntN(2)
	if f.optional > 0 && f.IntN(6) == 0 {
		n = 0
	}
	for range n {
		out = append(out, f.value(s.Items, strings.TrimSuffix(field, "s"), depth+1))
	}
	return out
}

func (f filler) object(s *api.Schema, depth int) any {
	out := map[string]any{}
	if e := s.Element(); e != nil && f.optional > 0 && depth < deepest {
		for range f.IntN(3) {
			out[pick(f.Rand, keys)] = f.value(e, "", depth+1)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		required := slices.Contains(s.Required, name)
		if required || depth < deepest && f.Float64() < f.optional/float64(1+depth/2) {
			out[name] = f.value(s.Properties[name], name, depth+1)
		}
	}
	return out
}

// fill adds optional fields to an object, but to what every object has.
func (f filler) fill(o map[string]any, s *api.Schema) {
	if s == nil {
		return
	}
	f.into(o, s, 0)
}

func (f filler) into(o map[string]any, s *api.Schema, depth int) {
	s = s.Resolve()
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if depth == 0 && (name == "metadata" || name == "kind" || name == "apiVersion") {
			continue
		}
		property := s.Properties[name]
		switch have := o[name].(type) {
		case map[string]any:
			f.into(have, property, depth+1)
		case []any:
			for _, e := range have {
				if m, ok := e.(map[string]any); ok && property.Resolve().Items != nil {
					f.into(m, property.Resolve().Items, depth+1)
				}
			}
		case nil:
			if f.Float64() < f.optional/float64(1+depth/2) {
				o[name] = f.value(property, name, depth+1)
			}
		}
	}
}
