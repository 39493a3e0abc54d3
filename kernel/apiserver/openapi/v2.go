package openapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
)

// v2Document is the one document of everything: a part for all group versions
// of kinds that are Go types, which comes first, and one for each of the others.
type v2Document struct {
	named
	of    *endpoint.Snapshot
	base  []*endpoint.GroupVersion // what the first part is made of
	first *v2Part
	parts map[*endpoint.GroupVersion]*v2Part
	list  []*v2Part // first, and parts in their order
}

// v2Part is a part of the document, made when it is first asked for.
type v2Part struct {
	etag string
	get  func() (*fragment, error) // remembers its answer
}

// currentV2 returns the newest document. Parts that have not changed are taken
// over.
func (o *Documents) currentV2() (*v2Document, error) {
	if d := o.v2.Load(); d != nil && d.of == o.catalog.Snapshot() {
		return d, nil
	}
	o.next.Lock()
	defer o.next.Unlock()
	old, now := o.v2.Load(), o.catalog.Snapshot()
	if old == nil {
		old = &v2Document{}
	} else if old.of == now {
		return old, nil
	}
	next := &v2Document{of: now, parts: map[*endpoint.GroupVersion]*v2Part{}}
	var others []*endpoint.GroupVersion
	for _, gv := range versions(now) {
		if gv.Custom() {
			others = append(others, gv)
		} else {
			next.base = append(next.base, gv)
		}
	}
	if next.first = old.first; next.first == nil || !slices.Equal(old.base, next.base) {
		next.first = o.nameV2(nil, next.base...)
	}
	list := []*v2Part{next.first}
	for _, gv := range others {
		part := old.parts[gv]
		if part == nil || next.first != old.first {
			part = o.nameV2(next.first, gv)
		}
		next.parts[gv], list = part, append(list, part)
	}
	next.list = list
	next.etag, next.get = joinedName(list), sync.OnceValues(func() (*document, error) { return joined(list) })
	o.v2.Store(next)
	return next, nil
}

// nameV2 makes a part of the document, or prepares to. What first has already
// is left out; nil: it is the first. A part that had to be made and could not has
// no name.
func (o *Documents) nameV2(first *v2Part, gvs ...*endpoint.GroupVersion) *v2Part {
	get := sync.OnceValues(func() (f *fragment, err error) {
		var before *fragment
		if first != nil {
			if before, err = first.get(); err != nil {
				return nil, err
			}
		}
		err = o.build(func(b *builder) error {
			s, err := b.v2(gvs)
			if err == nil {
				f, err = newFragment(s, before)
			}
			return err
		})
		if err != nil {
			o.log.Warn("a group version cannot be described", "document", "/openapi/v2", "groupVersion", fmt.Sprint(gvs), "error", err)
		}
		return f, err
	})
	if name, ok := o.nameOf("v2", gvs...); ok {
		return &v2Part{name, get}
	}
	f, err := get()
	if err != nil {
		return &v2Part{"", get}
	}
	return &v2Part{f.hash(), get}
}

// sections are the members of the document that all parts have.
var sections = [...]string{"definitions", "parameters", "paths"}

// fragment is a part that was made.
type fragment struct {
	// members are the document's members but for the sections, and sections what
	// is in these: JSON without the braces around it, compressed; empty for none.
	members  []byte
	sections [len(sections)][]byte
	proto    func() ([]byte, error) // of this part alone; gzip

	models, parameters map[string]bool // names; of the first part only
}

// newFragment takes a document apart. What the first part has as well, models
// and parameters that everybody shares, is left out; s is changed by that.
func newFragment(s *spec.Swagger, first *fragment) (*fragment, error) {
	f := &fragment{}
	if first == nil {
		f.models, f.parameters = namesIn(s.Definitions), namesIn(s.Parameters)
	} else {
		maps.DeleteFunc(s.Definitions, func(name string, _ spec.Schema) bool { return first.models[name] })
		maps.DeleteFunc(s.Parameters, func(name string, _ spec.Parameter) bool { return first.parameters[name] })
	}
	data, err := s.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	for i, name := range sections {
		if f.sections[i], err = inside(top[name]); err != nil {
			return nil, err
		}
		delete(top, name)
	}
	rest, err := json.Marshal(top)
	if err != nil {
		return nil, err
	}
	if f.members, err = inside(rest); err != nil {
		return nil, err
	}
	f.proto = sync.OnceValues(func() ([]byte, error) {
		var plain bytes.Buffer
		if err := join(&plain, []*fragment{f}); err != nil {
			return nil, err
		}
		p, err := toProtoV2(plain.Bytes())
		if err != nil {
			return nil, err
		}
		return compress(p)
	})
	return f, nil
}

// hash names a fragment by what is in it.
func (f *fragment) hash() string {
	all := append([][]byte{f.members}, f.sections[:]...)
	return hash(bytes.Join(all, []byte("|")))
}

// inside is a JSON object without its braces, compressed; nil of an empty one.
func inside(object []byte) ([]byte, error) {
	if len(object) <= len("{}") {
		return nil, nil
	}
	return compress(object[1 : len(object)-1])
}

func namesIn[V any](m map[string]V) map[string]bool {
	out := make(map[string]bool, len(m))
	for name := range m {
		out[name] = true
	}
	return out
}

func joinedName(parts []*v2Part) string {
	if len(parts) == 1 {
		return parts[0].etag
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p.etag...)
	}
	return hash(all)
}

// joined puts the parts together, without those that could not be made; but there
// is none without the first. Nothing is held uncompressed.
func joined(parts []*v2Part) (*document, error) {
	var list []*fragment
	for i, p := range parts {
		f, err := p.get()
		if i == 0 && err != nil {
			return nil, err
		}
		if err == nil {
			list = append(list, f)
		}
	}
	z, err := compressed(func(w io.Writer) error { return join(w, list) })
	if err != nil {
		return nil, err
	}
	return &document{z, sync.OnceValues(func() ([]byte, error) { return joinProto(list) })}, nil
}

// join writes one JSON document of several parts.
func join(w io.Writer, list []*fragment) error {
	p := pieces{w: w, first: len(list[0].members) == 0}
	p.text("{")
	p.compressed(list[0].members)
	for i, name := range sections {
		p.text(p.comma() + `"` + name + `":{`)
		p.first = true
		for _, f := range list {
			if len(f.sections[i]) > 0 {
				p.text(p.comma())
				p.compressed(f.sections[i])
			}
		}
		p.text("}")
		p.first = false
	}
	p.text("}")
	return p.err
}

// pieces writes a document piece by piece; the first error stays.
type pieces struct {
	w     io.Writer
	first bool // no member of the present object has been written
	err   error
}

// comma is what separates the next member from the one before it.
func (p *pieces) comma() string {
	if p.first {
		p.first = false
		return ""
	}
	return ","
}

func (p *pieces) text(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, s)
	}
}

func (p *pieces) compressed(z []byte) {
	if p.err != nil || len(z) == 0 {
		return
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err == nil {
		_, err = io.Copy(p.w, r)
	}
	p.err = err
}

// joinProto is one message of several: messages one behind the other are read as
// one, in which lists and messages are joined.
func joinProto(list []*fragment) ([]byte, error) {
	return compressed(func(w io.Writer) error {
		p := pieces{w: w}
		for _, f := range list {
			z, err := f.proto()
			if err != nil {
				return err
			}
			p.compressed(z)
		}
		return p.err
	})
}
