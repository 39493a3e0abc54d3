// Package projection packs those fields of an object that a guest will look at,
// in the form of package sdk/packed. A controller over thousands of pods wants a
// tenth of each; encoding, copying and above all decoding the rest, inside the
// guest, was most of what such a controller cost.
//
// Projections are safe for concurrent use.
package projection

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Bounds of a projection's text, which comes from a guest.
const (
	maxText  = 4096
	maxDepth = 32
)

// Projection is a set of fields.
type Projection struct {
	root  *field
	plans sync.Map // reflect.Type → *plan of the root
}

// field is a wanted JSON field; nil children is all of it.
type field struct {
	name     string
	children []*field
}

// Parse reads the form that sdk/wire describes: "metadata(name),status".
func Parse(text string) (*Projection, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("projection of %d bytes; at most %d are taken", len(text), maxText)
	}
	p := parser{rest: text}
	children, err := p.list(0)
	if err != nil {
		return nil, fmt.Errorf("projection at %q: %w", p.rest, err)
	}
	if p.rest != "" {
		return nil, fmt.Errorf("projection at %q: a bracket that was not opened", p.rest)
	}
	return &Projection{root: &field{children: children}}, nil
}

// MustParse is Parse for a text of our own.
func MustParse(text string) *Projection {
	p, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return p
}

type parser struct{ rest string }

func (p *parser) list(depth int) ([]*field, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	out := []*field{}
	seen := map[string]bool{}
	for {
		end := strings.IndexAny(p.rest, "(),")
		if end < 0 {
			end = len(p.rest)
		}
		f := &field{name: p.rest[:end]}
		if f.name == "" || seen[f.name] {
			return nil, errors.New("a field without a name, or named twice")
		}
		seen[f.name] = true
		p.rest = p.rest[end:]
		if strings.HasPrefix(p.rest, "(") {
			p.rest = p.rest[1:]
			var err error
			if f.children, err = p.list(depth + 1); err != nil {
				return nil, err
			}
			if !strings.HasPrefix(p.rest, ")") {
				return nil, errors.New("a bracket that is not closed")
			}
			p.rest = p.rest[1:]
		}
		out = append(out, f)
		if !strings.HasPrefix(p.rest, ",") {
			return out, nil
		}
		p.rest = p.rest[1:]
	}
}

// Append packs the fields of v, a struct with JSON tags, a pointer to one, or
// unstructured content. v is only read.
func (p *Projection) Append(b []byte, v any) ([]byte, error) {
	if u, ok := v.(interface{ UnstructuredContent() map[string]any }); ok {
		return appendFields(b, u.UnstructuredContent(), p.root.children)
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	if r.Kind() != reflect.Struct {
		return nil, fmt.Errorf("projection of a %T", v)
	}
	got, ok := p.plans.Load(r.Type())
	if !ok {
		got, _ = p.plans.LoadOrStore(r.Type(), planOf(r.Type(), p.root.children))
	}
	return got.(*plan).append(b, r)
}
