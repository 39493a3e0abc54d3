package resource

import (
	"fmt"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/common"
)

// Table is everything the kernel knows about kinds at one moment. It is filled
// and indexed, and from then on only read: what changes while the kernel runs
// is the table that a [Catalog] hands out.
type Table struct {
	// Generation grows with every table of a catalog.
	Generation int64
	// Scheme holds every served and stored version of the definitions without
	// Types of their own, with defaults and conversions registered.
	Scheme *runtime.Scheme
	// Definitions in discovery order.
	Definitions []*Definition
	// GroupOrder ranks API groups in discovery, most important first; groups
	// that it does not name follow by name.
	GroupOrder []string
	// Columns, OpenAPI and TypeConverter are those of the definitions that bring
	// none of their own and whose types are in Scheme. Nil Columns answer name
	// and age; OpenAPI is for /openapi/v2 and v3 and for explain; TypeConverter
	// serves server-side apply.
	Columns       Columns
	OpenAPI       common.GetOpenAPIDefinitions
	TypeConverter managedfields.TypeConverter

	byResource overlay[schema.GroupResource, *Definition]
	byKind     overlay[schema.GroupKind, *Definition]
	claims     overlay[claim, holder]
	seconds    []*Definition                         // those with StoredAs
	owners     overlay[schema.GroupResource, string] // the producer of each definition
	superseded chan struct{}
}

// Superseded is closed when the catalog has a newer table; it is nil for a
// table that is in none.
func (t *Table) Superseded() <-chan struct{} { return t.superseded }

// Index prepares the table for look-ups and checks it: two definitions of one
// resource, a version without a registered type or of which no object can be made, a
// missing key prefix.
func (t *Table) Index() error {
	t.byResource = overlayOf(map[schema.GroupResource]*Definition(nil)).edit()
	t.byKind, t.seconds = overlayOf(map[schema.GroupKind]*Definition(nil)).edit(), nil
	for _, d := range t.Definitions {
		if gr := d.GroupResource(); t.Lookup(gr) != nil {
			return fmt.Errorf("resource %s is defined twice", gr)
		}
		if err := t.check(d); err != nil {
			return err
		}
		t.enter(d)
	}
	t.byResource, t.byKind = t.byResource.flat(), t.byKind.flat()
	return t.checkSecondNames()
}

// objectKeys is what keys of objects begin with. What else is in the store, such
// as the cluster's keys, is out of reach for every verb.
const objectKeys = "/registry/"

// check refuses a definition that is incomplete.
func (t *Table) check(d *Definition) error {
	gr := d.GroupResource()
	switch {
	case d.StorageVersion == "":
		return fmt.Errorf("resource %s has no storage version", gr)
	case d.Types != nil && !d.JSONStored:
		return fmt.Errorf("resource %s has types of its own, which are stored as JSON only", gr)
	case !d.Virtual && d.KeyPrefix == "":
		return fmt.Errorf("resource %s has no key prefix", gr)
	case !d.Virtual && !strings.HasPrefix(d.KeyPrefix, objectKeys):
		return fmt.Errorf("resource %s: keys of objects begin with %s, not with %s", gr, objectKeys, d.KeyPrefix)
	}
	for _, gvk := range d.kinds() {
		if !t.TypesOf(d).Recognizes(gvk) {
			return fmt.Errorf("resource %s: no type is registered for %s", gr, gvk)
		}
		// The verbs need one of the hub: a resource without would be in discovery,
		// and not found.
		if _, err := t.TypesOf(d).New(gvk); err != nil {
			return fmt.Errorf("resource %s: %w", gr, err)
		}
	}
	return nil
}

func (t *Table) enter(d *Definition) {
	t.byResource.set(d.GroupResource(), d)
	t.byKind.set(schema.GroupKind{Group: d.Group, Kind: d.Kind}, d)
	if d.StoredAs != nil {
		t.seconds = append(t.seconds, d)
	}
}

// checkSecondNames refuses a resource that is stored as one which is not there
// or has other keys.
func (t *Table) checkSecondNames() error {
	for _, d := range t.seconds {
		if to := t.Lookup(*d.StoredAs); to == nil || to.StoredAs != nil || to.Hub() != d.Hub() || to.KeyPrefix != d.KeyPrefix {
			return fmt.Errorf("resource %s is stored as %s, which is not stored alike", d.GroupResource(), d.StoredAs)
		}
	}
	return nil
}

// kinds are the hub and every served version.
func (d *Definition) kinds() []schema.GroupVersionKind {
	out := []schema.GroupVersionKind{d.Hub()}
	for _, v := range d.Versions {
		out = append(out, schema.GroupVersionKind{Group: d.Group, Version: v, Kind: d.Kind})
	}
	return out
}

// Lookup finds a definition by resource; nil when there is none.
func (t *Table) Lookup(gr schema.GroupResource) *Definition {
	d, _ := t.byResource.get(gr)
	return d
}

// LookupKind finds a definition by kind; nil when there is none.
func (t *Table) LookupKind(gk schema.GroupKind) *Definition {
	d, _ := t.byKind.get(gk)
	return d
}

// Groups lists the API groups in discovery order.
func (t *Table) Groups() []string {
	rank := make(map[string]int, len(t.GroupOrder))
	for i, g := range t.GroupOrder {
		rank[g] = i + 1
	}
	seen := map[string]bool{}
	var out []string
	for _, d := range t.Definitions {
		if !seen[d.Group] {
			seen[d.Group] = true
			out = append(out, d.Group)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := rank[out[i]], rank[out[j]]
		if (a == 0) != (b == 0) {
			return a != 0
		}
		if a != b {
			return a < b
		}
		return out[i] < out[j]
	})
	return out
}

// Sharing lists the definitions whose objects are the same as d's, d among them: a
// resource and its second names.
func (t *Table) Sharing(d *Definition) []*Definition {
	out := []*Definition{d}
	if d.StoredAs != nil {
		if first := t.Lookup(*d.StoredAs); first != nil {
			out = append(out, first)
		}
	}
	for _, x := range t.seconds {
		if x != d && x.Stored() == d.Stored() {
			out = append(out, x)
		}
	}
	return out
}
