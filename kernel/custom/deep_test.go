package custom_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A schema that is nested far deeper than anybody means it is a schema like others.
func TestDeepSchema(t *testing.T) {
	t.Parallel()
	s := start(t)
	crd := definition(t, "crontabs")
	p := apiextensionsv1.JSONSchemaProps{Type: "string"}
	for range 2500 {
		p = apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"a": p}}
	}
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["deep"] = p
	s.create(crd)
	if _, err := s.of(crd, "v1", "default").Create(t.Context(), object(t, tab), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}
