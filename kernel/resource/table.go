package resource

import (
	"fmt"
	"sort"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/common"
)

// Table is everything the kernel knows about kinds. It is filled once, before
// the kernel starts, and then only read.
type Table struct {
	// Scheme holds every served and stored version, with defaults and
	// conversions registered.
	Scheme *runtime.Scheme
	// Definitions in discovery order.
	Definitions []*Definition
	// GroupOrder ranks API groups in discovery, most important first; groups
	// that it does not name follow by name.
	GroupOrder []string
	// Columns prints objects of the hub version as `kubectl get` shows them.
	// list is a hub list or a single hub object. Nil answers name and age.
	Columns func(list runtime.Object, opts metav1.TableOptions) (*metav1.Table, error)
	// OpenAPI are the definitions of all served kinds, for /openapi/v2 and v3
	// and for explain.
	OpenAPI common.GetOpenAPIDefinitions
	// TypeConverter serves server-side apply.
	TypeConverter managedfields.TypeConverter
	// UnversionedTypes are storage encodings that stay JSON: group-kinds whose
	// types have no protobuf form (our own kinds).
	JSONStored map[schema.GroupKind]bool

	byResource map[schema.GroupResource]*Definition
	byKind     map[schema.GroupKind]*Definition
}

// Index prepares the table for look-ups and checks it: two definitions of one
// resource, a version without a registered type, a missing key prefix.
func (t *Table) Index() error {
	t.byResource = make(map[schema.GroupResource]*Definition, len(t.Definitions))
	t.byKind = make(map[schema.GroupKind]*Definition, len(t.Definitions))
	for _, d := range t.Definitions {
		gr := d.GroupResource()
		if d.StorageVersion == "" {
			return fmt.Errorf("resource %s has no storage version", gr)
		}
		if t.byResource[gr] != nil {
			return fmt.Errorf("resource %s is defined twice", gr)
		}
		if !d.Virtual && d.KeyPrefix == "" {
			return fmt.Errorf("resource %s has no key prefix", gr)
		}
		for _, gvk := range d.kinds() {
			if !t.Scheme.Recognizes(gvk) {
				return fmt.Errorf("resource %s: no type is registered for %s", gr, gvk)
			}
		}
		t.byResource[gr] = d
		t.byKind[schema.GroupKind{Group: d.Group, Kind: d.Kind}] = d
	}
	for _, d := range t.Definitions {
		if d.StoredAs == nil {
			continue
		}
		if to := t.byResource[*d.StoredAs]; to == nil || to.StoredAs != nil || to.Hub() != d.Hub() || to.KeyPrefix != d.KeyPrefix {
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
func (t *Table) Lookup(gr schema.GroupResource) *Definition { return t.byResource[gr] }

// LookupKind finds a definition by kind; nil when there is none.
func (t *Table) LookupKind(gk schema.GroupKind) *Definition { return t.byKind[gk] }

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
