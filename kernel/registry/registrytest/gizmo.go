package registrytest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Gizmos are objects of a kind that is no Go type and has no schema: it comes and
// goes while a test runs.
var Gizmos = schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "gizmos"}

// DefineGizmos makes their definition, as changed, for [resource.Producer.Apply].
func DefineGizmos(change ...func(*resource.Definition)) []*resource.Definition {
	d := &resource.Definition{Group: Gizmos.Group, Resource: Gizmos.Resource, Singular: "gizmo", Kind: "Gizmo", ListKind: "GizmoList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/shop.example/gizmos", Types: anything{}, JSONStored: true,
		Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}}
	for _, f := range change {
		f(d)
	}
	return []*resource.Definition{d}
}

// Gizmo makes one.
func Gizmo(namespace, name string, owners ...metav1.OwnerReference) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(Gizmos.GroupVersion().WithKind("Gizmo"))
	u.SetNamespace(namespace)
	u.SetName(name)
	if len(owners) > 0 {
		u.SetOwnerReferences(owners)
	}
	return u
}

// anything are the Types of a kind without a schema.
type anything struct{ resource.Types }

func (anything) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (anything) Recognizes(schema.GroupVersionKind) bool { return true }
func (anything) Default(runtime.Object)                  {}

func (anything) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	return []schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()}, false, nil
}
