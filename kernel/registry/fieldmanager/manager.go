// Package fieldmanager keeps metadata.managedFields: who owns which field of an
// object. It owns the field managers of every version and path of a kind, and the
// field-set templates by which most writes need none of them (RATIONALE.md, "Why is
// managedFields computed by template?").
//
// It decides nothing else about an object: it reads no store and no cache, knows no
// request, and never modifies a live object. Start reading at [Manager].
package fieldmanager

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/utils/clock"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Converter brings objects to another version.
type Converter interface {
	ConvertContext(ctx context.Context, obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
}

// Shared is what the Managers of all kinds use.
type Shared struct {
	// Scheme has the kinds that a kind's own types may lack: of projections.
	Scheme  *runtime.Scheme
	Convert Converter
	Clock   clock.PassiveClock
	Log     *slog.Logger
}

// Kind is what a Manager knows of its kind.
type Kind struct {
	*resource.Definition
	Types  resource.Types
	Schema managedfields.TypeConverter // nil: nothing is known of the fields
	Go     reflect.Type                // of the hub, a pointer; nil if it is not a Go struct
}

// Manager keeps the managedFields of one kind. It is safe for concurrent use.
type Manager struct {
	Shared
	kind Kind
	hub  schema.GroupVersionKind

	mu        sync.Mutex
	m         map[tracked]*managedfields.FieldManager // made when first needed; guarded by mu
	templates templates
}

// tracked is what has a field manager of its own.
type tracked struct {
	gv  schema.GroupVersion
	sub string
}

// New makes the Manager of a kind.
func New(s Shared, k Kind) *Manager {
	return &Manager{Shared: s, kind: k, hub: k.Hub(), m: map[tracked]*managedfields.FieldManager{}}
}

// Write says who writes by which path.
type Write struct {
	// Context of the request, with which conversions end that ask somebody outside of
	// the process; nil is none.
	Context     context.Context
	Manager     string                // the client's name for itself; may be empty
	Version     schema.GroupVersion   // of the request
	Subresource *resource.Subresource // nil for the object itself
}

func (w Write) sub() string {
	if w.Subresource == nil {
		return ""
	}
	return w.Subresource.Name
}

// context is that of the request, where it can end a question: field managers of other
// kinds outlive it.
func (w Write) context(k *Kind) context.Context {
	if w.Context == nil || !resource.Defers(k.Types) {
		return context.Background()
	}
	return w.Context
}

// tracker gives the field manager of a version and subresource.
func (f *Manager) tracker(w Write) (*managedfields.FieldManager, error) {
	if resource.Defers(f.kind.Types) {
		return f.newTracker(w) // for this request alone, with which its questions end
	}
	key := tracked{w.Version, w.sub()}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fm := f.m[key]; fm != nil {
		return fm, nil
	}
	fm, err := f.newTracker(w)
	if err != nil {
		return nil, fmt.Errorf("field manager of %s in %s: %w", f.kind.GroupResource(), w.Version, err)
	}
	f.m[key] = fm
	return fm, nil
}

func (f *Manager) newTracker(w Write) (*managedfields.FieldManager, error) {
	gvk, hub := w.Version.WithKind(f.kind.Kind), f.hub.GroupVersion()
	if w.Subresource != nil && (w.Subresource.Style == resource.StyleProjection || w.Subresource.Style == resource.StyleAction) {
		gvk, hub = w.Subresource.Kind, w.Subresource.Kind.GroupVersion()
	}
	types := f.kind.Types
	if gvk.Kind != f.kind.Kind {
		types = f.Scheme
	}
	make := managedfields.NewDefaultFieldManager
	if f.kind.Go == nil { // of each version it knows by itself what its fields are
		make = managedfields.NewDefaultCRDFieldManager
	}
	return make(f.typeConverter(gvk), converter{f, w.context(&f.kind)}, types, types, gvk, hub, w.sub(), f.resetFields(w.Subresource))
}

// typeConverter is the definition's, or for a kind without a schema there one
// that takes an object's fields as they come: lists are then owned as a whole.
func (f *Manager) typeConverter(gvk schema.GroupVersionKind) managedfields.TypeConverter {
	if f.kind.Schema != nil {
		obj, err := f.kind.Types.New(gvk)
		if err == nil {
			obj.GetObjectKind().SetGroupVersionKind(gvk)
			if _, err = f.kind.Schema.ObjectToTyped(obj); err == nil {
				return f.kind.Schema
			}
		}
	}
	return managedfields.NewDeducedTypeConverter()
}

// resetFields are what the path of a request cannot write, so that nobody
// comes to own it there: status through the object, spec through status, and
// what else the kind keeps.
func (f *Manager) resetFields(sub *resource.Subresource) map[fieldpath.APIVersion]fieldpath.Filter {
	filter := f.kind.Strategy.ResetFields
	if sub != nil {
		filter = sub.ResetFields
	}
	if filter == nil {
		switch {
		case sub == nil && f.kind.Subresource("status") != nil:
			filter = excluding("status")
		case sub != nil && sub.Style == resource.StyleStatus:
			filter = excluding("spec")
		default:
			return nil
		}
	}
	out := make(map[fieldpath.APIVersion]fieldpath.Filter, len(f.kind.Versions)+1)
	for _, v := range append([]string{f.kind.StorageVersion}, f.kind.Versions...) {
		gv := schema.GroupVersion{Group: f.kind.Group, Version: v}
		out[fieldpath.APIVersion(gv.String())] = filter
	}
	return out
}

func excluding(part string) fieldpath.Filter {
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie(part)))
}

