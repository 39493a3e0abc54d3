package resources

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

// rule says what a kind does beyond the generic verbs. H is its hub type, I
// the internal type that validation takes.
type rule[H, I any] struct {
	status     status
	generation generation
	// changed replaces the comparison of specs that raises the generation.
	changed func(obj, old *H) bool

	conditional    bool // an update must carry a resourceVersion
	createOnUpdate bool
	returnDeleted  bool
	orphans        bool // deletion leaves dependents behind unless asked otherwise

	// create and update change the hub object before its round trip through
	// the internal version, internal in the middle of it (old is nil on
	// create).
	create   func(ctx context.Context, obj *H)
	update   func(ctx context.Context, obj, old *H)
	internal func(ctx context.Context, obj, old *I)
	// statusUpdate and statusInternal are the same for the status subresource.
	statusUpdate   func(ctx context.Context, obj, old *H)
	statusInternal func(obj, old *I)
	// resets are fields, beside the status, that update keeps as they were;
	// statusResets those, beside the spec, that a status update keeps.
	resets, statusResets []fieldpath.Path

	validate       func(obj *I) field.ErrorList
	validateUpdate func(obj, old *I) field.ErrorList // nil: validate(obj)
	validateStatus func(obj, old *I) field.ErrorList
	// declare are the parameters of the declarative validation.
	declare func(obj, old *I) declaration
	// warn: old is nil on create.
	warn func(ctx context.Context, obj, old *I) []string

	decoded      func(obj *H)
	canonicalize func(obj *H)
	fields       []selectable[H]
	subresources []resource.Subresource
	// finish sets the hooks of resource.Strategy that only one kind has.
	finish func(s *resource.Strategy)
}

// status says how a kind's status is kept.
type status int

const (
	noStatus       status = iota
	hasStatus             // with a subresource
	hasStatusOnly         // its subresource cannot change metadata either
	hiddenStatus          // reset and kept, without a subresource
	freeOnCreation        // with a subresource; a creator may set it
)

// generation says when metadata.generation rises.
type generation int

const (
	noGeneration generation = iota
	bySpec                  // when anything but metadata and status changes
	fixedAtOne              // never
	raisedOnly              // like bySpec, but not set at creation
)

// selectable is one field that field selectors may name.
type selectable[H any] struct {
	label string
	value func(*H) string
}

// bound is a rule tied to its scheme and to the layout of its types.
type bound[H, I any] struct {
	rule[H, I]
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

// hub asserts the pointer type of a hub object.
func hub[H any](obj runtime.Object) *H { return any(obj).(*H) }

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
	h := hub[H](obj)
	if b.status != noStatus && b.status != freeOnCreation {
		reflect.ValueOf(h).Elem().Field(b.layout.status).SetZero()
	}
	if b.generation == bySpec || b.generation == fixedAtOne {
		metaOf(h).Generation = 1
	}
	if b.create != nil {
		b.create(ctx, h)
	}
	var change func(*I)
	if b.internal != nil {
		change = func(in *I) { b.internal(ctx, in, nil) }
	}
	b.roundTrip(h, change)
}

func (b *bound[H, I]) prepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	h, o := hub[H](obj), hub[H](old)
	if b.status != noStatus {
		keep(h, o, b.layout.status)
	}
	if b.update != nil {
		b.update(ctx, h, o)
	}
	var change func(*I)
	if b.internal != nil {
		if oldIn, err := b.toInternal(o); err == nil {
			change = func(in *I) { b.internal(ctx, in, oldIn) }
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
	if b.changed != nil {
		return b.changed(h, o)
	}
	if b.generation != bySpec && b.generation != raisedOnly {
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
	h, o := hub[H](obj), hub[H](old)
	keep(h, o, b.layout.body...)
	if b.status == hasStatusOnly {
		metav1.ResetObjectMetaForStatus(metaOf(h), metaOf(o))
	}
	metaOf(h).Generation = metaOf(o).Generation
	if b.statusUpdate != nil {
		b.statusUpdate(ctx, h, o)
	}
	var change func(*I)
	if b.statusInternal != nil {
		if oldIn, err := b.toInternal(o); err == nil {
			change = func(in *I) { b.statusInternal(in, oldIn) }
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
	h := hub[H](obj)
	out := make(fields.Set, len(b.fields)+2)
	for _, f := range b.fields {
		out[f.label] = f.value(h)
	}
	return out
}

func (b *bound[H, I]) warnings(ctx context.Context, obj, old runtime.Object) []string {
	in, err := b.toInternal(hub[H](obj))
	if err != nil {
		return nil
	}
	if old == nil {
		return b.warn(ctx, in, nil)
	}
	oldIn, err := b.toInternal(hub[H](old))
	if err != nil {
		return nil
	}
	return b.warn(ctx, in, oldIn)
}
