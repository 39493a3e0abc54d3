package registry

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Most updates change values and no shape: a Lease's renewTime, a replica
// count, a label. What such an update does to managedFields depends on the
// shape, on which values changed, on the entries there were, and on who
// writes. So it is found once by the field manager and then kept by exactly
// these.

// shapedUpdate is an update that keeps the object's shape.
type shapedUpdate struct {
	key []byte
	old []metav1.ManagedFieldsEntry
	obj metav1.Object
}

// entryAfter is one of the entries after an update, without its time: that of
// the entry old, or now if old is negative.
type entryAfter struct {
	entry metav1.ManagedFieldsEntry
	old   int
}

// maxShapedEntries: from ten managers on, times decide which are merged.
const maxShapedEntries = 9

// shapeOfUpdate makes the key of an update; ok is false if it changes the
// shape or touches managedFields itself.
func (c *Core) shapeOfUpdate(r *request, live, obj runtime.Object, b []byte) (u shapedUpdate, ok bool) {
	lm, err1 := accessor(live)
	m, err2 := accessor(obj)
	if err1 != nil || err2 != nil || r.k.goType == nil || r.k.version(r.t) != r.k.hub.GroupVersion() {
		return u, false
	}
	u.old, u.obj = lm.GetManagedFields(), m
	if len(u.old) == 0 || len(u.old) > maxShapedEntries || !echoes(m.GetManagedFields(), u.old) {
		return u, false
	}
	a, z := reflect.ValueOf(live).Elem(), reflect.ValueOf(obj).Elem()
	if a.Type() != z.Type() {
		return u, false
	}
	if b, ok = appendShape(b, z, false); !ok {
		return u, false
	}
	shape := len(b)
	if b, ok = appendShape(b, a, false); !ok || string(b[:shape]) != string(b[shape:]) {
		return u, false
	}
	b = b[:shape]
	leaf := uint64(0)
	b = appendChanged(b, a, z, &leaf)
	b = append(b, 0)
	b = appendText(b, r.o.FieldManager, r.t.Subresource)
	hub := r.k.hub.GroupVersion().String()
	for i := range u.old {
		e := &u.old[i]
		if e.APIVersion != hub {
			return u, false // judged after a conversion, which may look at values
		}
		b = appendText(b, e.Manager, string(e.Operation), e.APIVersion, e.Subresource, e.FieldsType)
		if e.FieldsV1 != nil {
			b = appendText(b, e.FieldsV1.GetRawString())
		}
	}
	u.key = b
	return u, true
}

// echoes reports that a client sent the entries that it had read, or none.
func echoes(sent, old []metav1.ManagedFieldsEntry) bool {
	if sent == nil {
		return true
	}
	return slices.EqualFunc(sent, old, func(a, b metav1.ManagedFieldsEntry) bool {
		return sameEntry(&a, &b) && a.Time.Equal(b.Time)
	})
}

// sameEntry compares entries but for their times.
func sameEntry(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.Subresource == b.Subresource &&
		a.APIVersion == b.APIVersion && a.FieldsType == b.FieldsType && sameFields(a.FieldsV1, b.FieldsV1)
}

