package registry

import (
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
)

// fieldManagers are a kind's trackers of who owns which field: one for each
// version and subresource, made when first needed.
type fieldManagers struct {
	mu     sync.Mutex
	m      map[fieldManagerKey]*managedfields.FieldManager // guarded by mu
	shapes shapes
}

type fieldManagerKey struct {
	gv  schema.GroupVersion
	sub string
}

// fieldManager gives the tracker of a version and subresource (nil for the
// object itself).
func (c *Core) fieldManager(k *kind, gv schema.GroupVersion, sub *resource.Subresource) (*managedfields.FieldManager, error) {
	key := fieldManagerKey{gv: gv}
	if sub != nil {
		key.sub = sub.Name
	}
	k.fields.mu.Lock()
	defer k.fields.mu.Unlock()
	if fm := k.fields.m[key]; fm != nil {
		return fm, nil
	}
	fm, err := c.newFieldManager(k, gv, sub)
	if err != nil {
		return nil, fmt.Errorf("field manager of %s in %s: %w", k.gr, gv, err)
	}
	if k.fields.m == nil {
		k.fields.m = make(map[fieldManagerKey]*managedfields.FieldManager)
	}
	k.fields.m[key] = fm
	return fm, nil
}

func (c *Core) newFieldManager(k *kind, gv schema.GroupVersion, sub *resource.Subresource) (*managedfields.FieldManager, error) {
	kindName, subName, hub := gv.WithKind(k.Kind), "", k.hub.GroupVersion()
	if sub != nil {
		subName = sub.Name
		if sub.Style == resource.StyleProjection {
			kindName, hub = sub.Kind, sub.Kind.GroupVersion()
		}
	}
	types := k.types
	if kindName.Kind != k.Kind {
		types = c.scheme
	}
	return managedfields.NewDefaultFieldManager(k.typeConverter(kindName), converter{c, k}, types, types,
		kindName, hub, subName, k.resetFields(sub))
}

// typeConverter is the definition's, or for a kind without a schema there one
// that takes an object's fields as they come: lists are then owned as a whole.
func (k *kind) typeConverter(gvk schema.GroupVersionKind) managedfields.TypeConverter {
	if k.converter != nil {
		obj, err := k.types.New(gvk)
		if err == nil {
			obj.GetObjectKind().SetGroupVersionKind(gvk)
			if _, err = k.converter.ObjectToTyped(obj); err == nil {
				return k.converter
			}
		}
	}
	return managedfields.NewDeducedTypeConverter()
}

// resetFields are what the path of a request cannot write, so that nobody
// comes to own it there: status through the object, spec through status, and
// what else the kind keeps.
func (k *kind) resetFields(sub *resource.Subresource) map[fieldpath.APIVersion]fieldpath.Filter {
	filter := k.Strategy.ResetFields
	if sub != nil {
		filter = sub.ResetFields
	}
	if filter == nil {
		switch {
		case sub == nil && k.Subresource("status") != nil:
			filter = excluding("status")
		case sub != nil && sub.Style == resource.StyleStatus:
			filter = excluding("spec")
		default:
			return nil
		}
	}
	out := make(map[fieldpath.APIVersion]fieldpath.Filter, len(k.Versions)+1)
	for _, v := range append([]string{k.StorageVersion}, k.Versions...) {
		gv := schema.GroupVersion{Group: k.Group, Version: v}
		out[fieldpath.APIVersion(gv.String())] = filter
	}
	return out
}

func excluding(part string) fieldpath.Filter {
	return fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie(part)))
}

// trackCreate writes the managedFields of a new object.
func (c *Core) trackCreate(r *request, obj runtime.Object) runtime.Object {
	if c.trackByShape(r, obj) {
		return obj
	}
	live, err := c.newObject(r.k)
	if err != nil {
		return obj
	}
	return c.track(r, live, obj)
}

