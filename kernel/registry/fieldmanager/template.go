package fieldmanager

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The managedFields of a new object say which fields its creator set. Which these
// are depends on which fields, map keys and list items are there, not on what they
// hold. Only what names a list's items matters by value: their keys, see walkType.
// The field manager needs some hundred microseconds to find the set of a Pod; pods
// of one controller have one set, so it is kept as a template and shared.
//
// A template's key is a byte string that two objects have in common only if their
// sets are equal: no hashing, no guess. Types that cannot be walked (raw JSON,
// interfaces) have no key and go the long way.

// templates are what is known of one kind's hub version: the sets of new objects (a
// nil set is an empty one), and the entries after an update, see updateKey.
type templates struct {
	once sync.Once
	root *walkType // made by once

	created templateCache[*metav1.FieldsV1]
	updated templateCache[[]entryAfter]
}

// templateCache is a map that forgets everything when it has grown too large.
type templateCache[V any] struct {
	mu    sync.RWMutex
	m     map[string]V // guarded by mu
	bytes int          // of keys and values, about; guarded by mu
}

const (
	maxKeyBytes      = 16 << 10
	maxTemplateBytes = 2 << 20
)

func (s *templateCache[V]) get(key []byte) (v V, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok = s.m[string(key)]
	return v, ok
}

// put keeps a value of so many bytes.
func (s *templateCache[V]) put(key []byte, v V, size int) {
	if len(key) > maxKeyBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.m[string(key)]; known {
		return
	}
	size += len(key)
	if s.bytes += size; s.m == nil || s.bytes > maxTemplateBytes {
		s.m, s.bytes = make(map[string]V), size
	}
	s.m[string(key)] = v
}

// fromTemplate writes the managedFields of a new object from the template with its
// key, or makes that. It reports false, and does nothing, when
// the object has none.
func (f *Manager) fromTemplate(w Write, obj runtime.Object) bool {
	m, err := meta.Accessor(obj)
	if err != nil || reflect.TypeOf(obj) != f.kind.Go || m.GetManagedFields() != nil || w.Version != f.hub.GroupVersion() {
		return false
	}
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	key, ok := appendKey((*buf)[:0], f.walkType(), reflect.ValueOf(obj).Elem(), false, nil)
	*buf = key
	if !ok {
		return false
	}
	set, ok := f.templates.created.get(key)
	if !ok {
		return f.fillTemplate(w, obj, m, key)
	}
	if set == nil {
		return true
	}
	manager := w.Manager
	if manager == "" {
		manager = "unknown" // upstream's word
	}
	now := f.now()
	m.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate,
		APIVersion: f.hub.GroupVersion().String(), Time: &now,
		FieldsType: "FieldsV1", FieldsV1: set,
	}})
	return true
}

// fillTemplate has the field manager compute the set of a template.
func (f *Manager) fillTemplate(w Write, obj runtime.Object, m metav1.Object, key []byte) bool {
	live, err := f.Empty(w.Version)
	if err != nil {
		return false
	}
	if out := f.Track(w, live, obj); out != obj {
		return false
	}
	switch entries := m.GetManagedFields(); len(entries) {
	case 0:
		f.templates.created.put(key, nil, 0)
	case 1:
		f.templates.created.put(key, entries[0].FieldsV1, len(entries[0].FieldsV1.GetRawString()))
	}
	return true
}

var keyBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// appendKey appends the key of v, of type t. keyed: v names a list's item, so it is
// written by value. keys, of an item's fields, may be nil. ok is false for
// values without a key.
func appendKey(b []byte, t *walkType, v reflect.Value, keyed bool, keys []bool) (_ []byte, ok bool) {
	switch t.as {
	case asScalar:
		if keyed {
			b = appendScalar(b, v)
		}
		return b, true
	case asText:
		if t, is := v.Addr().Interface().(interface{ IsZero() bool }); is {
			b = append(b, byte(boolBit(t.IsZero()))) // then JSON has null
		}
		return b, true
	case asPointer:
		if v.IsNil() {
			return append(b, 0), true
		}
		return appendKey(append(b, 1), t.elem, v.Elem(), keyed, keys)
	case asStruct:
		return appendStruct(b, t, v, keys)
	case asBytes:
		return append(b, byte(boolBit(v.Len() > 0))), true
	case asList:
		return appendList(b, t, v)
	case asMap:
		return appendMap(b, t, v)
	}
	return b, false
}

func appendScalar(b []byte, v reflect.Value) []byte {
	switch {
	case v.Kind() == reflect.String:
		return appendText(b, v.String())
	case v.Kind() == reflect.Bool:
		return append(b, byte(boolBit(v.Bool())))
	case v.CanInt():
		return binary.AppendVarint(b, v.Int())
	}
	return binary.AppendUvarint(b, v.Uint())
}

func boolBit(v bool) int {
	if v {
		return 1
	}
	return 0
}

func appendStruct(b []byte, t *walkType, v reflect.Value, keys []bool) (_ []byte, ok bool) {
	for i := range t.fields {
		f := &t.fields[i]
		fv := v.FieldByIndex(f.index)
		if fv.IsZero() {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i+1))
		if b, ok = appendKey(b, f.walkType, fv, keys != nil && keys[i], nil); !ok {
			return b, false
		}
	}
	return append(b, 0), true
}

func appendList(b []byte, t *walkType, v reflect.Value) (_ []byte, ok bool) {
	n := v.Len()
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		if b, ok = appendKey(b, t.elem, v.Index(i), t.list != listAtomic, t.keys); !ok {
			return b, false
		}
	}
	return b, true
}

func appendMap(b []byte, t *walkType, v reflect.Value) (_ []byte, ok bool) {
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if m, is := v.Interface().(map[string]string); is {
		return appendStringMap(b, m), true
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for _, k := range keys {
		e := addressable(v.MapIndex(k))
		b = append(appendText(b, k.String()), byte(boolBit(e.IsZero())))
		if b, ok = appendKey(b, t.elem, e, false, nil); !ok {
			return b, false
		}
	}
	return b, true
}

func appendStringMap(b []byte, m map[string]string) []byte {
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return appendText(b, keys...)
}
