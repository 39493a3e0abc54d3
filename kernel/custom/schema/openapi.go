package schema

import (
	"maps"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	openapiv2 "k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2"
	"k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// What the schema of an object in an object says of its type.
const (
	embeddedAPIVersion = "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
	embeddedKind       = "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"

	extensionPreserve = "x-kubernetes-preserve-unknown-fields"
	extensionEmbedded = "x-kubernetes-embedded-resource"
	extensionKind     = "x-kubernetes-group-version-kind"
)

// OpenAPI describes the objects for OpenAPI v3, or for v2, which knows less. Type and
// metadata of the object itself are left out. What it returns is the caller's.
func (s *Schema) OpenAPI(v2 bool) *spec.Schema {
	open := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
	if out := s.openAPI(v2, open); out != nil {
		return out
	}
	return &open
}

// openAPI has meta for the metadata of objects in the object. It is nil when these
// may be anything.
func (s *Schema) openAPI(v2 bool, meta spec.Schema) *spec.Schema {
	// Clients of v2 take what has fields at all for closed.
	if s.root == nil || v2 && (s.preserve || s.root.XPreserveUnknownFields) {
		return nil
	}
	root := s.root
	if v2 {
		root = openapiv2.ToStructuralOpenAPIV2(root)
	}
	out := root.ToKubeOpenAPI()
	describeEmbedded(out, v2, meta)
	return out
}

// describeEmbedded adds type and metadata to the objects that a schema says are in
// the object.
func describeEmbedded(s *spec.Schema, v2 bool, meta spec.Schema) {
	if s == nil {
		return
	}
	for name, p := range s.Properties {
		describeEmbedded(&p, v2, meta)
		s.Properties[name] = p
	}
	if s.Items != nil {
		describeEmbedded(s.Items.Schema, v2, meta)
	}
	if s.AdditionalProperties != nil {
		describeEmbedded(s.AdditionalProperties.Schema, v2, meta)
	}
	if open, _ := s.Extensions.GetBool(extensionPreserve); open && v2 {
		return
	}
	if embedded, _ := s.Extensions.GetBool(extensionEmbedded); !embedded {
		return
	}
	s.SetProperty("apiVersion", *spec.StringProperty().WithDescription(embeddedAPIVersion))
	s.SetProperty("kind", *spec.StringProperty().WithDescription(embeddedKind))
	s.SetProperty("metadata", meta)
	for _, name := range []string{"kind", "apiVersion"} {
		if !slices.Contains(s.Required, name) {
			s.Required = append(s.Required, name)
		}
	}
}

// refPrefix is where the type converter looks for what a schema refers to.
const refPrefix = "#/components/schemas/"

var objectMeta = util.GetCanonicalTypeName(&metav1.ObjectMeta{})

// metaModels are those of ObjectMeta and of what it refers to.
var metaModels = sync.OnceValue(func() map[string]*spec.Schema {
	all := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref { return spec.MustCreateRef(refPrefix + common.EscapeJsonPointer(name)) })
	out := map[string]*spec.Schema{}
	var take func(name string)
	take = func(name string) {
		if out[name] != nil {
			return
		}
		d := all[name]
		out[name] = &d.Schema
		for _, dep := range d.Dependencies {
			take(dep)
		}
	}
	take(objectMeta)
	return out
})

// TypeConverter serves server-side apply of a definition's objects, in all of its
// versions.
//
// # Errors
// Server-side apply cannot take the schema, which validation of definitions lets
// pass.
func TypeConverter(crd *apiextensionsv1.CustomResourceDefinition, versions map[string]*Schema) (managedfields.TypeConverter, error) {
	models := maps.Clone(metaModels())
	meta := *spec.RefSchema(refPrefix + common.EscapeJsonPointer(objectMeta))
	for _, s := range versions {
		m := s.openAPI(false, meta)
		if m == nil {
			m = &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
			if s.preserve {
				m.AddExtension(extensionPreserve, true)
			}
		}
		m.SetProperty("apiVersion", *spec.StringProperty())
		m.SetProperty("kind", *spec.StringProperty())
		m.SetProperty("metadata", meta)
		m.AddExtension(extensionKind, []any{map[string]any{"group": s.Kind.Group, "version": s.Kind.Version, "kind": s.Kind.Kind}})
		models[s.Kind.GroupVersion().String()+"."+s.Kind.Kind] = m
	}
	return managedfields.NewTypeConverter(models, crd.Spec.PreserveUnknownFields)
}
