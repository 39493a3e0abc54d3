// Package kind makes the definition of a kind from its [Names] and its [Rule].
// What is common to kinds (status, generation, conversion, the scale
// subresource) is written once, here, and parameterised by a kind's types; the
// packages of the API groups say the rest.
//
// Hooks work on the hub version. They convert to the internal version, which
// validation wants, by the types that a group's package has registered with
// legacyscheme. They may share memory with the object they were given; they
// never change an old object.
// RATIONALE.md: "Why import k8s.io/kubernetes at all?"
package kind

import (
	"context"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Names is the data of a kind. Zero fields mean what most kinds have.
type Names struct {
	Group      string
	Kind       string
	Resource   string
	Singular   string // "": kind in lower case
	Short      []string
	Categories []string
	Cluster    bool     // cluster scoped
	Versions   []string // nil: v1
	Storage    string   // "": the first of versions
	Prefix     string   // below /registry/; "": resource
	Verbs      []string // nil: AllVerbs
	Unserved   string
	StoredAs   *schema.GroupResource
	// NeedsImplementer: see resource.Definition.
	NeedsImplementer bool
}

// Lists that several kinds share; nobody changes them.
var (
	AllVerbs    = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	ReadVerbs   = []string{"get", "list", "watch"}
	UpdateVerbs = []string{"get", "patch", "update"}
	CreateVerbs = []string{"create"}
	All         = []string{"all"}
	Extensions  = []string{"api-extensions"}
)

func (n Names) definition() *resource.Definition {
	d := &resource.Definition{
		Group: n.Group, Resource: n.Resource, Singular: n.Singular, Kind: n.Kind, ListKind: n.Kind + "List",
		ShortNames: n.Short, Categories: n.Categories, Namespaced: !n.Cluster,
		Versions: n.Versions, StorageVersion: n.Storage, Verbs: n.Verbs, Unserved: n.Unserved, StoredAs: n.StoredAs,
		NeedsImplementer: n.NeedsImplementer,
	}
	if d.Singular == "" {
		d.Singular = strings.ToLower(n.Kind)
	}
	if d.Versions == nil {
		d.Versions = []string{"v1"}
	}
	if d.StorageVersion == "" {
		d.StorageVersion = d.Versions[0]
	}
	if d.Verbs == nil {
		d.Verbs = AllVerbs
	}
	d.KeyPrefix = "/registry/" + n.Resource
	if n.Prefix != "" {
		d.KeyPrefix = "/registry/" + n.Prefix
	}
	return d
}

// Virtual defines a resource that is answered and never stored.
func Virtual(n Names) *resource.Definition {
	n.Verbs = CreateVerbs
	d := n.definition()
	d.Virtual, d.KeyPrefix, d.ListKind = true, "", ""
	return d
}

// Question defines a virtual resource whose objects are checked before they are
// answered.
func Question[H, I any](n Names, check func(*I) field.ErrorList) *resource.Definition {
	b := &bound[H, I]{Rule: Rule[H, I]{Validate: check}, scheme: legacyscheme.Scheme, layout: layoutOf(reflect.TypeFor[H]())}
	d := Virtual(n)
	d.Strategy.Validate = b.validateCreate
	return d
}

// Define makes a definition from a kind's data and its rule.
func Define[H, I any](n Names, r Rule[H, I]) *resource.Definition {
	b := &bound[H, I]{Rule: r, scheme: legacyscheme.Scheme, layout: layoutOf(reflect.TypeFor[H]())}
	d := n.definition()
	s := &d.Strategy
	s.PrepareForCreate = b.prepareForCreate
	s.PrepareForUpdate = b.prepareForUpdate
	s.Validate = b.validateCreate
	s.ValidateUpdate = b.validateMainUpdate
	if r.Warn != nil {
		s.Warnings = b.warnings
	}
	if r.Decoded != nil {
		s.Decoded = func(obj runtime.Object) { r.Decoded(Hub[H](obj)) }
	}
	if r.Canonicalize != nil {
		s.Canonicalize = func(obj runtime.Object) { r.Canonicalize(Hub[H](obj)) }
	}
	s.AllowCreateOnUpdate = r.CreateOnUpdate
	s.AllowUnconditionalUpdate = !r.Conditional
	s.ReturnDeleted = r.ReturnDeleted
	if r.Orphans {
		s.DefaultPropagation = func(runtime.Object) metav1.DeletionPropagation { return metav1.DeletePropagationOrphan }
	}
	if len(r.Fields) > 0 {
		s.Fields = b.selectableFields
		for _, f := range r.Fields {
			s.FieldLabels = append(s.FieldLabels, f.Label)
		}
	}
	if r.Finish != nil {
		r.Finish(s)
	}
	d.Subresources = append(d.Subresources, r.Subresources...)
	switch r.Status {
	case HasStatus, HasStatusOnly, FreeOnCreation:
		s.ResetFields = Without(append(r.Resets, Path("status"))...)
		kept := append(r.StatusResets, Path("spec"))
		if r.Status == HasStatusOnly {
			kept = append(kept, Path("metadata"))
		}
		d.Subresources = append(d.Subresources, resource.Subresource{
			Name: "status", Style: resource.StyleStatus, Verbs: UpdateVerbs,
			PrepareForUpdate: b.prepareForStatusUpdate,
			ValidateUpdate:   b.validateStatusUpdate,
			ResetFields:      Without(kept...),
		})
	}
	slices.SortFunc(d.Subresources, func(a, b resource.Subresource) int { return strings.Compare(a.Name, b.Name) })
	return d
}

// Path names a field by the names of the fields on the way to it.
func Path(names ...any) fieldpath.Path { return fieldpath.MakePathOrDie(names...) }

// Without leaves out fields and what is below them.
func Without(paths ...fieldpath.Path) fieldpath.Filter {
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(paths...))
}

// Part defines a subresource that updates one part of an object. prepare
// leaves in obj, which holds what the client sent, only that part of it;
// stored leaves it in a set of fields.
func Part[H, I any](name string, verbs []string, stored fieldpath.Filter, prepare func(obj, old *I), check func(obj, old *I) field.ErrorList) resource.Subresource {
	b := &bound[H, I]{scheme: legacyscheme.Scheme, layout: layoutOf(reflect.TypeFor[H]())}
	return resource.Subresource{
		Name: name, Style: resource.StylePart, Verbs: verbs, ResetFields: stored,
		PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
			h, o := Hub[H](obj), Hub[H](old)
			if oldIn, err := b.toInternal(o); err == nil {
				b.roundTrip(h, func(in *I) { prepare(in, oldIn) })
			}
		},
		ValidateUpdate: func(ctx context.Context, obj, old runtime.Object) field.ErrorList {
			return b.validatePart(ctx, obj, old, check, name)
		},
	}
}
