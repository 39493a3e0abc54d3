package resource

import (
	"errors"
	"fmt"
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
	first.Definitions, first.seconds = slices.Clip(t.Definitions), slices.Clip(t.seconds) // later tables append
	first.owners = overlay[schema.GroupResource, string]{}.edit()
	first.claims = overlay[claim, holder]{}.edit()
	for _, d := range t.Definitions {
		first.hold(BuiltIn, d)
	}
	first.owners, first.claims = first.owners.flat(), first.claims.flat()
	c := &Catalog{}
	c.current.Store(&first)
	return c
}

// Fixed tells that a resource is [BuiltIn]: no definition of a custom kind changes it.
func (c *Catalog) Fixed(gr schema.GroupResource) bool {
	producer, ok := c.Snapshot().owners.get(gr)
	return ok && producer == BuiltIn
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
//   - a kind or key prefix belongs to another resource of this producer, unless
//     one is stored as the other
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
	next.owners, next.claims = t.owners.edit(), t.claims.edit()
	next.byResource, next.byKind = t.byResource.edit(), t.byKind.edit()
	next.replace(changed)
	for _, d := range set {
		if err := errors.Join(next.check(d), next.conflict(producer, d)); err != nil {
			return nil, err
		}
		if t.Lookup(d.GroupResource()) == nil {
			// Behind the end of what older tables see.
			next.Definitions = append(next.Definitions, d)
		}
		next.hold(producer, d)
		next.enter(d)
	}
	return &next, next.checkSecondNames()
}

// replace takes out the definitions that are changed or removed, and puts the
// new ones in their places.
func (t *Table) replace(changed map[schema.GroupResource]*Definition) {
	var gone []*Definition
	for gr := range changed {
		if d := t.Lookup(gr); d != nil {
			gone = append(gone, d)
		}
	}
	if len(gone) == 0 {
		return
	}
	definitions := make([]*Definition, 0, len(t.Definitions))
	for _, d := range t.Definitions {
		if !slices.Contains(gone, d) {
			definitions = append(definitions, d)
		} else if now := changed[d.GroupResource()]; now != nil {
			definitions = append(definitions, now)
		}
	}
	t.Definitions = definitions
	t.seconds = slices.DeleteFunc(slices.Clone(t.seconds), func(d *Definition) bool { return slices.Contains(gone, d) })
	for _, d := range gone {
		t.leave(d)
	}
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
		if owner, ok := t.owners.get(gr); ok && owner != producer {
			return nil, fmt.Errorf("resource %s belongs to producer %s", gr, owner)
		}
	}
	return changed, nil
}

// claim is a name that one resource may have: a kind, a list's kind, or a prefix
// of keys.
type claim struct{ group, kind, prefix string }

// claimed is a claim with the resource that it is for.
type claimed struct {
	claim
	of schema.GroupResource
}

// holder is who has it, by how many definitions: a prefix is also that of second
// names.
type holder struct {
	producer string
	resource schema.GroupResource
	count    int
}

// claims are what a definition claims: keys for the resource whose objects are
// below them.
func claims(d *Definition) []claimed {
	out := []claimed{{claim{group: d.Group, kind: d.Kind}, d.GroupResource()}}
	if d.ListKind != "" && d.ListKind != d.Kind {
		out = append(out, claimed{claim{group: d.Group, kind: d.ListKind}, d.GroupResource()})
	}
	if d.KeyPrefix != "" {
		out = append(out, claimed{claim{prefix: d.KeyPrefix}, d.Stored()})
	}
	return out
}

// hold notes whose a definition is.
func (t *Table) hold(producer string, d *Definition) {
	t.owners.set(d.GroupResource(), producer)
	for _, c := range claims(d) {
		h, _ := t.claims.get(c.claim)
		t.claims.set(c.claim, holder{producer, c.of, h.count + 1})
	}
}

func (t *Table) leave(d *Definition) {
	gr, gk := d.GroupResource(), schema.GroupKind{Group: d.Group, Kind: d.Kind}
	for _, c := range claims(d) {
		if h, _ := t.claims.get(c.claim); h.count > 1 {
			h.count--
			t.claims.set(c.claim, h)
		} else {
			t.claims.remove(c.claim)
		}
	}
	t.owners.remove(gr)
	t.byResource.remove(gr)
	if t.LookupKind(gk) == d {
		t.byKind.remove(gk)
	}
}

// conflict refuses a definition whose kind or keys are another producer's or another
// resource's.
func (t *Table) conflict(producer string, d *Definition) error {
	for _, c := range claims(d) {
		if h, ok := t.claims.get(c.claim); ok && (h.producer != producer || h.resource != c.of) {
			return fmt.Errorf("resource %s has the kind or the keys of %s, which belongs to producer %s", d.GroupResource(), h.resource, h.producer)
		}
	}
	return nil
}
