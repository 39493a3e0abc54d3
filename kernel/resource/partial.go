package resource

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PartialMetadata is the object's metadata alone, as meta.k8s.io/v1
// PartialObjectMetadata. It shares memory with obj: do not modify it.
func PartialMetadata(obj runtime.Object) (*metav1.PartialObjectMetadata, error) {
	acc, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("%T: %w", obj, err)
	}
	out := meta.AsPartialObjectMetadata(acc)
	out.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("PartialObjectMetadata"))
	return out, nil
}

// FillRows gives the rows of a table their objects as the client asked for: a
// row's metadata by default, the whole object, or nothing. Rows come with the
// whole object (of any version) from Columns.
func FillRows(t *metav1.Table, include metav1.IncludeObjectPolicy) error {
	for i := range t.Rows {
		row := &t.Rows[i]
		switch include {
		case metav1.IncludeNone:
			row.Object.Object = nil
		case metav1.IncludeObject:
		default:
			if row.Object.Object == nil {
				continue
			}
			m, err := PartialMetadata(row.Object.Object)
			if err != nil {
				return err
			}
			row.Object.Object = m
		}
	}
	return nil
}
