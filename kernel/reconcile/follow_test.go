package reconcile

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
)

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

var gizmos = schema.GroupVersionResource{Group: "shop.example", Version: "v1", Resource: "gizmos"}

func gizmoDefinition(change ...func(*resource.Definition)) []*resource.Definition {
	d := &resource.Definition{Group: gizmos.Group, Resource: gizmos.Resource, Singular: "gizmo", Kind: "Gizmo", ListKind: "GizmoList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/shop.example/gizmos", Types: anything{}, JSONStored: true,
		Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}}
	for _, f := range change {
		f(d)
	}
	return []*resource.Definition{d}
}

func (k *kit) gizmo(t *testing.T, name string) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gizmos.GroupVersion().WithKind("Gizmo"))
	u.SetNamespace(metav1.NamespaceDefault)
	u.SetName(name)
	if _, err := k.Create(t.Context(), in(gizmos, ""), u, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestFollowsKinds: controllers that were loaded before a kind was defined, one
// by its name and one of all resources, are told of its objects when it comes,
// go by what it says when it changes, and are told that its objects are gone
// when it goes. None of it is told twice.
func TestFollowsKinds(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	named, all := newRecorder(), newRecorder()
	named.maps = []wire.Watch{{Resource: "shop.example/v1/gizmos", Map: uint8(controller.MapSelf)}}
	all.maps = []wire.Watch{{Resource: wire.AllResources, Map: uint8(controller.MapSelf), Present: []string{"collected"}}}
	for name, r := range map[string]*recorder{"named": named, "all": all} {
		if err := m.Set(name, r.controller(1)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, m)
	k.config(t, "other")
	told := func(what, name string, byName, byAll int) {
		t.Helper()
		registrytest.Eventually(t, what, func() bool { return named.times(name) >= byName && all.times(name) >= byAll })
		if a, b := named.times(name), all.times(name); a != byName || b != byAll {
			t.Fatalf("%s: told of %s %d and %d times, want %d and %d", what, name, a, b, byName, byAll)
		}
	}
	told("a controller of all resources works", "other", 0, 1)

	shop := k.Catalog.Producer("shop")
	for round := range 2 {
		if err := shop.Apply(gizmoDefinition()); err != nil {
			t.Fatal(err)
		}
		before := 0
		if round == 0 {
			k.gizmo(t, "a")
		} else {
			before = 2 // what is stored outlives its definition, and comes again with it
		}
		told("a kind that comes", "a", before+1, before+1)

		// Another definition of the same: what is known is not told again, but
		// garbage collection has no part in it any more.
		if err := shop.Apply(gizmoDefinition(func(d *resource.Definition) { d.Strategy.NotCollected = true })); err != nil {
			t.Fatal(err)
		}
		late := []string{"b", "c"}[round]
		told("a kind that leaves those of a watch", "a", before+1, before+2)
		k.gizmo(t, late)
		told("a kind that changes", late, 1, 0)
		told("what was known", "a", before+1, before+2)

		if err := shop.Apply(nil, gizmos.GroupResource()); err != nil {
			t.Fatal(err)
		}
		told("a kind that goes", "a", before+2, before+2)
	}
}
