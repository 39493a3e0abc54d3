package resource_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// free is the Types of an unstructured kind: every version is like every
// other, "size" defaults to one, and "junk" is a field that no version has.
type free struct{ resource.Types }

func (free) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

func (free) Recognizes(gvk schema.GroupVersionKind) bool { return gvk.Group == "free.example" }

func (free) Default(obj runtime.Object) {
	if u := obj.(*unstructured.Unstructured); u.Object["size"] == nil {
		u.Object["size"] = int64(1)
	}
}

func (free) ConvertToVersion(obj runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	out := obj.DeepCopyObject()
	gvk, _ := gv.KindForGroupVersionKinds([]schema.GroupVersionKind{obj.GetObjectKind().GroupVersionKind()})
	out.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Group: gvk.Group, Version: gv.(schema.GroupVersion).Version, Kind: obj.GetObjectKind().GroupVersionKind().Kind})
	return out, nil
}

func (free) Prune(obj runtime.Object, _ bool) ([]error, error) {
	u := obj.(*unstructured.Unstructured)
	if u.Object["junk"] == nil {
		return nil, nil
	}
	delete(u.Object, "junk")
	return []error{fmt.Errorf(`unknown field "junk"`)}, nil
}

// makesNothing knows a kind of which it makes no object.
type makesNothing struct{ free }

func (makesNothing) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	return nil, fmt.Errorf("no object of %s", gvk)
}

// everyGroup recognizes second names as well.
type everyGroup struct{ free }

func (everyGroup) Recognizes(schema.GroupVersionKind) bool { return true }

func freeKind(kind string, versions ...string) *resource.Definition {
	plural := strings.ToLower(kind) + "s"
	return &resource.Definition{Group: "free.example", Resource: plural, Kind: kind, ListKind: kind + "List", Namespaced: true, Versions: versions,
		StorageVersion: versions[0], KeyPrefix: "/registry/free.example/" + plural, Types: free{}, JSONStored: true}
}

func gr(resource string) schema.GroupResource {
	return schema.GroupResource{Group: "free.example", Resource: resource}
}

func TestCatalogHandsOutTables(t *testing.T) {
	c := resource.NewCatalog(newTable(t))
	for _, d := range c.Snapshot().Definitions {
		if !c.Fixed(d.GroupResource()) {
			t.Errorf("%s is built in and not fixed", d.GroupResource())
		}
	}
	if c.Fixed(schema.GroupResource{Group: "example.com", Resource: "nothing"}) {
		t.Error("what nobody defined is fixed")
	}
	first := c.Snapshot()
	p := c.Producer("custom")
	a, b := freeKind("Gizmo", "v1"), freeKind("Gadget", "v1")
	if err := p.Apply([]*resource.Definition{a, b}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Superseded():
	default:
		t.Error("the first table does not say that there is another")
	}
	second := c.Snapshot()
	if second.Generation <= first.Generation || second.Lookup(gr("gizmos")) != a || c.LookupKind(schema.GroupKind{Group: "free.example", Kind: "Gadget"}) != b {
		t.Errorf("generation %d after %d, gizmos %v", second.Generation, first.Generation, second.Lookup(gr("gizmos")))
	}
	if first.Lookup(gr("gizmos")) != nil || len(first.Definitions) != 2 {
		t.Error("a table changed after it was handed out")
	}
	next := freeKind("Gizmo", "v2", "v1")
	if err := p.Apply([]*resource.Definition{next}, gr("gadgets"), gr("nonesuch")); err != nil {
		t.Fatal(err)
	}
	third := c.Snapshot()
	if third.Lookup(gr("gizmos")) != next || third.Lookup(gr("gadgets")) != nil || len(third.Definitions) != 3 {
		t.Errorf("after a change and a removal: %v", third.Definitions)
	}
	if second.Lookup(gr("gizmos")) != a || second.Lookup(gr("gadgets")) != b {
		t.Error("a table changed after it was handed out")
	}
	if third.LookupKind(schema.GroupKind{Group: "free.example", Kind: "Gadget"}) != nil {
		t.Error("the kind of a removed resource is still found")
	}
	select {
	case <-third.Superseded():
		t.Error("the newest table says that there is another")
	default:
	}
}

