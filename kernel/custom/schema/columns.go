package schema

import (
	"context"
	"fmt"
	"sync"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/util/jsonpath"
)

// age is what objects without columns of their own show beside their names.
var age = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "Age", Type: "date", Description: swaggerAge, JSONPath: ".metadata.creationTimestamp"}}

var swaggerAge = metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]

// scaleTable prints the Scale of whatever it is of.
var scaleTable = sync.OnceValue(func() rest.TableConvertor {
	return newTable([]apiextensionsv1.CustomResourceColumnDefinition{
		{Name: "Desired", Type: "integer", Description: "Number of desired replicas", JSONPath: ".spec.replicas"},
		{Name: "Available", Type: "integer", Description: "Number of actual replicas", JSONPath: ".status.replicas"},
		age[0],
	})
})

// newTable prints columns; what cannot be printed is left to those that every
// object has, as upstream does.
func newTable(columns []apiextensionsv1.CustomResourceColumnDefinition) rest.TableConvertor {
	if len(columns) == 0 {
		columns = age
	}
	if t, err := tableconvertor.New(columns); err == nil {
		return t
	}
	t, err := tableconvertor.New(nil)
	if err != nil {
		return nil
	}
	return t
}

// Columns prints an object of this version, or a list of such.
func (s *Schema) Columns(obj runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
	t := s.table()
	switch obj.(type) {
	case *unstructured.Unstructured, *unstructured.UnstructuredList:
	case *autoscalingv1.Scale:
		t = scaleTable()
	default:
		return nil, nil
	}
	if t == nil {
		return nil, nil
	}
	return t.ConvertToTable(context.Background(), obj, &o)
}

// selectable is a field that field selectors may name.
type selectable struct {
	name string
	path *jsonpath.JSONPath
}

func parseSelectable(of []apiextensionsv1.SelectableField) ([]selectable, error) {
	var out []selectable
	for _, f := range of {
		p := jsonpath.New(f.JSONPath).AllowMissingKeys(true)
		if err := p.Parse("{" + f.JSONPath + "}"); err != nil {
			return nil, fmt.Errorf("selectable field %s: %w", f.JSONPath, err)
		}
		out = append(out, selectable{f.JSONPath[min(1, len(f.JSONPath)):], p})
	}
	return out, nil
}

// Selectable tells whether field selectors may name a field, without a dot before
// it, beside name and namespace.
func (s *Schema) Selectable(name string) bool {
	known, err := s.selectable()
	if err != nil {
		return false
	}
	for _, f := range known {
		if f.name == name {
			return true
		}
	}
	return false
}

// Fields are the values of an object's selectable fields; one that it lacks is "".
func (s *Schema) Fields(u *unstructured.Unstructured) fields.Set {
	known, err := s.selectable()
	if err != nil {
		return nil
	}
	out := make(fields.Set, len(known))
	for _, f := range known {
		out[f.name] = ""
		found, err := f.path.FindResults(u.Object)
		if err == nil && len(found) == 1 && len(found[0]) == 1 && found[0][0].Interface() != nil {
			out[f.name] = fmt.Sprint(found[0][0].Interface())
		}
	}
	return out
}
