package resources

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

// names is the data of a kind. Zero fields mean what most kinds have.
type names struct {
	group      string
	kind       string
	resource   string
	singular   string // "": kind in lower case
	short      []string
	categories []string
	cluster    bool     // cluster scoped
	versions   []string // nil: v1
	storage    string   // "": the first of versions
	prefix     string   // below /registry/; "": resource
	verbs      []string // nil: allVerbs
	unserved   string
	storedAs   *schema.GroupResource
}

var (
	allVerbs    = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	readVerbs   = []string{"get", "list", "watch"}
	updateVerbs = []string{"get", "patch", "update"}
	createVerbs = []string{"create"}
	all         = []string{"all"}
	extensions  = []string{"api-extensions"}
)

func (n names) definition() *resource.Definition {
	d := &resource.Definition{
		Group: n.group, Resource: n.resource, Singular: n.singular, Kind: n.kind, ListKind: n.kind + "List",
		ShortNames: n.short, Categories: n.categories, Namespaced: !n.cluster,
		Versions: n.versions, StorageVersion: n.storage, Verbs: n.verbs, Unserved: n.unserved, StoredAs: n.storedAs,
	}
	if d.Singular == "" {
		d.Singular = strings.ToLower(n.kind)
	}
	if d.Versions == nil {
		d.Versions = []string{"v1"}
	}
	if d.StorageVersion == "" {
		d.StorageVersion = d.Versions[0]
	}
	if d.Verbs == nil {
		d.Verbs = allVerbs
	}
	d.KeyPrefix = "/registry/" + n.resource
	if n.prefix != "" {
		d.KeyPrefix = "/registry/" + n.prefix
	}
	return d
}

// virtual defines a resource that is answered and never stored.
func virtual(n names) *resource.Definition {
	n.verbs = createVerbs
	d := n.definition()
	d.Virtual, d.KeyPrefix, d.ListKind = true, "", ""
	return d
}

// define makes a definition from a kind's data and its rule.
func define[H, I any](n names, r rule[H, I]) *resource.Definition {
	b := &bound[H, I]{rule: r, scheme: legacyscheme.Scheme, layout: layoutOf(reflect.TypeFor[H]())}
	d := n.definition()
	s := &d.Strategy
	s.PrepareForCreate = b.prepareForCreate
	s.PrepareForUpdate = b.prepareForUpdate
	s.Validate = b.validateCreate
	s.ValidateUpdate = b.validateMainUpdate
	if r.warn != nil {
		s.Warnings = b.warnings
	}
	if r.decoded != nil {
		s.Decoded = func(obj runtime.Object) { r.decoded(hub[H](obj)) }
	}
	if r.canonicalize != nil {
		s.Canonicalize = func(obj runtime.Object) { r.canonicalize(hub[H](obj)) }
	}
	s.AllowCreateOnUpdate = r.createOnUpdate
	s.AllowUnconditionalUpdate = !r.conditional
	s.ReturnDeleted = r.returnDeleted
	if r.orphans {
		s.DefaultPropagation = func(runtime.Object) metav1.DeletionPropagation { return metav1.DeletePropagationOrphan }
	}
	if len(r.fields) > 0 {
		s.Fields = b.selectableFields
		for _, f := range r.fields {
			s.FieldLabels = append(s.FieldLabels, f.label)
		}
	}
	if r.finish != nil {
		r.finish(s)
	}
	d.Subresources = append(d.Subresources, r.subresources...)
	switch r.status {
	case hasStatus, hasStatusOnly, freeOnCreation:
		s.ResetFields = without(append(r.resets, path("status"))...)
		kept := append(r.statusResets, path("spec"))
		if r.status == hasStatusOnly {
			kept = append(kept, path("metadata"))
		}
		d.Subresources = append(d.Subresources, resource.Subresource{
			Name: "status", Style: resource.StyleStatus, Verbs: updateVerbs,
			PrepareForUpdate: b.prepareForStatusUpdate,
			ValidateUpdate:   b.validateStatusUpdate,
			ResetFields:      without(kept...),
		})
	}
	slices.SortFunc(d.Subresources, func(a, b resource.Subresource) int { return strings.Compare(a.Name, b.Name) })
	return d
}

// path names a field by the names of the fields on the way to it.
func path(names ...any) fieldpath.Path { return fieldpath.MakePathOrDie(names...) }

// without leaves out fields and what is below them.
func without(paths ...fieldpath.Path) fieldpath.Filter {
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(paths...))
}

// part defines a subresource that updates one part of an object. prepare
// leaves in obj, which holds what the client sent, only that part of it;
// stored leaves it in a set of fields.
func part[H, I any](name string, verbs []string, stored fieldpath.Filter, prepare func(obj, old *I), check func(obj, old *I) field.ErrorList) resource.Subresource {
	b := &bound[H, I]{scheme: legacyscheme.Scheme, layout: layoutOf(reflect.TypeFor[H]())}
	return resource.Subresource{
		Name: name, Style: resource.StylePart, Verbs: verbs, ResetFields: stored,
		PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
			h, o := hub[H](obj), hub[H](old)
			if oldIn, err := b.toInternal(o); err == nil {
				b.roundTrip(h, func(in *I) { prepare(in, oldIn) })
			}
		},
		ValidateUpdate: func(ctx context.Context, obj, old runtime.Object) field.ErrorList {
			return b.validatePart(ctx, obj, old, check, name)
		},
	}
}