// trackUpdate writes the managedFields of obj, the next state of live.
func (c *Core) trackUpdate(r *request, live, obj runtime.Object) runtime.Object {
	key := shapeBuffers.Get().(*[]byte)
	defer shapeBuffers.Put(key)
	u, ok := c.shapeOfUpdate(r, live, obj, (*key)[:0])
	if !ok {
		return c.track(r, live, obj)
	}
	*key = u.b
	after, known := r.k.fields.shapes.updated.get(u.b)
	if !known {
		after = u.learn(c.track(r, u.probe(live), obj))
		r.k.fields.shapes.updated.put(u.b, after, entryBytes(after))
	}
	u.write(after, c.managedNow())
	return obj
}

// managedNow is the time that managedFields carry.
func (c *Core) managedNow() metav1.Time { return metav1.NewTime(c.now().UTC()) }

// track never fails: an object whose fields cannot be tracked keeps the
// entries it had. live is not modified.
func (c *Core) track(r *request, live, obj runtime.Object) (out runtime.Object) {
	m, err := accessor(obj)
	if err != nil {
		return obj
	}
	fm, err := c.fieldManager(r.k, r.k.version(r.t), r.sub)
	if err != nil {
		c.log.Warn("fields are not tracked", "resource", r.k.gr.String(), "error", err)
		return obj
	}
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("tracking fields panicked", "resource", r.k.gr.String(), "panic", p)
			if lm, err := accessor(live); err == nil {
				m.SetManagedFields(lm.GetManagedFields())
			}
			out = obj
		}
	}()
	out = fm.UpdateNoErrors(live, obj, r.o.FieldManager)
	wholeSeconds(out)
	return out
}

// wholeSeconds brings the times that the field manager wrote to the precision
// in which they are stored.
func wholeSeconds(obj runtime.Object) {
	m, err := accessor(obj)
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

// keepManagedFields puts back the entries from before admission if a rule left
// some that cannot be read.
func (r *request) keepManagedFields(m metav1.Object, before []metav1.ManagedFieldsEntry) {
	after := m.GetManagedFields()
	if len(after) == len(before) && (len(after) == 0 || &after[0] == &before[0]) {
		return
	}
	if err := managedfields.ValidateManagedFields(after); err != nil {
		m.SetManagedFields(before)
		r.warn(fmt.Sprintf(".metadata.managedFields was in an invalid state after admission; this could be caused "+
			"by an outdated mutating admission controller; please fix your requests: %v", err))
	}
}

// keepTimes takes the old times of managedFields when nothing but times
// changed, so that an update without effect is not written.
func keepTimes(obj runtime.Object, m metav1.Object, oldObj runtime.Object, old metav1.Object) {
	before, after := old.GetManagedFields(), m.GetManagedFields()
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
	if !equality.Semantic.DeepEqual(withKind(obj, oldObj.GetObjectKind().GroupVersionKind()), oldObj) {
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
	c *Core
	k *kind
}

func (v converter) Convert(in, out, context any) error {
	return v.k.types.Convert(in, out, context)
}

func (v converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if _, ok := in.(runtime.Unstructured); ok && v.k.goType != nil {
		typed, err := v.k.types.ConvertToVersion(in, gvk.GroupVersion())
		if err != nil {
			return nil, err
		}
		in = typed
	} else if kinds, _, err := v.k.types.ObjectKinds(in); err == nil {
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
		return withKind(in, gvk), nil
	}
	out, err := v.c.codec.Convert(in, want.GroupVersion())
	if err != nil {
		return nil, err
	}
	return withKind(out, want), nil
}

func (v converter) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return v.k.types.ConvertFieldLabel(gvk, label, value)
}

// withKind gives obj, or a shallow copy of it, that carries its kind.
func withKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	if obj.GetObjectKind().GroupVersionKind() == gvk {
		return obj
	}
	v := reflect.New(reflect.TypeOf(obj).Elem())
	v.Elem().Set(reflect.ValueOf(obj).Elem())
	out := v.Interface().(runtime.Object)
	out.GetObjectKind().SetGroupVersionKind(gvk)
	return out
}
