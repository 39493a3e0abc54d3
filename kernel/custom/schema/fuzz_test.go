package schema_test

import (
	"os"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/custom/schema"
)

// FuzzCompile compiles arbitrary schemas and asks about arbitrary objects, once with what
// validation of definitions lets pass and once with all of it: nothing panics.
func FuzzCompile(f *testing.F) {
	for _, file := range []string{"crontabs", "addresses"} {
		data, err := os.ReadFile("../testdata/" + file + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			f.Fatal(err)
		}
		text, err := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, `{"apiVersion":"x.example/v1","kind":"Thing","metadata":{"name":"a"},"spec":{"cronSpec":"* * * * *","tags":["a","a"],"template":{"kind":"Pod"},"port":"a"}}`)
	}
	f.Add([]byte{}, `{"metadata":1}`)
	f.Add([]byte{}, `{"apiVersion":"x.example/v1","kind":"Thing","metadata":{"labels":{"a":null}},"spec":null}`)
	f.Fuzz(func(t *testing.T, props []byte, object string) {
		var p apiextensionsv1.JSONSchemaProps
		u := &unstructured.Unstructured{}
		if len(props) > 4<<10 || len(object) > 4<<10 || p.Unmarshal(props) != nil || u.UnmarshalJSON([]byte(object)) != nil {
			return
		}
		crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "things.x.example"}, Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "x.example", Scope: apiextensionsv1.NamespaceScoped, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Singular: "thing", Kind: "Thing", ListKind: "ThingList"},
			Conversion: &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter},
			Versions:   []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &p}}}},
			Status: apiextensionsv1.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}}}
		var in apiextensions.CustomResourceDefinition
		if apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, &in, nil) != nil {
			return
		}
		if len(validation.ValidateCustomResourceDefinition(t.Context(), &in)) > 0 {
			return // no server comes to have it
		}
		s, err := schema.Compile(crd, "v1")
		if err != nil {
			t.Fatalf("a valid definition is not compiled: %v", err)
		}
		if _, err := s.Prune(u, false); err != nil {
			if _, err = s.Prune(u, true); err != nil {
				return
			}
		}
		s.Default(u)
		s.Validate(t.Context(), u)
		s.ValidateUpdate(t.Context(), u, u.DeepCopy())
		s.ValidateStatus(t.Context(), u, u.DeepCopy())
		s.OpenAPI(true)
		s.OpenAPI(false)
		if _, err := s.Columns(u, metav1.TableOptions{}); err != nil {
			t.Errorf("columns: %v", err)
		}
		if c, err := schema.TypeConverter(crd, map[string]*schema.Schema{"v1": s}); err == nil {
			_, _ = c.ObjectToTyped(u)
		}
	})
}
