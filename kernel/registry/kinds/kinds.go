// Package kinds knows the kinds that the catalog has at the moment, each with what
// the verbs ask about it every time: the version that is kept in memory, its Go
// type, its field managers. It also brings clients' objects to that version, and
// objects to a client's.
//
// It follows the catalog when it is asked, without a goroutine. A [Kind] is a
// value of one definition: a request goes on with the one that it began with.
package kinds

import (
	"context"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Kinds are the definitions of the catalog's newest table with what the verbs
// keep of each. What was kept of a definition that did not change is kept on. It
// is safe for concurrent use.
type Kinds struct {
	catalog *resource.Catalog
	codec   Converter
	fields  fieldmanager.Shared
	mu      sync.Mutex // of whoever makes the next set
	current atomic.Pointer[kindSet]
}

// Converter brings objects to another version.
type Converter interface {
	ConvertContext(ctx context.Context, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
}

type kindSet struct {
	table      *resource.Table
	byResource map[schema.GroupResource]*Kind
}

// New follows a catalog. It fails when a definition has no type.
func New(catalog *resource.Catalog, codec Converter, fields fieldmanager.Shared) (*Kinds, error) {
	x := &Kinds{catalog: catalog, codec: codec, fields: fields}
	x.current.Store(&kindSet{})
	_, err := x.follow(catalog.Snapshot())
	return x, err
}

// Get finds a kind, nil when there is none. It takes no lock unless the
// catalog has changed.
func (x *Kinds) Get(gr schema.GroupResource) *Kind {
	set := x.current.Load()
	if t := x.catalog.Snapshot(); t != set.table {
		if k := set.byResource[gr]; k != nil && k.Definition == t.Lookup(gr) {
			return k // what has changed are others
		}
		// The catalog has refused definitions of which no object can be made
		// (resource.Producer.Apply): none is left out here.
		set, _ = x.follow(t)
	}
	return set.byResource[gr]
}

// Definition is that of a kind, nil when there is none.
func (x *Kinds) Definition(gr schema.GroupResource) *resource.Definition {
	if k := x.Get(gr); k != nil {
		return k.Definition
	}
	return nil
}

// follow makes the set of a table, or of a newer one.
func (x *Kinds) follow(t *resource.Table) (*kindSet, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.current.Load()
	if old.table != nil && old.table.Generation >= t.Generation {
		return old, nil
	}
	var first error
	set := &kindSet{table: t, byResource: make(map[schema.GroupResource]*Kind, len(t.Definitions))}
	for _, d := range t.Definitions {
		gr := d.GroupResource()
		if k := old.byResource[gr]; k != nil && k.Definition == d {
			set.byResource[gr] = k
			continue
		}
		k, err := x.newKind(t, d)
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
