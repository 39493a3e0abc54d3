package fieldmanager

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// walkType is how values of a Go type are walked at their place in a schema.
// It is not changed once made.
type walkType struct {
	as     walkKind
	elem   *walkType   // of pointers, lists and maps
	fields []walkField // of structs, those of inline structs among them
	list   listKind
	// keys of lists: for each field of an item, whether it names the item.
	keys []bool
}

type walkField struct {
	index []int
	name  string // in JSON
	*walkType
}

type walkKind int

const (
	asScalar walkKind = iota
	asText            // a struct that JSON shows as a scalar; never a key
	asOpaque          // has no key
	asPointer
	asStruct
	asBytes
	asList
	asMap
)

// listKind says what an item's path in managedFields is made of.
type listKind int

const (
	listUnknown listKind = iota // perhaps of any of its scalars
	listAtomic                  // the list is owned as a whole
	listSet                     // of its value
	listMap                     // of its keys
)

var (
	marshaler   = reflect.TypeFor[json.Marshaler]()
	objectMeta  = reflect.TypeFor[metav1.ObjectMeta]()
	typeMeta    = reflect.TypeFor[metav1.TypeMeta]()
	scalarTypes = map[reflect.Type]bool{
		reflect.TypeFor[metav1.Time](): true, reflect.TypeFor[metav1.MicroTime](): true,
		reflect.TypeFor[metav1.Duration](): true, reflect.TypeFor[resource.Quantity](): true,
		reflect.TypeFor[intstr.IntOrString](): true,
	}
	// untracked are the metadata of an object (not of a template in it) that
	// no manager ever owns.
	untracked = map[string]bool{
		"Name": true, "Namespace": true, "UID": true, "CreationTimestamp": true, "SelfLink": true,
		"Generation": true, "ManagedFields": true, "ResourceVersion": true,
	}
)

// walkType gives the type of a kind's hub objects.
func (f *Manager) walkType() *walkType {
	f.templates.once.Do(func() {
		b := walkBuilder{known: map[walkPlace]*walkType{}}
		var at schema.TypeRef
		if obj, err := f.Empty(f.hub.GroupVersion()); err == nil {
			if v, err := f.typeConverter(f.hub).ObjectToTyped(obj); err == nil {
				b.schema, at = v.Schema(), v.TypeRef()
			}
		}
		f.templates.root = b.build(f.kind.Go.Elem(), at)
	})
	return f.templates.root
}

// walkBuilder makes walkTypes. Without a schema it has to take any scalar of
// an item for a key.
type walkBuilder struct {
	schema *schema.Schema
	known  map[walkPlace]*walkType
	lists  []keyedList
}

// walkPlace is a Go type at a named type of the schema, or at none.
type walkPlace struct {
	t     reflect.Type
	name  string
	owned schema.ElementRelationship
}

// keyedList is a list whose keys are found when its items' type is complete.
type keyedList struct {
	list  *walkType
	names []string
}

// build makes the type of whole objects.
func (b *walkBuilder) build(t reflect.Type, at schema.TypeRef) *walkType {
	root := *b.typeOf(t, at)
	root.fields = slices.Clone(root.fields)
	for i := range root.fields {
		if f := &root.fields[i]; t.FieldByIndex(f.index).Type == objectMeta {
			meta := *f.walkType
			meta.fields = slices.DeleteFunc(slices.Clone(meta.fields), func(m walkField) bool { return untracked[objectMeta.FieldByIndex(m.index).Name] })
			f.walkType = &meta
		}
	}
	for _, l := range b.lists {
		fields := l.list.elem.fields
		l.list.keys = make([]bool, len(fields))
		for i, f := range fields {
			if l.list.list == listUnknown {
				l.list.keys[i] = f.scalar()
			} else {
				l.list.keys[i] = slices.Contains(l.names, f.name)
			}
		}
	}
	return &root
}

// scalar reports that JSON may show a plain scalar.
func (t *walkType) scalar() bool {
	return t.as == asScalar || t.as == asPointer && t.elem.as == asScalar
}

func (b *walkBuilder) typeOf(t reflect.Type, at schema.TypeRef) *walkType {
	var atom schema.Atom
	inline := at.NamedType == nil && at.Inlined != (schema.Atom{})
	if b.schema != nil {
		atom, _ = b.schema.Resolve(at)
	}
	if inline {
		return b.fill(&walkType{}, t, at, atom)
	}
	var place walkPlace
	if place.t = t; at.NamedType != nil {
		place.name = *at.NamedType
	}
	if at.ElementRelationship != nil {
		place.owned = *at.ElementRelationship
	}
	if s := b.known[place]; s != nil {
		return s
	}
	s := &walkType{}
	b.known[place] = s // before its parts, which may hold it again
	return b.fill(s, t, at, atom)
}

func (b *walkBuilder) fill(s *walkType, t reflect.Type, at schema.TypeRef, atom schema.Atom) *walkType {
	switch {
	case scalarTypes[t]:
		s.as = asText
		return s
	case t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(marshaler):
		s.as = asOpaque
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		s.as, s.elem = asPointer, b.typeOf(t.Elem(), at)
	case reflect.Struct:
		s.as = asStruct
		s.fields = b.fields(t, atom.Map, nil)
	case reflect.Slice:
		b.fillList(s, t, atom.List)
	case reflect.Map:
		s.as = asMap
		if t.Key().Kind() != reflect.String {
			s.as = asOpaque
			break
		}
		var of schema.TypeRef
		if atom.Map != nil {
			of = atom.Map.ElementType
		}
		s.elem = b.typeOf(t.Elem(), of)
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.as = asScalar
	default:
		s.as = asOpaque
	}
	return s
}

func (b *walkBuilder) fillList(s *walkType, t reflect.Type, in *schema.List) {
	s.as = asList
	var of schema.TypeRef
	var names []string
	if in != nil {
		of, names = in.ElementType, in.Keys
	}
	s.elem = b.typeOf(t.Elem(), of)
	item := t.Elem().Kind()
	switch {
	case item == reflect.Uint8:
		s.as = asBytes
	case item == reflect.Pointer:
		s.as = asOpaque
	case in == nil:
		s.list = listUnknown
	case in.ElementRelationship != schema.Associative:
		s.list = listAtomic
	case len(in.Keys) == 0:
		s.list = listSet
	case item == reflect.Struct:
		s.list = listMap
	}
	if item == reflect.Struct && (s.list == listMap || s.list == listUnknown) {
		b.lists = append(b.lists, keyedList{s, names})
	}
}

// fields are those of a struct at a map of the schema (nil if there is none);
// path leads to it from the struct that they belong to in JSON.
func (b *walkBuilder) fields(t reflect.Type, in *schema.Map, path []int) (out []walkField) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(path), i)
		switch {
		case !f.IsExported() || name == "-" || f.Type == typeMeta:
			continue
		case f.Type.Kind() == reflect.Struct && name == "" && (strings.Contains(options, "inline") || f.Anonymous):
			out = append(out, b.fields(f.Type, in, index)...)
			continue
		}
		var at schema.TypeRef
		if in != nil {
			if at = in.ElementType; len(in.Fields) > 0 {
				sf, _ := in.FindField(name)
				at = sf.Type
			}
		}
		out = append(out, walkField{index: index, name: name, walkType: b.typeOf(f.Type, at)})
	}
	return out
}
