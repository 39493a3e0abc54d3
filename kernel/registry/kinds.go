package registry

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/selection"
	"github.com/pintle-io/pintle/kernel/resource"
)

// kinds are the definitions of the catalog's newest table with what the verbs
// keep of each. What was kept of a definition that did not change is kept on.
type kinds struct {
	catalog *resource.Catalog
	fields  fieldmanager.Shared
	mu      sync.Mutex // of whoever makes the next set
	current atomic.Pointer[kindSet]
}

type kindSet struct {
	table      *resource.Table
	byResource map[schema.GroupResource]*kind
}

// init fails when a definition has no type.
func (x *kinds) init(catalog *resource.Catalog, fields fieldmanager.Shared) error {
	x.catalog, x.fields = catalog, fields
	x.current.Store(&kindSet{})
	_, err := x.follow(catalog.Snapshot())
	return err
}

// get finds a kind, nil when there is none. It takes no lock unless the
// catalog has changed.
func (x *kinds) get(gr schema.GroupResource) *kind {
	set := x.current.Load()
	if t := x.catalog.Snapshot(); t != set.table {
		// A definition without a type is left out, and is not found.
		set, _ = x.follow(t)
	}
	return set.byResource[gr]
}

// follow makes the set of a table, or of a newer one.
func (x *kinds) follow(t *resource.Table) (*kindSet, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.current.Load()
	if old.table != nil && old.table.Generation >= t.Generation {
		return old, nil
	}
	var first error
	set := &kindSet{table: t, byResource: make(map[schema.GroupResource]*kind, len(t.Definitions))}
	for _, d := range t.Definitions {
		gr := d.GroupResource()
		if k := old.byResource[gr]; k != nil && k.Definition == d {
			set.byResource[gr] = k
			continue
		}
		k, err := newKind(t, d, x.fields)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		set.byResource[gr] = k
	}
	x.current.Store(set)
	return set, first
}

// kind is a definition with what the verbs ask about it every time.
type kind struct {
	*resource.Definition
	gr     schema.GroupResource
	cached schema.GroupResource // where the cache keeps the objects: gr, or the resource that gr is a second name of
	hub    schema.GroupVersionKind
	types  resource.Types
	goType reflect.Type // of the hub, a pointer; nil if it is not a Go struct
	fields *fieldmanager.Manager
}

func newKind(t *resource.Table, d *resource.Definition, fields fieldmanager.Shared) (*kind, error) {
	k := &kind{Definition: d, gr: d.GroupResource(), cached: d.Stored(), hub: d.Hub(), types: t.TypesOf(d)}
	obj, err := k.types.New(k.hub)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.gr, err)
	}
	if _, ok := obj.(runtime.Unstructured); !ok {
		k.goType = reflect.TypeOf(obj)
	}
	k.fields = fieldmanager.New(fields, fieldmanager.Kind{Definition: d, Types: k.types, Schema: t.TypeConverterOf(d), Go: k.goType})
	return k, nil
}

// version is the request's version, the hub's if the caller named none.
func (k *kind) version(t Target) schema.GroupVersion {
	if t.Resource.Version == "" {
		return k.hub.GroupVersion()
	}
	return t.Resource.GroupVersion()
}

// selected is the kind as lists and watches look at it.
func (k *kind) selected() selection.Kind {
	return selection.Kind{Definition: k.Definition, Types: k.types}
}

// key is where an object is stored.
func (k *kind) key(namespace, name string) string {
	return resource.Key(k.Definition, namespace, name)
}

// is reports that an object of a kind may be stored as this one.
func (k *kind) is(gk schema.GroupKind) bool {
	return gk.Kind == k.hub.Kind && (gk.Group == k.hub.Group || gk.Group == k.Group)
}

// scope is the namespace that the cache knows an object of this kind under.
func (k *kind) scope(namespace string) string {
	if k.Namespaced {
		return namespace
	}
	return ""
}