// Create writes the managedFields of a new object, in place, and returns it.
func (f *Manager) Create(w Write, obj runtime.Object) runtime.Object {
	if f.fromTemplate(w, obj) {
		return obj
	}
	live, err := f.Empty(w.Version)
	if err != nil {
		return obj
	}
	return f.Track(w, live, obj)
}

// Update writes the managedFields of obj, the next state of live, which is not
// modified.
func (f *Manager) Update(w Write, live, obj runtime.Object) runtime.Object {
	key := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(key)
	u, ok := f.templateOfUpdate(w, live, obj, (*key)[:0])
	if !ok {
		return f.Track(w, live, obj)
	}
	*key = u.b
	after, known := f.templates.updated.get(u.b)
	if !known {
		after = u.entriesAfter(f.Track(w, u.probe(live), obj))
		f.templates.updated.put(u.b, after, entryBytes(after))
	}
	u.write(after, f.now())
	return obj
}

// Track is Update without templates, for objects of other kinds too (a projection).
// It never fails: an object whose fields cannot be tracked keeps the entries that it
// had.
func (f *Manager) Track(w Write, live, obj runtime.Object) (out runtime.Object) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return obj
	}
	fm, err := f.tracker(w)
	if err != nil {
		f.Log.Warn("fields are not tracked", "resource", f.kind.GroupResource().String(), "error", err)
		return obj
	}
	defer func() {
		if p := recover(); p != nil {
			f.Log.Warn("tracking fields panicked", "resource", f.kind.GroupResource().String(), "panic", p)
			if lm, err := meta.Accessor(live); err == nil {
				m.SetManagedFields(lm.GetManagedFields())
			}
			out = obj
		}
	}()
	out = fm.UpdateNoErrors(live, obj, w.Manager)
	wholeSeconds(out)
	return out
}

// Action writes the managedFields of what is sent to an action, in place, and returns
// it: upstream tracks it as a new object.
func (f *Manager) Action(w Write, body runtime.Object) runtime.Object {
	live, err := f.Scheme.New(w.Subresource.Kind)
	if err != nil {
		return body
	}
	live.GetObjectKind().SetGroupVersionKind(w.Subresource.Kind)
	return f.Track(w, live, WithKind(body, w.Subresource.Kind))
}

// Apply merges an apply configuration into live, which is not modified, and returns
// the result in the hub version. config is decoded JSON.
//
// # Errors
//   - Status: a conflict with other managers, or a bad configuration
func (f *Manager) Apply(w Write, live runtime.Object, config *unstructured.Unstructured, force bool) (runtime.Object, error) {
	fm, err := f.tracker(w)
	if err != nil {
		return nil, err
	}
	out, err := fm.Apply(live, config, w.Manager, force)
	if err != nil {
		return nil, err
	}
	wholeSeconds(out)
	return out, nil
}

