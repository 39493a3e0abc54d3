package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// converter serves server-side apply: this group's kinds by the shape of the
// object itself (maps merge, lists are replaced as a whole), others by theirs.
type converter struct{ others, own managedfields.TypeConverter }

func (c converter) pick(obj runtime.Object) managedfields.TypeConverter {
	if c.others == nil || obj.GetObjectKind().GroupVersionKind().Group == Group {
		return c.own
	}
	switch obj.(type) {
	case *Plugin, *PluginModule:
		return c.own
	}
	return c.others
}

func (c converter) ObjectToTyped(obj runtime.Object, o ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return c.pick(obj).ObjectToTyped(obj, o...)
}

// TypedToObject is asked of values of either origin; both converters answer
// with the same unstructured form.
func (c converter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return c.own.TypedToObject(v)
}

var _ managedfields.TypeConverter = converter{}
