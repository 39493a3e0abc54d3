package kind

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Rule says what a kind does beyond the generic verbs. H is its hub type, I
// the internal type that validation takes.
type Rule[H, I any] struct {
	Status     Status
	Generation Generation
	// Changed replaces the comparison of specs that raises the generation.
	Changed func(obj, old *H) bool

	Conditional    bool // an update must carry a resourceVersion
	CreateOnUpdate bool
	ReturnDeleted  bool
	Orphans        bool // deletion leaves dependents behind unless asked otherwise

	// Create and update change the hub object before its round trip through
	// the internal version, Internal in the middle of it (old is nil on
	// create).
	Create   func(ctx context.Context, obj *H)
	Update   func(ctx context.Context, obj, old *H)
	Internal func(ctx context.Context, obj, old *I)
	// StatusUpdate and StatusInternal are the same for the status subresource.
	StatusUpdate   func(ctx context.Context, obj, old *H)
	StatusInternal func(obj, old *I)
	// Resets are fields, beside the status, that update keeps as they were;
	// StatusResets those, beside the spec, that a status update keeps.
	Resets, StatusResets []fieldpath.Path

	Validate       func(obj *I) field.ErrorList
	ValidateUpdate func(obj, old *I) field.ErrorList // nil: Validate(obj)
	ValidateStatus func(obj, old *I) field.ErrorList
	// Declare are the parameters of the declarative validation.
	Declare func(obj, old *I) Declaration
	// Warn: old is nil on create.
	Warn func(ctx context.Context, obj, old *I) []string

	Decoded      func(obj *H)
	Canonicalize func(obj *H)
	Fields       []Selectable[H]
	Subresources []resource.Subresource
	// Finish sets the hooks of resource.Strategy that only one kind has.
	Finish func(s *resource.Strategy)
}

// Status says how a kind's status is kept.
type Status int

const (
	noStatus       Status = iota
	HasStatus             // with a subresource
	HasStatusOnly         // its subresource cannot change metadata either
	hiddenStatus          // reset and kept, without a subresource
	FreeOnCreation        // with a subresource; a creator may set it
)

// Generation says when metadata.generation rises.
type Generation int

const (
	noGeneration Generation = iota
	BySpec                  // when anything but metadata and status changes
	FixedAtOne              // never
	RaisedOnly              // like BySpec, but not set at creation
)

// Selectable is one field that field selectors may name.
type Selectable[H any] struct {
	Label string
	Value func(*H) string
}

// bound is a rule tied to its scheme and to the layout of its types.
type bound[H, I any] struct {
	Rule[H, I]
	scheme *runtime.Scheme
	layout layout
}

// layout are the indices of a hub type's top-level fields.
type layout struct {
	status int   // -1: none
	body   []int // everything but TypeMeta, ObjectMeta and Status
}

func layoutOf(t reflect.Type) layout {
	l := layout{status: -1}
	for i := range t.NumField() {
		switch t.Field(i).Name {
		case "TypeMeta", "ObjectMeta":
		case "Status":
			l.status = i
		default:
			l.body = append(l.body, i)
		}
	}
	return l
}

// Hub asserts the pointer type of a hub object.
func Hub[H any](obj runtime.Object) *H { return any(obj).(*H) }