// Empty is an empty object in a version of the kind: what is live before an object is
// created. It is of the version of the request, since the conversion from another
// may fill in defaults, which would then be taken for fields that somebody has set.
func (f *Manager) Empty(gv schema.GroupVersion) (runtime.Object, error) {
	gvk := gv.WithKind(f.kind.Kind)
	obj, err := f.kind.Types.New(gvk)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return obj, nil
}

// now is the time that managedFields carry.
func (f *Manager) now() metav1.Time {
	return metav1.Time{Time: resource.Timestamp(f.Clock.Now()).UTC()}
}

// wholeSeconds brings the times that the field manager wrote to the precision
// in which they are stored.
func wholeSeconds(obj runtime.Object) {
	m, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	entries := m.GetManagedFields()
	for i := range entries {
		if t := entries[i].Time; t != nil && t.Nanosecond() != 0 {
			s := t.Rfc3339Copy()
			entries[i].Time = &s
		}
	}
	m.SetManagedFields(entries)
}

// Restore puts back the entries from before admission if a rule left some that
// cannot be read, and answers the warning for that.
func Restore(m metav1.Object, before []metav1.ManagedFieldsEntry) (warning string) {
	after := m.GetManagedFields()
	if len(after) == len(before) && (len(after) == 0 || &after[0] == &before[0]) {
		return ""
	}
	err := managedfields.ValidateManagedFields(after)
	if err == nil {
		return ""
	}
	m.SetManagedFields(before)
	return fmt.Sprintf(".metadata.managedFields was in an invalid state after admission; this could be caused "+
		"by an outdated mutating admission controller; please fix your requests: %v", err)
}

// KeepTimes takes the old times of managedFields when nothing but times changed
// from old to obj, so that an update without effect is not written. m and oldMeta
// are their metadata.
func KeepTimes(obj runtime.Object, m metav1.Object, old runtime.Object, oldMeta metav1.Object) {
	before, after := oldMeta.GetManagedFields(), m.GetManagedFields()
	if len(before) != len(after) || len(after) == 0 {
		return
	}
	changed := false
	for i := range after {
		a, b := &after[i], &before[i]
		if !sameEntry(a, b) {
			return
		}
		changed = changed || !a.Time.Equal(b.Time)
	}
	if !changed {
		return
	}
	m.SetManagedFields(before)
	if !equality.Semantic.DeepEqual(WithKind(obj, old.GetObjectKind().GroupVersionKind()), old) {
		m.SetManagedFields(after)
	}
}

func sameFields(a, b *metav1.FieldsV1) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// converter lets the field manager see objects in any version without ever
// touching those of the cache.
type converter struct {
	f   *Manager
	ctx context.Context // of a request, or none
}

func (v converter) Convert(in, out, context any) error {
	return v.f.kind.Types.Convert(in, out, context)
}

func (v converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if _, ok := in.(runtime.Unstructured); ok && v.f.kind.Go != nil {
		typed, err := v.f.kind.Types.ConvertToVersion(in, gvk.GroupVersion())
		if err != nil {
			return nil, err
		}
		in = typed
	} else if kinds, _, err := v.f.kind.Types.ObjectKinds(in); err == nil {
		gvk = kinds[0]
	}
	want, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{gvk})
	if gv, is := target.(schema.GroupVersion); is {
		want, ok = gv.WithKind(gvk.Kind), true // may be another group: events
	}
	if !ok {
		return nil, fmt.Errorf("%s cannot be converted to %v", gvk, target)
	}
	if want == gvk {
		return WithKind(in, gvk), nil
	}
	out, err := v.f.Shared.Convert.ConvertContext(v.ctx, in, want.GroupVersion())
	if err != nil {
		return nil, err
	}
	return WithKind(out, want), nil
}

func (v converter) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return v.f.kind.Types.ConvertFieldLabel(gvk, label, value)
}

// WithKind gives obj, or a shallow copy of it, that carries its kind.
func WithKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	if obj.GetObjectKind().GroupVersionKind() == gvk {
		return obj
	}
	if _, ok := obj.(runtime.Unstructured); ok { // the kind is in the map
		out := obj.DeepCopyObject()
		out.GetObjectKind().SetGroupVersionKind(gvk)
		return out
	}
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(runtime.Object)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}
