package registry_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured/unstructuredscheme"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

var gizmosR = schema.GroupVersionResource{Group: "free.example", Version: "v1", Resource: "gizmos"}

// free are the types of a kind that comes and goes: one version, nothing checked.
type free struct{ runtime.ObjectTyper }

func (free) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (free) Recognizes(gvk schema.GroupVersionKind) bool { return gvk.Group == gizmosR.Group }
func (free) Default(runtime.Object)                      {}
func (free) Convert(_, _, _ any) error                   { return nil }

func (free) ConvertToVersion(obj runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return obj.DeepCopyObject(), nil
}

func (free) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// going is a registry with a kind that is removed at a certain stage of a request.
type going struct {
	*registrytest.Registry
	store *countingStore
	mu    sync.Mutex
	stage string // "": it stays; guarded by mu
}

// at removes the kind if this is the stage at which it goes.
func (g *going) at(t *testing.T, stage string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stage != stage {
		return
	}
	g.stage = ""
	if err := g.Catalog.Producer("test").Apply(nil, gizmosR.GroupResource()); err != nil {
		t.Error(err)
	}
}

func startGoing(t *testing.T) *going {
	t.Helper()
	g := &going{store: &countingStore{Store: memory.New()}}
	hook := func(stage string) func(context.Context, *admission.Attributes) error {
		return func(context.Context, *admission.Attributes) error { g.at(t, stage); return nil }
	}
	chain := &admission.Chain{}
	chain.Set("goes", 0, admission.Rule{Mutate: admission.MutatorFunc(hook("mutate")), Validate: admission.ValidatorFunc(hook("admit"))})
	g.Registry = registrytest.Start(t, registrytest.Options{Table: newTable(t), Store: g.store, Admission: chain})
	d := &resource.Definition{Group: gizmosR.Group, Resource: "gizmos", Singular: "gizmo", Kind: "Gizmo", ListKind: "GizmoList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/free.example/gizmos", JSONStored: true,
		Types: free{unstructuredscheme.NewUnstructuredObjectTyper()},
		Strategy: resource.Strategy{
			AllowUnconditionalUpdate: true, AllowCreateOnUpdate: true,
			PrepareForCreate: func(context.Context, runtime.Object) { g.at(t, "prepare") },
			PrepareForUpdate: func(context.Context, runtime.Object, runtime.Object) { g.at(t, "prepare") },
			Validate:         func(context.Context, runtime.Object) field.ErrorList { g.at(t, "validate"); return nil },
			ValidateUpdate:   func(context.Context, runtime.Object, runtime.Object) field.ErrorList { g.at(t, "validate"); return nil },
			Companions: func(context.Context, resource.Reader, runtime.Object, runtime.Object) ([]resource.Companion, error) {
				g.at(t, "companions")
				return nil, nil
			},
		}}
	if err := g.Catalog.Producer("test").Apply([]*resource.Definition{d}); err != nil {
		t.Fatal(err)
	}
	return g
}

func gizmo(name, color string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "free.example/v1", "kind": "Gizmo",
		"metadata": map[string]any{"name": name, "namespace": "default"}, "color": color}}
}

// TestKindGoesDuringRequest: whoever is under way when a kind is removed is told that
// there is none, as whoever comes later, and nothing is written.
func TestKindGoesDuringRequest(t *testing.T) {
	o := registry.WriteOptions{FieldManager: "test", MayCreate: func(context.Context, registry.Target) error { return nil }}
	force := o
	force.Force = true
	there, gone := at(gizmosR, "there"), at(gizmosR, "new")
	batch := func(atomic bool, verb string) func(context.Context, *going) error {
		return func(ctx context.Context, g *going) error {
			items := []registry.BatchItem{{Verb: "create", Target: at(gizmosR, ""), Object: gizmo("new", "red"), Options: o}}
			if verb == "delete" {
				items = []registry.BatchItem{{Verb: "delete", Target: there}}
			}
			results, err := g.Batch(ctx, items, atomic)
			if err != nil {
				return err
			}
			return results[0].Err
		}
	}
	for name, tt := range map[string]struct {
		stages []string
		do     func(ctx context.Context, g *going) error
	}{
		"create": {[]string{"mutate", "admit", "prepare", "validate", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Create(ctx, at(gizmosR, ""), gizmo("new", "red"), o)
			return err
		}},
		"dry run": {[]string{"mutate", "companions"}, func(ctx context.Context, g *going) error {
			dry := o
			dry.DryRun = true
			_, err := g.Create(ctx, at(gizmosR, ""), gizmo("new", "red"), dry)
			return err
		}},
		"update": {[]string{"mutate", "admit", "prepare", "validate", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Update(ctx, there, gizmo("there", "red"), o)
			return err
		}},
		"update of what is so": {[]string{"mutate", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Update(ctx, there, gizmo("there", "blue"), o)
			return err
		}},
		"create by update": {[]string{"mutate", "prepare", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Update(ctx, gone, gizmo("new", "red"), o)
			return err
		}},
		"patch": {[]string{"mutate", "admit", "prepare", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Patch(ctx, there, types.MergePatchType, []byte(`{"color":"red"}`), o)
			return err
		}},
		"apply": {[]string{"mutate", "admit", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Patch(ctx, there, types.ApplyPatchType, []byte(`{"apiVersion":"free.example/v1","kind":"Gizmo","metadata":{"name":"there"},"color":"red"}`), force)
			return err
		}},
		"delete": {[]string{"admit", "companions"}, func(ctx context.Context, g *going) error {
			_, err := g.Delete(ctx, there, metav1.DeleteOptions{})
			return err
		}},
		"batch":                     {[]string{"mutate", "companions"}, batch(false, "create")},
		"atomic batch":              {[]string{"mutate", "companions"}, batch(true, "create")},
		"batch of deletions":        {[]string{"admit", "companions"}, batch(false, "delete")},
		"atomic batch of deletions": {[]string{"companions"}, batch(true, "delete")},
		"get": {[]string{"read"}, func(ctx context.Context, g *going) error {
			_, err := g.Get(ctx, there, metav1.GetOptions{})
			return err
		}},
		"list": {[]string{"read"}, func(ctx context.Context, g *going) error {
			_, err := g.List(ctx, at(gizmosR, ""), metav1.ListOptions{})
			return err
		}},
		"watch": {[]string{"read"}, func(ctx context.Context, g *going) error {
			w, err := g.Watch(ctx, at(gizmosR, ""), metav1.ListOptions{})
			if err == nil {
				w.Stop()
			}
			return err
		}},
	} {
		for _, stage := range tt.stages {
			t.Run(name+" "+stage, func(t *testing.T) {
				g := startGoing(t)
				if _, err := g.Create(t.Context(), at(gizmosR, ""), gizmo("there", "blue"), o); err != nil {
					t.Fatal(err)
				}
				_, _, before, err := g.store.Get(t.Context(), "/registry/free.example/gizmos/default/there")
				if err != nil {
					t.Fatal(err)
				}
				g.store.reading(func() { g.at(t, "read") })
				g.mu.Lock()
				g.stage = stage
				g.mu.Unlock()
				wantStatus(t, tt.do(t.Context(), g), http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
				kvs, _, after, err := g.store.List(t.Context(), "/registry/free.example/", store.ListOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if len(kvs) != 1 || after != before {
					t.Errorf("%d objects are stored; the store is at %d, was at %d", len(kvs), after, before)
				}
				if g.Catalog.Lookup(gizmosR.GroupResource()) != nil {
					t.Error("the stage was never reached")
				}
			})
		}
	}
}
