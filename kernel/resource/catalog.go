package resource

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Catalog is what the kernel knows about kinds while it runs: a [Table] that
// is replaced by a newer one when a producer adds, changes or removes
// definitions. It is safe for concurrent use, and reading takes no lock.
//
// A consumer that derives something from a table keeps it by the table, or by
// the *Definition, which is never modified once it is in a catalog: the same
// pointer means the same definition. Who must act on changes waits for
// [Table.Superseded], then looks at [Catalog.Snapshot] and compares; it sees
// the newest state, not each step on the way.
type Catalog struct {
	mu      sync.Mutex // of producers
	current atomic.Pointer[Table]
}

// BuiltIn is the producer of the definitions that a catalog begins with.
const BuiltIn = "built-in"

// NewCatalog makes a catalog that begins with a table, which [Table.Index] has
// checked. The table's definitions belong to the producer [BuiltIn]; what is
// not of one definition (Scheme, GroupOrder, Columns …) is that of every later
// table too. The caller must not modify the table any more.
func NewCatalog(t *Table) *Catalog {
	first := *t
	first.Generation, first.superseded = 1, make(chan struct{})
	first.owners = make(map[schema.GroupResource]string, len(t.Definitions))
	for _, d := range t.Definitions {
		first.owners[d.GroupResource()] = BuiltIn
	}
	c := &Catalog{}
	c.current.Store(&first)
	return c
}

// Snapshot is the newest table. It never changes.
func (c *Catalog) Snapshot() *Table { return c.current.Load() }

// Lookup is [Table.Lookup] in the newest table.
func (c *Catalog) Lookup(gr schema.GroupResource) *Definition { return c.Snapshot().Lookup(gr) }

// LookupKind is [Table.LookupKind] in the newest table.
func (c *Catalog) LookupKind(gk schema.GroupKind) *Definition { return c.Snapshot().LookupKind(gk) }

// Producer returns the view of a catalog through which a producer of
// definitions edits its own, and nobody else's. Producers are told apart by
// their names.
func (c *Catalog) Producer(name string) *Producer { return &Producer{catalog: c, name: name} }

// Producer edits one producer's definitions. It is safe for concurrent use.
type Producer struct {
	catalog *Catalog
	name    string
}

// Apply sets and removes definitions, all or none, in one new table: consumers
// never see a part of it. A definition whose resource exists replaces that
// one; its pointer must be a new one if anything is different. What is to be
// removed and is not there is passed over.
//
// # Errors
// Nothing is applied, and the error names the resource, and in a conflict both
// producers, when
//   - a resource, kind or key prefix belongs to another producer
//   - a definition is incomplete (see [Table.Index])
//   - another resource is stored as one that would be removed
func (p *Producer) Apply(set []*Definition, remove ...schema.GroupResource) error {
	c := p.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.current.Load()
	next, err := old.edit(p.name, set, remove)
	if err != nil {
		return fmt.Errorf("producer %s: %w", p.name, err)
	}
	c.current.Store(next)
	close(old.superseded)
	return nil
}

// edit makes the table that follows t.
func (t *Table) edit(producer string, set []*Definition, remove []schema.GroupResource) (*Table, error) {
	changed, err := t.changes(producer, set, remove)
	if err != nil {
		return nil, err
	}
	next := *t
	next.Generation, next.superseded = t.Generation+1, make(chan struct{})
	next.Definitions = make([]*Definition, 0, len(t.Definitions)+len(set))
	next.owners, next.byResource = maps.Clone(t.owners), maps.Clone(t.byResource)
	next.byKind, next.JSONStored = maps.Clone(t.byKind), maps.Clone(t.JSONStored)
	for _, d := range t.Definitions {
		gr := d.GroupResource()
		now, ok := changed[gr]
		if !ok {
			next.Definitions = append(next.Definitions, d)
			continue
		}
		next.leave(d)
		if now != nil {
			next.Definitions = append(next.Definitions, now)
		}
	}
	for _, d := range set {
		if t.byResource[d.GroupResource()] == nil {
			next.Definitions = append(next.Definitions, d)
		}
		next.owners[d.GroupResource()] = producer
		if err := errors.Join(next.check(d), next.conflict(producer, d)); err != nil {
			return nil, err
		}
		next.enter(d)
	}
	return &next, next.checkSecondNames()
}

// changes are what a producer asks for, by resource; nil is a removal.
func (t *Table) changes(producer string, set []*Definition, remove []schema.GroupResource) (map[schema.GroupResource]*Definition, error) {
	changed := make(map[schema.GroupResource]*Definition, len(set)+len(remove))
	for _, gr := range remove {
		changed[gr] = nil
	}
	for _, d := range set {
		gr := d.GroupResource()
		if changed[gr] != nil {
			return nil, fmt.Errorf("resource %s is defined twice", gr)
		}
		changed[gr] = d
	}
	for gr := range changed {
		if owner, ok := t.owners[gr]; ok && owner != producer {
			return nil, fmt.Errorf("resource %s belongs to producer %s", gr, owner)
		}
	}
	return changed, nil
}

func (t *Table) leave(d *Definition) {
	gr, gk := d.GroupResource(), schema.GroupKind{Group: d.Group, Kind: d.Kind}
	delete(t.owners, gr)
	delete(t.byResource, gr)
	if t.byKind[gk] == d {
		delete(t.byKind, gk)
	}
	delete(t.JSONStored, d.Hub().GroupKind())
}

// conflict refuses a definition whose kind or keys are another producer's.
func (t *Table) conflict(producer string, d *Definition) error {
	same := func(o *Definition) bool {
		return o.Group == d.Group && (o.Kind == d.Kind || o.ListKind != "" && o.ListKind == d.ListKind) ||
			o.KeyPrefix != "" && o.KeyPrefix == d.KeyPrefix
	}
	i := slices.IndexFunc(t.Definitions, func(o *Definition) bool { return t.owners[o.GroupResource()] != producer && same(o) })
	if i < 0 {
		return nil
	}
	o := t.Definitions[i]
	return fmt.Errorf("resource %s has the kind or the keys of %s, which belongs to producer %s", d.GroupResource(), o.GroupResource(), t.owners[o.GroupResource()])
}
