package record

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a declaration, which comes from a guest.
const (
	maxText        = 4096
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
	if len(text) > maxText {
		return nil, fmt.Errorf("fields in %d bytes; at most %d are taken", len(text), maxText)
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

// MustParseFields is ParseFields for a text of one's own; it panics.
func MustParseFields(text string) *Fields {
	f, err := ParseFields(text)
	if err != nil {
		panic(err)
	}
	return f
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
