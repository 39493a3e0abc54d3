package registry

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The managedFields of a new object say which fields its creator set. Which
// these are depends on the object's shape alone: on which fields, map keys and
// list items are there, not on what they hold. Only what names a list's items
// matters by value: their keys, see shapeType. The field
// manager needs some hundred microseconds to find the set of a Pod; pods of
// one template have one shape, so the set is kept by shape and shared.
//
// A shape is a byte string that two objects have in common only if their sets
// are equal: no hashing, no guess. Types that cannot be walked (raw JSON,
// interfaces) have no shape and go the long way.

// shapes are what is known of one kind's hub version: the sets of new objects
// by shape (a nil set is an empty one), and the entries after an update by
// the update's shape, see shapePair.
type shapes struct {
	once sync.Once
	root *shapeType // made by once

	created shapeMap[*metav1.FieldsV1]
	updated shapeMap[[]entryAfter]
}

// shapeMap is a map that forgets everything when it has grown too large.
type shapeMap[V any] struct {
	mu    sync.RWMutex
	m     map[string]V // guarded by mu
	bytes int          // of keys and values, about; guarded by mu
}

const (
	maxShapeBytes  = 16 << 10
	maxShapesBytes = 2 << 20
)

func (s *shapeMap[V]) get(shape []byte) (v V, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok = s.m[string(shape)]
	return v, ok
}

// put keeps a value of so many bytes.
func (s *shapeMap[V]) put(shape []byte, v V, size int) {
	if len(shape) > maxShapeBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.m[string(shape)]; known {
		return
	}
	size += len(shape)
	if s.bytes += size; s.m == nil || s.bytes > maxShapesBytes {
		s.m, s.bytes = make(map[string]V), size
	}
	s.m[string(shape)] = v
}

// trackByShape writes the managedFields of a new object from the set kept for
// its shape, or finds and keeps it. It reports false, and does nothing, when
// the object has none.
func (c *Core) trackByShape(r *request, obj runtime.Object) bool {
	m, err := accessor(obj)
	if err != nil || reflect.TypeOf(obj) != r.k.goType || m.GetManagedFields() != nil || r.k.version(r.t) != r.k.hub.GroupVersion() {
		return false
	}
	buf := shapeBuffers.Get().(*[]byte)
	defer shapeBuffers.Put(buf)
	shape, ok := appendShape((*buf)[:0], c.shapeType(r.k), reflect.ValueOf(obj).Elem(), false, nil)
	*buf = shape
	if !ok {
		return false
	}
	set, ok := r.k.fields.shapes.created.get(shape)
	if !ok {
		return c.learnShape(r, obj, m, shape)
	}
	if set == nil {
		return true
	}
	manager := r.o.FieldManager
	if manager == "" {
		manager = "unknown" // upstream's word
	}
	now := c.managedNow()
	m.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate,
		APIVersion: r.k.hub.GroupVersion().String(), Time: &now,
		FieldsType: "FieldsV1", FieldsV1: set,
	}})
	return true
}

// learnShape lets the field manager find the set of a shape.
func (c *Core) learnShape(r *request, obj runtime.Object, m metav1.Object, shape []byte) bool {
	live, err := c.newObject(r.k)
	if err != nil {
		return false
	}
	if out := c.track(r, live, obj); out != obj {
		return false
	}
	switch entries := m.GetManagedFields(); len(entries) {
	case 0:
		r.k.fields.shapes.created.put(shape, nil, 0)
	case 1:
		r.k.fields.shapes.created.put(shape, entries[0].FieldsV1, len(entries[0].FieldsV1.GetRawString()))
	}
	return true
}

var shapeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// appendShape appends the shape of v, of type t. keyed: v is a key, so it is
// written by value. keys, of an item's fields, may be nil. ok is false for
// values without a shape.
func appendShape(b []byte, t *shapeType, v reflect.Value, keyed bool, keys []bool) (_ []byte, ok bool) {
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
		return appendShape(append(b, 1), t.elem, v.Elem(), keyed, keys)
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

func appendStruct(b []byte, t *shapeType, v reflect.Value, keys []bool) (_ []byte, ok bool) {
	for i := range t.fields {
		f := &t.fields[i]
		fv := v.FieldByIndex(f.index)
		if fv.IsZero() {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i+1))
		if b, ok = appendShape(b, f.shapeType, fv, keys != nil && keys[i], nil); !ok {
			return b, false
		}
	}
	return append(b, 0), true
}

func appendList(b []byte, t *shapeType, v reflect.Value) (_ []byte, ok bool) {
	n := v.Len()
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		if b, ok = appendShape(b, t.elem, v.Index(i), t.list != listAtomic, t.keys); !ok {
			return b, false
		}
	}
	return b, true
}

func appendMap(b []byte, t *shapeType, v reflect.Value) (_ []byte, ok bool) {
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if m, is := v.Interface().(map[string]string); is {
		return appendStringMap(b, m), true
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for _, k := range keys {
		e := addressable(v.MapIndex(k))
		b = append(appendText(b, k.String()), byte(boolBit(e.IsZero())))
		if b, ok = appendShape(b, t.elem, e, false, nil); !ok {
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
