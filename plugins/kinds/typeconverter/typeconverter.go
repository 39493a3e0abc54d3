// Package typeconverter gives server-side apply the schemas of kinds.
package typeconverter

import (
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// typeConverter serves server-side apply: client-go's kinds by their schemas,
// others by what their objects look like.
type typeConverter struct {
	scheme  *runtime.Scheme
	builtin func() managedfields.TypeConverter // parses the schemas when first asked
	deduced managedfields.TypeConverter
	ours    map[schema.GroupVersion]bool // groups and versions with schemas: client-go's
}

// New makes the converter of the kinds of a scheme. It is safe for concurrent
// use.
func New(scheme *runtime.Scheme) managedfields.TypeConverter {
	c := &typeConverter{
		scheme:  scheme,
		builtin: sync.OnceValue(func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme) }),
		deduced: managedfields.NewDeducedTypeConverter(),
		ours:    map[schema.GroupVersion]bool{},
	}
	for _, gv := range clientscheme.Scheme.PrioritizedVersionsAllGroups() {
		c.ours[gv] = true
	}
	return c
}

func (c *typeConverter) pick(obj runtime.Object) managedfields.TypeConverter {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if _, ok := obj.(*unstructured.Unstructured); !ok && gvk.Empty() {
		if kinds, _, err := c.scheme.ObjectKinds(obj); err == nil {
			gvk = kinds[0]
		}
	}
	if c.ours[gvk.GroupVersion()] {
		return c.builtin()
	}
	return c.deduced
}

// ObjectToTyped implements managedfields.TypeConverter.
func (c *typeConverter) ObjectToTyped(obj runtime.Object, o ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return c.pick(obj).ObjectToTyped(obj, o...)
}

// TypedToObject implements managedfields.TypeConverter.
func (c *typeConverter) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return c.builtin().TypedToObject(v)
}

var _ managedfields.TypeConverter = (*typeConverter)(nil)
