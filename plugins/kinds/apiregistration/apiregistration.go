// Package apiregistration defines the kinds of the API group
// apiregistration.k8s.io. Who serves what they register is
// kernel/apiserver/aggregation's.
package apiregistration

import (
	"context"
	"fmt"

	metatable "k8s.io/apimachinery/pkg/api/meta/table"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Install adds the types of the group to a scheme. It must be called once.
func Install(s *runtime.Scheme) { install.Install(s) }

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	d := kind.Define(kind.Names{
		Group: apiregistration.GroupName, Kind: "APIService", Resource: "apiservices", NeedsImplementer: true,
		Categories: kind.Extensions, Cluster: true, Prefix: apiregistration.GroupName + "/apiservices",
	}, kind.Rule[apiregistrationv1.APIService, apiregistration.APIService]{
		Status:      kind.HasStatusOnly,
		Conditional: true,
		Internal: func(_ context.Context, s, old *apiregistration.APIService) {
			if old == nil && s.Spec.Service == nil { // what this server answers is there at once
				apiregistration.SetAPIServiceCondition(s, apiregistration.NewLocalAvailableAPIServiceCondition())
			}
		},
		Validate: func(s *apiregistration.APIService) field.ErrorList {
			return validation.ValidateAPIService(context.Background(), s)
		},
		ValidateUpdate: func(s, old *apiregistration.APIService) field.ErrorList {
			return validation.ValidateAPIServiceUpdate(context.Background(), s, old)
		},
		ValidateStatus: func(s, old *apiregistration.APIService) field.ErrorList {
			return validation.ValidateAPIServiceStatusUpdate(context.Background(), s, old)
		},
	})
	d.Columns = columns
	return []*resource.Definition{d}
}

// columns are upstream's.
func columns(list runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
	t := &metav1.Table{TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: metav1.SchemeGroupVersion.String()}}
	if !o.NoHeaders {
		docs := metav1.ObjectMeta{}.SwaggerDoc()
		t.ColumnDefinitions = []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: docs["name"]},
			{Name: "Service", Type: "string", Description: "The reference to the service that hosts this API endpoint."},
			{Name: "Available", Type: "string", Description: "Whether this service is available."},
			{Name: "Age", Type: "string", Description: docs["creationTimestamp"]},
		}
	}
	var err error
	t.Rows, err = metatable.MetaToTableRow(list, func(obj runtime.Object, _ metav1.Object, name, age string) ([]any, error) {
		s := kind.Hub[apiregistrationv1.APIService](obj)
		service := "Local"
		if r := s.Spec.Service; r != nil {
			service = r.Namespace + "/" + r.Name
		}
		return []any{name, service, available(s), age}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("columns of %T: %w", list, err)
	}
	return t, resource.FillRows(t, o.IncludeObject)
}

func available(s *apiregistrationv1.APIService) string {
	for _, c := range s.Status.Conditions {
		if c.Type != apiregistrationv1.Available {
			continue
		}
		if c.Status != apiregistrationv1.ConditionTrue && c.Reason != "" {
			return fmt.Sprintf("%s (%s)", c.Status, c.Reason)
		}
		return string(c.Status)
	}
	return string(apiregistrationv1.ConditionUnknown)
}
