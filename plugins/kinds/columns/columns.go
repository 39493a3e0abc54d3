// Package columns prints lists as tables, with upstream's printers.
package columns

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"

	"github.com/pintle-io/pintle/kernel/resource"
)

// New prints with upstream's printers, which take internal objects.
func New(scheme *runtime.Scheme) func(runtime.Object, metav1.TableOptions) (*metav1.Table, error) {
	generator := printers.NewTableGenerator().With(printersinternal.AddHandlers)
	return func(list runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
		items, err := itemsOf(list)
		if err != nil {
			return nil, err
		}
		t, err := generate(scheme, generator, list, o)
		if err != nil || len(t.Rows) != len(items) {
			t = plainTable(items, o)
		}
		t.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("Table"))
		for i := range t.Rows {
			t.Rows[i].Object = runtime.RawExtension{Object: items[i]}
		}
		return t, resource.FillRows(t, o.IncludeObject)
	}
}

// generate fails for a kind that upstream does not know or has no printer for.
func generate(scheme *runtime.Scheme, g printers.TableGenerator, list runtime.Object, o metav1.TableOptions) (*metav1.Table, error) {
	kinds, _, err := scheme.ObjectKinds(list)
	if err != nil {
		return nil, err
	}
	in, err := scheme.UnsafeConvertToVersion(list, schema.GroupVersion{Group: kinds[0].Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, err
	}
	return g.GenerateTable(in, printers.GenerateOptions{Wide: true, NoHeaders: o.NoHeaders})
}

func itemsOf(list runtime.Object) ([]runtime.Object, error) {
	if !meta.IsListType(list) {
		return []runtime.Object{list}, nil
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("columns of %T: %w", list, err)
	}
	return items, nil
}

// plainTable shows what every object has. As upstream's, it has no rows at all, null,
// where there are no objects.
func plainTable(items []runtime.Object, o metav1.TableOptions) *metav1.Table {
	t := &metav1.Table{}
	if !o.NoHeaders {
		t.ColumnDefinitions = []metav1.TableColumnDefinition{
			{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]},
			{Name: "Created At", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]},
		}
	}
	for _, obj := range items {
		row := metav1.TableRow{Cells: []any{"", ""}}
		if m, err := meta.Accessor(obj); err == nil {
			row.Cells = []any{m.GetName(), m.GetCreationTimestamp().UTC().Format(time.RFC3339)}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
