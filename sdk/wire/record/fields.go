package record

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a declaration, which comes from a guest.
const (
	MaxText        = 4096 // bytes
	maxFieldsDepth = 32
)

// Fields is a declaration: the fields of an object that a guest wants. Its text
// is a list of JSON names, each with those of its value in brackets where not
// all of that is wanted; through lists as if they were not there:
//
//	metadata(name,uid),spec(containers(name,image)),status
//
// In a map the names are keys: metadata(labels(app)). Nil is all of the object,
// and so is the empty text. Fields do not change.
type Fields struct {
	text string
	list []fieldWanted
}

type fieldWanted struct {
	name   string
	fields *Fields // nil: all of it
}

// String is the text; "" of nil.
func (f *Fields) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// index finds a field by name, -1 when it is not declared.
func (f *Fields) index(name string) int {
	for i := range f.list {
		if f.list[i].name == name {
			return i
		}
	}
	return -1
}

// ParseFields reads a declaration.
//
// # Errors
//   - a text of more than 4 KiB, more than 32 deep, or malformed
func ParseFields(text string) (*Fields, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > MaxText {
		return nil, fmt.Errorf("fields in %d bytes; at most %d are taken", len(text), MaxText)
	}
	p := parser{rest: text}
	f, err := p.list(0)
	if err != nil {
		return nil, fmt.Errorf("fields at %q: %w", p.rest, err)
	}
	if p.rest != "" {
		return nil, fmt.Errorf("fields at %q: a bracket that was not opened", p.rest)
	}
	return f, nil
}

type parser struct{ rest string }

func (p *parser) list(depth int) (*Fields, error) {
	if depth >= maxFieldsDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxFieldsDepth)
	}
	f, from := &Fields{}, p.rest
	seen := map[string]bool{}
	for {
		end := strings.IndexAny(p.rest, "(),")
		if end < 0 {
			end = len(p.rest)
		}
		w := fieldWanted{name: p.rest[:end]}
		if w.name == "" || seen[w.name] {
			return nil, errors.New("a field without a name, or named twice")
		}
		seen[w.name] = true
		p.rest = p.rest[end:]
		if strings.HasPrefix(p.rest, "(") {
			p.rest = p.rest[1:]
			var err error
			if w.fields, err = p.list(depth + 1); err != nil {
				return nil, err
			}
			if !strings.HasPrefix(p.rest, ")") {
				return nil, errors.New("a bracket that is not closed")
			}
			p.rest = p.rest[1:]
		}
		f.list = append(f.list, w)
		if !strings.HasPrefix(p.rest, ",") {
			f.text = from[:len(from)-len(p.rest)]
			return f, nil
		}
		p.rest = p.rest[1:]
	}
}

// Has tells whether all of what lies at a path is declared; nil declares
// everything. Get of a declared path finds what the object has there.
func (f *Fields) Has(path string) bool {
	for f != nil && path != "" {
		s, rest, ok := next(path)
		if !ok {
			return false
		}
		i := f.index(s.Key)
		if i < 0 && s.Index < 0 {
			return false
		}
		if i >= 0 { // else an element of a list
			f = f.list[i].fields
		}
		path = rest
	}
	return f == nil
}

// Covers tells whether f declares all that other does.
func (f *Fields) Covers(other *Fields) bool {
	if f == nil || other == nil {
		return f == nil
	}
	for _, w := range other.list {
		if i := f.index(w.name); i < 0 || !f.list[i].fields.Covers(w.fields) {
			return false
		}
	}
	return true
}

// Union declares what a or b does. The fields of a come first, in their order. It
// may be more than [ParseFields] takes.
func Union(a, b *Fields) *Fields {
	if a == nil || b == nil {
		return nil
	}
	list := append([]fieldWanted(nil), a.list...)
	for _, w := range b.list {
		if i := a.index(w.name); i >= 0 {
			list[i].fields = Union(list[i].fields, w.fields)
		} else {
			list = append(list, w)
		}
	}
	return fieldsOf(list)
}

// fieldsOf makes a declaration of a list.
func fieldsOf(list []fieldWanted) *Fields {
	var text strings.Builder
	for i, w := range list {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(w.name)
		if w.fields != nil {
			text.WriteByte('(')
			text.WriteString(w.fields.text)
			text.WriteByte(')')
		}
	}
	return &Fields{text.String(), list}
}

// At declares what f does, of the value at a path that is all names: At
// ("spec.tolerations", key) is spec(tolerations(key)).
//
// # Errors
//   - those of [FieldsOfPaths]
func At(path string, f *Fields) (*Fields, error) {
	at, err := FieldsOfPaths(path)
	if err != nil || f == nil {
		return at, err
	}
	return at.within(f), nil
}

// within puts f where a declaration of one path ends.
func (f *Fields) within(inner *Fields) *Fields {
	if f == nil {
		return inner
	}
	return fieldsOf([]fieldWanted{{f.list[0].name, f.list[0].fields.within(inner)}})
}

// Names declares the fields that f names at its first levels, each whole: it is
// shorter and covers f.
func (f *Fields) Names(levels int) *Fields {
	if f == nil || levels == 0 {
		return nil
	}
	list := make([]fieldWanted, len(f.list))
	for i, w := range f.list {
		list[i] = fieldWanted{w.name, w.fields.Names(levels - 1)}
	}
	return fieldsOf(list)
}

// FieldsOfPaths declares what lies at paths such as "spec.containers.image" or
// "metadata.labels[app.kubernetes.io/name]"; an index into a list is left out.
// Without paths it is all of the object.
//
// # Errors
//   - a malformed path, or more than [ParseFields] takes
func FieldsOfPaths(paths ...string) (*Fields, error) {
	root := &tree{}
	for _, path := range paths {
		segments, err := ParsePath(path)
		if err != nil {
			return nil, err
		}
		at := root
		for _, s := range segments {
			if s.Index >= 0 {
				continue
			}
			if strings.ContainsAny(s.Key, "(),") {
				return nil, fmt.Errorf("path %q: a key with a bracket or comma cannot be declared", path)
			}
			at = at.child(s.Key)
		}
		if at == root {
			return nil, fmt.Errorf("path %q names no field", path)
		}
		at.whole = true
	}
	var text strings.Builder
	root.write(&text)
	return ParseFields(text.String())
}

// tree is what FieldsOfPaths merges paths in.
type tree struct {
	name     string
	whole    bool
	children []*tree
}

func (t *tree) child(name string) *tree {
	for _, c := range t.children {
		if c.name == name {
			return c
		}
	}
	c := &tree{name: name}
	t.children = append(t.children, c)
	return c
}

func (t *tree) write(to *strings.Builder) {
	for i, c := range t.children {
		if i > 0 {
			to.WriteByte(',')
		}
		to.WriteString(c.name)
		if !c.whole {
			to.WriteByte('(')
			c.write(to)
			to.WriteByte(')')
		}
	}
}
