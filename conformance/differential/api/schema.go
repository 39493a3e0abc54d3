package api

import (
	"encoding/json"
	"strings"
)

// Schema is what is read of an OpenAPI schema.
type Schema struct {
	Ref        string             `json:"$ref"`
	AllOf      []*Schema          `json:"allOf"`
	OneOf      []*Schema          `json:"oneOf"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*Schema `json:"properties"`
	Items      *Schema            `json:"items"`
	Values     *schemaOrBool      `json:"additionalProperties"`
	IntString  bool               `json:"x-kubernetes-int-or-string"`
	Preserve   bool               `json:"x-kubernetes-preserve-unknown-fields"`
	Kinds      []kind             `json:"x-kubernetes-group-version-kind"`

	in *document
}

// schemaOrBool is a schema; a boolean is none.
type schemaOrBool struct{ Schema }

func (s *schemaOrBool) UnmarshalJSON(b []byte) error {
	if string(b) == "true" || string(b) == "false" {
		return nil
	}
	return json.Unmarshal(b, &s.Schema)
}

// document is the OpenAPI v3 document of a group and version.
type document struct {
	Components struct {
		Schemas map[string]*Schema `json:"schemas"`
	} `json:"components"`
	linked bool
}

// schemaOf is the schema of a resource's objects, or nil.
func (d *document) schemaOf(r *Resource) *Schema {
	d.link()
	for _, s := range d.Components.Schemas {
		for _, k := range s.Kinds {
			// Kinds that stand for every group are those of the API's machinery.
			if len(s.Kinds) == 1 && k == (kind{r.KindGroup, r.KindVersion, r.Kind}) {
				return s
			}
		}
	}
	return nil
}

// link tells every schema where its references lead.
func (d *document) link() {
	if d.linked {
		return
	}
	d.linked = true
	for _, s := range d.Components.Schemas {
		s.link(d)
	}
}

func (s *Schema) link(d *document) {
	if s == nil {
		return
	}
	s.in = d
	s.Items.link(d)
	if s.Values != nil {
		s.Values.link(d)
	}
	for _, all := range [][]*Schema{s.AllOf, s.OneOf} {
		for _, x := range all {
			x.link(d)
		}
	}
	for _, p := range s.Properties {
		p.link(d)
	}
}

// Resolve follows references, and returns a schema that says what it describes.
func (s *Schema) Resolve() *Schema {
	for range 8 { // as deep as references of references are
		switch {
		case s.Ref != "":
			name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
			next := s.in.Components.Schemas[name]
			if next == nil {
				return s
			}
			s = next
		case len(s.AllOf) == 1 && s.Type == "":
			s = s.AllOf[0]
		default:
			return s
		}
	}
	return s
}

// Element is the schema of a map's values, or nil.
func (s *Schema) Element() *Schema {
	if s.Values == nil || s.Values.Type == "" && s.Values.Ref == "" && len(s.Values.AllOf) == 0 {
		return nil
	}
	return &s.Values.Schema
}