func appendText(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// probe is live with times that tell its entries apart from each other and
// from now, so that what the field manager does to them shows. obj takes its
// entries from there.
func (u *shapedUpdate) probe(live runtime.Object) runtime.Object {
	v := reflect.New(reflect.TypeOf(live).Elem())
	v.Elem().Set(reflect.ValueOf(live).Elem())
	out := v.Interface().(runtime.Object)
	entries := slices.Clone(u.old)
	for i := range entries {
		t := metav1.Unix(int64(i+1), 0)
		entries[i].Time = &t
	}
	if m, err := accessor(out); err == nil {
		m.SetManagedFields(entries)
	}
	u.obj.SetManagedFields(nil)
	return out
}

// learn reads off what the field manager made of the probe's entries.
func (u *shapedUpdate) learn(obj runtime.Object) []entryAfter {
	m, err := accessor(obj)
	if err != nil {
		return nil
	}
	out := make([]entryAfter, 0, len(m.GetManagedFields()))
	for _, e := range m.GetManagedFields() {
		x := entryAfter{entry: e, old: -1}
		if at := unix(e.Time); at >= 1 && at <= int64(len(u.old)) {
			x.old = int(at - 1)
		}
		x.entry.Time = nil
		out = append(out, x)
	}
	return out
}

// write gives the object the entries known for its update.
func (u *shapedUpdate) write(after []entryAfter, now metav1.Time) {
	entries := make([]metav1.ManagedFieldsEntry, len(after))
	for i, x := range after {
		entries[i] = x.entry
		if x.old < 0 {
			entries[i].Time = &now
		} else {
			entries[i].Time = u.old[x.old].Time
		}
	}
	slices.SortFunc(entries, compareEntries)
	u.obj.SetManagedFields(entries)
}

// compareEntries is upstream's order.
func compareEntries(a, b metav1.ManagedFieldsEntry) int {
	if c := strings.Compare(string(a.Operation), string(b.Operation)); c != 0 {
		return c
	}
	if c := unix(a.Time) - unix(b.Time); c != 0 {
		return int(c)
	}
	if c := strings.Compare(a.Manager, b.Manager); c != 0 {
		return c
	}
	if c := strings.Compare(a.APIVersion, b.APIVersion); c != 0 {
		return c
	}
	return strings.Compare(a.Subresource, b.Subresource)
}

func unix(t *metav1.Time) int64 {
	if t == nil {
		return 0
	}
	return t.Unix()
}

// appendChanged appends the numbers of the scalars that differ between two
// values of one shape. Scalars differ if their JSON does.
func appendChanged(b []byte, x, y reflect.Value, leaf *uint64) []byte {
	changed := false
	switch x.Kind() {
	case reflect.Pointer:
		if !x.IsNil() {
			b = appendChanged(b, x.Elem(), y.Elem(), leaf)
		}
		return b
	case reflect.Struct:
		p := shapeOf(x.Type())
		if p.as == asFields {
			for i := range p.fields {
				if fx := x.Field(p.fields[i].index); !fx.IsZero() {
					b = appendChanged(b, fx, y.Field(p.fields[i].index), leaf)
				}
			}
			return b
		}
		changed = !sameScalar(x, y)
	case reflect.Slice:
		if x.Type().Elem().Kind() != reflect.Uint8 {
			for i := range x.Len() {
				b = appendChanged(b, x.Index(i), y.Index(i), leaf)
			}
			return b
		}
		changed = string(x.Bytes()) != string(y.Bytes())
	case reflect.Map:
		return appendChangedMap(b, x, y, leaf)
	case reflect.String:
		changed = x.String() != y.String()
	case reflect.Bool:
		changed = x.Bool() != y.Bool()
	default:
		changed = !x.Equal(y)
	}
	if *leaf++; changed {
		b = binary.AppendUvarint(b, *leaf)
	}
	return b
}

func appendChangedMap(b []byte, x, y reflect.Value, leaf *uint64) []byte {
	keys := x.MapKeys()
	slices.SortFunc(keys, func(p, q reflect.Value) int { return strings.Compare(p.String(), q.String()) })
	for _, k := range keys {
		ex, ey := reflect.New(x.Type().Elem()).Elem(), reflect.New(x.Type().Elem()).Elem()
		ex.Set(x.MapIndex(k))
		ey.Set(y.MapIndex(k))
		b = appendChanged(b, ex, ey, leaf)
	}
	return b
}

// sameScalar compares the types of scalarTypes by what their JSON shows.
func sameScalar(x, y reflect.Value) bool {
	switch a := x.Addr().Interface().(type) {
	case *metav1.Time:
		return a.Unix() == y.Addr().Interface().(*metav1.Time).Unix()
	case *metav1.MicroTime:
		return a.UnixMicro() == y.Addr().Interface().(*metav1.MicroTime).UnixMicro()
	case *resource.Quantity:
		return a.String() == y.Addr().Interface().(*resource.Quantity).String()
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}
