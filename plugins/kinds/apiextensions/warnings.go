package apiextensions

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	customvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// warnings are about parts of schemas that are taken and mean less than they seem to: formats
// that nobody checks, and sets of lists and objects. old, which may be nil, has been
// warned of already.
func warnings(_ context.Context, crd, old *apiextensions.CustomResourceDefinition) (out []string) {
	formats, sets := doubtful(&crd.Spec)
	if old != nil {
		hadFormats, hadSets := doubtful(&old.Spec)
		formats = slices.DeleteFunc(formats, func(f string) bool { return slices.Contains(hadFormats, f) })
		sets = slices.DeleteFunc(sets, func(t string) bool { return slices.Contains(hadSets, t) })
	}
	for _, f := range formats {
		out = append(out, fmt.Sprintf("unrecognized format %q", f))
	}
	for _, t := range sets {
		out = append(out, fmt.Sprintf("x-kubernetes-list-type: set for items of type %q is not supported by server-side apply or CEL validation rules", t))
	}
	return out
}

// doubtful collects formats that are not known, and types of items of sets that are
// not scalars, sorted.
func doubtful(s *apiextensions.CustomResourceDefinitionSpec) (formats, sets []string) {
	look := func(s *apiextensions.JSONSchemaProps) bool {
		if s.Format != "" {
			formats = append(formats, customvalidation.GetUnrecognizedFormats(
				&spec.Schema{SchemaProps: spec.SchemaProps{Format: s.Format, Type: []string{s.Type}}}, environment.DefaultCompatibilityVersion())...)
		}
		if s.XListType != nil && *s.XListType == "set" && s.Items != nil && s.Items.Schema != nil {
			if t := s.Items.Schema.Type; (t == "object" || t == "array") && !slices.Contains(sets, t) {
				sets = append(sets, t)
			}
		}
		return false
	}
	if s.Validation != nil && s.Validation.OpenAPIV3Schema != nil {
		validation.SchemaHas(s.Validation.OpenAPIV3Schema, look)
	}
	for i := range s.Versions {
		if v := s.Versions[i].Schema; v != nil && v.OpenAPIV3Schema != nil {
			validation.SchemaHas(v.OpenAPIV3Schema, look)
		}
	}
	slices.Sort(sets)
	return formats, sets
}
