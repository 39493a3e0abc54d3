package fieldmanager

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Most updates are alike: a Lease's renewTime, a replica count, a Pod that
// turns Running. What such an update does to managedFields depends on its
// key (see updateKey), on the entries there were, and on who writes. So it
// is found once by the field manager and then kept by exactly these.

// templatedUpdate is an update that has a key.
type templatedUpdate struct {
	updateKey
	old []metav1.ManagedFieldsEntry
	obj metav1.Object
}

// entryAfter is one of the entries after an update, without its time: that of
// the entry old, or now if old is negative. Its fields may hold marks.
type entryAfter struct {
	entry metav1.ManagedFieldsEntry
	old   int
}

// maxTemplatedEntries: from ten managers on, times decide which are merged.
const maxTemplatedEntries = 9

// templateOfUpdate makes the key of an update, appended to b; ok is false if it
// has none or touches managedFields itself.
func (f *Manager) templateOfUpdate(w Write, live, obj runtime.Object, b []byte) (u templatedUpdate, ok bool) {
	lm, err1 := meta.Accessor(live)
	m, err2 := meta.Accessor(obj)
	if err1 != nil || err2 != nil || reflect.TypeOf(obj) != f.kind.Go || reflect.TypeOf(live) != f.kind.Go || w.Version != f.hub.GroupVersion() {
		return u, false
	}
	u.old, u.obj = lm.GetManagedFields(), m
	if len(u.old) == 0 || len(u.old) > maxTemplatedEntries || !echoes(m.GetManagedFields(), u.old) {
		return u, false
	}
	u.updateKey, ok = keyOfUpdate(b, f.walkType(), reflect.ValueOf(live).Elem(), reflect.ValueOf(obj).Elem())
	if !ok {
		return u, false
	}
	u.b = append(appendText(u.b, w.Manager, w.sub()), byte(len(u.old)))
	hub := f.hub.GroupVersion().String()
	for i := range u.old {
		e := &u.old[i]
		if e.APIVersion != hub {
			return u, false // judged after a conversion, which may look at values
		}
		u.b = appendText(u.b, e.Manager, string(e.Operation), e.APIVersion, e.Subresource, e.FieldsType)
		if u.b = append(u.b, byte(boolBit(e.FieldsV1 != nil))); e.FieldsV1 != nil {
			u.b = appendText(u.b, u.masked(e.FieldsV1.GetRawString()))
		}
	}
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
func (u *templatedUpdate) probe(live runtime.Object) runtime.Object {
	v := reflect.New(reflect.TypeOf(live).Elem())
	v.Elem().Set(reflect.ValueOf(live).Elem())
	out := v.Interface().(runtime.Object)
	entries := slices.Clone(u.old)
	for i := range entries {
		t := metav1.Unix(int64(i+1), 0)
		entries[i].Time = &t
	}
	if m, err := meta.Accessor(out); err == nil {
		m.SetManagedFields(entries)
	}
	u.obj.SetManagedFields(nil)
	return out
}

// entriesAfter reads off what the field manager made of the probe's entries.
func (u *templatedUpdate) entriesAfter(obj runtime.Object) []entryAfter {
	m, err := meta.Accessor(obj)
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
		if e.FieldsV1 != nil && len(u.lone) > 0 {
			x.entry.FieldsV1 = metav1.NewFieldsV1(u.masked(e.FieldsV1.GetRawString()))
		}
		out = append(out, x)
	}
	return out
}

// entryBytes is about what entries take in memory.
func entryBytes(entries []entryAfter) int {
	n := 0
	for _, e := range entries {
		if n += 200; e.entry.FieldsV1 != nil {
			n += len(e.entry.FieldsV1.GetRawString())
		}
	}
	return n
}

// write gives the object the entries known for its update.
func (u *templatedUpdate) write(after []entryAfter, now metav1.Time) {
	entries := make([]metav1.ManagedFieldsEntry, len(after))
	for i, x := range after {
		entries[i] = x.entry
		if x.old < 0 {
			entries[i].Time = &now
		} else {
			entries[i].Time = u.old[x.old].Time
		}
		if f := x.entry.FieldsV1; f != nil && len(u.lone) > 0 {
			entries[i].FieldsV1 = metav1.NewFieldsV1(u.shown(f.GetRawString()))
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
