package apiextensions

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/tableconvertor"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/pintle-io/pintle/kernel/resource"
)

// columns are upstream's, which take internal objects: scope and served
// versions, and with -o wide group, kind, short names and whether the kind is
// established.
func columns(list runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
	items := []runtime.Object{list}
	if meta.IsListType(list) {
		var err error
		if items, err = meta.ExtractList(list); err != nil {
			return nil, fmt.Errorf("columns of %T: %w", list, err)
		}
	}
	in := &apiextensions.CustomResourceDefinitionList{Items: make([]apiextensions.CustomResourceDefinition, len(items))}
	for i, item := range items {
		if err := legacyscheme.Scheme.Convert(item, &in.Items[i], nil); err != nil {
			return nil, fmt.Errorf("columns of %T: %w", item, err)
		}
	}
	t, err := tableconvertor.New().ConvertToTable(context.Background(), in, &o)
	if err != nil {
		return nil, fmt.Errorf("columns of %T: %w", list, err)
	}
	t.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("Table"))
	for i := range t.Rows {
		t.Rows[i].Object = runtime.RawExtension{Object: items[i]}
	}
	return t, resource.FillRows(t, o.IncludeObject)
}