func TestProducersKeepApart(t *testing.T) {
	c := resource.NewCatalog(newTable(t))
	if err := c.Producer("one").Apply([]*resource.Definition{freeKind("Gizmo", "v1")}); err != nil {
		t.Fatal(err)
	}
	alike := freeKind("Gizmo", "v1")
	alike.Resource, alike.KeyPrefix = "others", "/registry/others"
	keys := freeKind("Other", "v1")
	keys.KeyPrefix = "/registry/pods"
	list := freeKind("Listed", "v1")
	list.ListKind = "TwinList"
	second := freeKind("Base", "v1")
	second.Types = everyGroup{}
	second.Group, second.StoredAs = "second.example", &schema.GroupResource{Group: "free.example", Resource: "bases"}
	if err := c.Producer("two").Apply([]*resource.Definition{freeKind("Base", "v1"), second}); err != nil {
		t.Fatal(err)
	}
	untyped := freeKind("Bare", "v1")
	untyped.Types, untyped.JSONStored = nil, false
	unmade := freeKind("Unmade", "v1")
	unmade.Types = makesNothing{}
	with := func(plural string, change func(*resource.Definition)) *resource.Definition {
		d := freeKind("Twin", "v1")
		d.Resource = plural
		change(d)
		return d
	}
	before := c.Snapshot()
	for name, tt := range map[string]struct {
		set    []*resource.Definition
		remove []schema.GroupResource
		want   []string
	}{
		"the other's resource":     {set: []*resource.Definition{freeKind("Gizmo", "v1")}, want: []string{"two", "gizmos.free.example", "one"}},
		"the other's removal":      {remove: []schema.GroupResource{gr("gizmos")}, want: []string{"two", "gizmos.free.example", "one"}},
		"built in":                 {remove: []schema.GroupResource{{Resource: "pods"}}, want: []string{"two", "pods", resource.BuiltIn}},
		"the other's kind":         {set: []*resource.Definition{alike}, want: []string{"two", "others.free.example", "gizmos.free.example", "one"}},
		"the other's keys":         {set: []*resource.Definition{keys}, want: []string{"two", "others.free.example", "pods", resource.BuiltIn}},
		"twice":                    {set: []*resource.Definition{freeKind("Twin", "v1"), freeKind("Twin", "v1")}, want: []string{"two", "twins.free.example"}},
		"a kind of its own":        {set: []*resource.Definition{freeKind("Twin", "v1"), with("others", func(d *resource.Definition) { d.KeyPrefix = "/registry/others" })}, want: []string{"two", "twins.free.example", "others.free.example"}},
		"a list's kind of its own": {set: []*resource.Definition{freeKind("Twin", "v1"), list}, want: []string{"two", "twins.free.example", "listeds.free.example"}},
		"keys of its own":          {set: []*resource.Definition{with("others", func(d *resource.Definition) { d.Kind, d.ListKind = "Other", "OtherList" }), freeKind("Twin", "v1")}, want: []string{"two", "twins.free.example", "others.free.example"}},
		"keys of what it has": {set: []*resource.Definition{with("others", func(d *resource.Definition) {
			d.Kind, d.ListKind, d.KeyPrefix = "Other", "OtherList", "/registry/free.example/bases"
		})}, want: []string{"two", "bases.free.example", "others.free.example"}},
		"stored as what goes": {remove: []schema.GroupResource{gr("bases")}, want: []string{"two", "bases.second.example", "bases.free.example"}},
		"no object":           {set: []*resource.Definition{freeKind("Good", "v1"), unmade}, want: []string{"two", "unmades.free.example", "Unmade"}},
		"no type":             {set: []*resource.Definition{freeKind("Good", "v1"), untyped}, want: []string{"two", "bares.free.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Producer("two").Apply(tt.set, tt.remove...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not name %s", err, w)
				}
			}
			if c.Snapshot() != before {
				t.Error("what was refused was applied in part")
			}
		})
	}
}

// Whoever waits for a newer table ends with the newest, however many there
// were meanwhile.
func TestCatalogUnderLoad(t *testing.T) {
	c := resource.NewCatalog(newTable(t))
	const producers, rounds = 4, 50
	var makers, readers sync.WaitGroup
	stop := make(chan struct{})
	last := make([]int64, 3)
	for i := range last {
		readers.Go(func() {
			for {
				table := c.Snapshot()
				if table.Generation < last[i] {
					t.Errorf("generation %d after %d", table.Generation, last[i])
				}
				last[i] = table.Generation
				select {
				case <-table.Superseded():
				case <-stop:
					last[i] = c.Snapshot().Generation
					return
				}
			}
		})
	}
	for i := range producers {
		makers.Go(func() {
			p := c.Producer(fmt.Sprint("producer ", i))
			for n := range rounds {
				if err := p.Apply([]*resource.Definition{freeKind(fmt.Sprint("Kind", i), fmt.Sprint("v", n+1))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	makers.Wait()
	close(stop)
	readers.Wait()
	for i, g := range last {
		if g != 1+producers*rounds {
			t.Errorf("reader %d ended at generation %d, want %d", i, g, 1+producers*rounds)
		}
	}
}

// A kind of another producer goes through the codec by its own types.
func TestCodecOfUnstructuredKind(t *testing.T) {
	catalog := resource.NewCatalog(newTable(t))
	c := resource.NewCodec(catalog)
	d := freeKind("Gizmo", "v2", "v1")
	if err := catalog.Producer("custom").Apply([]*resource.Definition{d}); err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Group: "free.example", Version: "v1", Kind: "Gizmo"}
	obj, _, strict, err := c.DecodeRequest([]byte(`{"apiVersion":"free.example/v1","kind":"Gizmo","metadata":{"name":"a","namespace":"n"},"junk":1,"color":"red"}`), resource.JSON, &gvk, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(strict) != 1 || !strings.Contains(strict[0].Error(), "junk") {
		t.Errorf("strict errors %v", strict)
	}
	hub, err := c.Convert(obj, schema.GroupVersion{Group: "free.example", Version: "v2"})
	if err != nil {
		t.Fatal(err)
	}
	hub, value, err := c.EncodeCanonical(d, hub, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"apiVersion":"free.example/v2","color":"red","kind":"Gizmo","metadata":{"name":"a","namespace":"n"},"size":1}`; string(value) != want {
		t.Errorf("stored\n%s, want\n%s", value, want)
	}
	read, err := c.Decode(d, value, 7)
	if err != nil {
		t.Fatal(err)
	}
	if rv := read.(*unstructured.Unstructured).GetResourceVersion(); rv != "7" {
		t.Errorf("resourceVersion %s", rv)
	}
	out, err := c.Encode(hub, gvk.GroupVersion(), resource.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"apiVersion":"free.example/v1","color":"red","kind":"Gizmo","metadata":{"name":"a","namespace":"n"},"size":1}`; string(out) != want {
		t.Errorf("answered\n%s, want\n%s", out, want)
	}
}
