package openapi

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/resource"
)

// model stands for a kind that is no Go type, or is described otherwise. Its
// value is the model's name, in upstream's form: "group/version.Kind".
type model string

// OpenAPICanonicalTypeName implements util.OpenAPICanonicalTypeNamer.
func (m model) OpenAPICanonicalTypeName() string { return string(m) }

func modelOf(gvk schema.GroupVersionKind) model {
	return model(gvk.GroupVersion().String() + "." + gvk.Kind)
}

// custom tells that a definition's models are not the table's.
func custom(d *resource.Definition) bool { return d.Types != nil || d.Schema != nil }

func listKind(d *resource.Definition) string {
	if d.ListKind == "" {
		return d.Kind + "List"
	}
	return d.ListKind
}

// with adds the models of a group version's own kinds, and their names, to those
// of the table, which are not changed.
func (b *builder) with(gv *endpoint.GroupVersion, models map[string]common.OpenAPIDefinition, names modelNames, ref common.ReferenceCallback, v2 bool) (map[string]common.OpenAPIDefinition, modelNames) {
	if !slices.ContainsFunc(gv.Definitions, custom) {
		return models, names
	}
	models, names = maps.Clone(models), maps.Clone(names)
	for _, d := range gv.Definitions {
		if !custom(d) {
			continue
		}
		one, list := gv.WithKind(d.Kind), gv.WithKind(listKind(d))
		names[string(modelOf(one))] = []schema.GroupVersionKind{one}
		names[string(modelOf(list))] = []schema.GroupVersionKind{list}
		models[string(modelOf(one))] = objectModel(d, gv.Version, ref, v2)
		models[string(modelOf(list))] = listModel(one, list, ref)
	}
	return models, names
}

var (
	objectMeta = canonical(&metav1.ObjectMeta{})
	listMeta   = canonical(&metav1.ListMeta{})
)

// objectModel is a kind's schema with what every object has.
func objectModel(d *resource.Definition, version string, ref common.ReferenceCallback, v2 bool) common.OpenAPIDefinition {
	s := spec.Schema{
		SchemaProps:      spec.SchemaProps{Type: []string{"object"}},
		VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-preserve-unknown-fields": true}},
	}
	if d.Schema != nil {
		if own := d.Schema(version, v2); own != nil {
			s = *own
			s.Properties = maps.Clone(own.Properties)
			if v2 && len(s.Properties) == 0 {
				// Clients of v2 take what has fields for closed, and this is open.
				return common.OpenAPIDefinition{Schema: s}
			}
		}
	}
	addTypeMeta(&s)
	s.Properties["metadata"] = described("Standard object's metadata.", ref(objectMeta))
	return common.OpenAPIDefinition{Schema: s, Dependencies: []string{objectMeta}}
}

func listModel(one, list schema.GroupVersionKind, ref common.ReferenceCallback) common.OpenAPIDefinition {
	s := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Description: list.Kind + " is a list of " + one.Kind, Required: []string{"items"}}}
	addTypeMeta(&s)
	s.Properties["metadata"] = described("Standard list metadata.", ref(listMeta))
	s.Properties["items"] = spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"array"}, Description: "List of " + one.Kind + ".",
		Items: &spec.SchemaOrArray{Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(string(modelOf(one)))}}}}}
	return common.OpenAPIDefinition{Schema: s, Dependencies: []string{listMeta, string(modelOf(one))}}
}

func addTypeMeta(s *spec.Schema) {
	if s.Properties == nil {
		s.Properties = map[string]spec.Schema{}
	}
	docs := metav1.TypeMeta{}.SwaggerDoc()
	for _, field := range []string{"apiVersion", "kind"} {
		s.Properties[field] = spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"string"}, Description: docs[field]}}
	}
}

func described(text string, to spec.Ref) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Description: text, AllOf: []spec.Schema{{SchemaProps: spec.SchemaProps{Ref: to}}}}}
}