func metaOf[H any](h *H) *metav1.ObjectMeta {
	return any(h).(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
}

// toInternal converts; the result may share memory with h.
func (b *bound[H, I]) toInternal(h *H) (*I, error) {
	if same, ok := any(h).(*I); ok {
		return same, nil
	}
	out := new(I)
	return out, b.scheme.Convert(h, out, nil)
}

// roundTrip brings h to the form that upstream would have stored: through the
// internal version and back.
func (b *bound[H, I]) roundTrip(h *H, change func(*I)) {
	in, err := b.toInternal(h)
	if err != nil {
		return // validation converts again and reports it
	}
	if change != nil {
		change(in)
	}
	if any(h) == any(in) {
		return
	}
	// Into a new object: fields that only clients write (a Secret's stringData)
	// have no place in the internal version and must not survive.
	out := new(H)
	if err := b.scheme.Convert(in, out, nil); err != nil {
		return // as above
	}
	kind := any(h).(runtime.Object).GetObjectKind().GroupVersionKind()
	*h = *out
	any(h).(runtime.Object).GetObjectKind().SetGroupVersionKind(kind)
}

func (b *bound[H, I]) prepareForCreate(ctx context.Context, obj runtime.Object) {
	h := Hub[H](obj)
	if b.Status != noStatus && b.Status != FreeOnCreation {
		reflect.ValueOf(h).Elem().Field(b.layout.status).SetZero()
	}
	if b.Generation == BySpec || b.Generation == FixedAtOne {
		metaOf(h).Generation = 1
	}
	if b.Create != nil {
		b.Create(ctx, h)
	}
	var change func(*I)
	if b.Internal != nil {
		change = func(in *I) { b.Internal(ctx, in, nil) }
	}
	b.roundTrip(h, change)
}

func (b *bound[H, I]) prepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	h, o := Hub[H](obj), Hub[H](old)
	if b.Status != noStatus {
		keep(h, o, b.layout.status)
	}
	if b.Update != nil {
		b.Update(ctx, h, o)
	}
	var change func(*I)
	if b.Internal != nil {
		if oldIn, err := b.toInternal(o); err == nil {
			change = func(in *I) { b.Internal(ctx, in, oldIn) }
		}
	}
	b.roundTrip(h, change)
	m := metaOf(h)
	m.Generation = metaOf(o).Generation
	if b.raises(h, o) {
		m.Generation++
	}
}

// raises says whether an update raises the generation.
func (b *bound[H, I]) raises(h, o *H) bool {
	if b.Changed != nil {
		return b.Changed(h, o)
	}
	if b.Generation != BySpec && b.Generation != RaisedOnly {
		return false
	}
	hv, ov := reflect.ValueOf(h).Elem(), reflect.ValueOf(o).Elem()
	for _, i := range b.layout.body {
		if !equality.Semantic.DeepEqual(hv.Field(i).Interface(), ov.Field(i).Interface()) {
			return true
		}
	}
	return false
}

func (b *bound[H, I]) prepareForStatusUpdate(ctx context.Context, obj, old runtime.Object) {
	h, o := Hub[H](obj), Hub[H](old)
	keep(h, o, b.layout.body...)
	if b.Status == HasStatusOnly {
		metav1.ResetObjectMetaForStatus(metaOf(h), metaOf(o))
	}
	metaOf(h).Generation = metaOf(o).Generation
	if b.StatusUpdate != nil {
		b.StatusUpdate(ctx, h, o)
	}
	var change func(*I)
	if b.StatusInternal != nil {
		if oldIn, err := b.toInternal(o); err == nil {
			change = func(in *I) { b.StatusInternal(in, oldIn) }
		}
	}
	b.roundTrip(h, change)
}

// keep copies top-level fields of o to h. They share what is below.
func keep[H any](h, o *H, indices ...int) {
	hv, ov := reflect.ValueOf(h).Elem(), reflect.ValueOf(o).Elem()
	for _, i := range indices {
		hv.Field(i).Set(ov.Field(i))
	}
}

func (b *bound[H, I]) selectableFields(obj runtime.Object) fields.Set {
	h := Hub[H](obj)
	out := make(fields.Set, len(b.Fields)+2)
	for _, f := range b.Fields {
		out[f.Label] = f.Value(h)
	}
	return out
}

func (b *bound[H, I]) warnings(ctx context.Context, obj, old runtime.Object) []string {
	in, err := b.toInternal(Hub[H](obj))
	if err != nil {
		return nil
	}
	if old == nil {
		return b.Warn(ctx, in, nil)
	}
	oldIn, err := b.toInternal(Hub[H](old))
	if err != nil {
		return nil
	}
	return b.Warn(ctx, in, oldIn)
}
