package registry

import (
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The managedFields of a new object say which fields its creator set. Which
// these are depends on the object's shape alone: on which fields, map keys and
// list items are there, not on what they hold. Only direct scalars of list
// items matter by value, because they may be the items' keys. The field
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
	created shapeMap[*metav1.FieldsV1]
	updated shapeMap[[]entryAfter]
}

// shapeMap is a map that forgets everything when it has grown too large.
type shapeMap[V any] struct {
	mu    sync.RWMutex
	m     map[string]V // guarded by mu
	bytes int          // of keys; guarded by mu
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

func (s *shapeMap[V]) put(shape []byte, v V) {
	if len(shape) > maxShapeBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes += len(shape); s.m == nil || s.bytes > maxShapesBytes {
		s.m, s.bytes = make(map[string]V), len(shape)
	}
	s.m[string(shape)] = v
}

// trackByShape writes the managedFields of a new object from the set kept for
// its shape, or finds and keeps it. It reports false, and does nothing, when
// the object has none.
func (c *Core) trackByShape(r *request, obj runtime.Object) bool {
	m, err := accessor(obj)
	if err != nil || r.k.goType == nil || m.GetManagedFields() != nil || r.k.version(r.t) != r.k.hub.GroupVersion() {
		return false
	}
	buf := shapeBuffers.Get().(*[]byte)
	defer shapeBuffers.Put(buf)
	shape, ok := appendShape((*buf)[:0], reflect.ValueOf(obj).Elem(), false)
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
		r.k.fields.shapes.created.put(shape, nil)
	case 1:
		r.k.fields.shapes.created.put(shape, entries[0].FieldsV1)
	}
	return true
}

var shapeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// appendShape appends the shape of v. keyed: v stands directly in a list item,
// so scalars are written by value. ok is false for types without a shape.
func appendShape(b []byte, v reflect.Value, keyed bool) (_ []byte, ok bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0), true
		}
		return appendShape(append(b, 1), v.Elem(), keyed)
	case reflect.Struct:
		return appendStruct(b, v, keyed)
	case reflect.Slice:
		return appendList(b, v)
	case reflect.Map:
		return appendMap(b, v)
	case reflect.String:
		if keyed {
			b = binary.AppendUvarint(b, uint64(v.Len()))
			b = append(b, v.String()...)
		}
		return b, true
	case reflect.Bool:
		if keyed {
			b = append(b, byte(boolBit(v.Bool())))
		}
		return b, true
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Int8, reflect.Int16:
		if keyed {
			b = binary.AppendVarint(b, v.Int())
		}
		return b, true
	case reflect.Uint, reflect.Uint32, reflect.Uint64, reflect.Uint8, reflect.Uint16:
		if keyed {
			b = binary.AppendUvarint(b, v.Uint())
		}
		return b, true
	}
	return b, false
}

func boolBit(v bool) int {
	if v {
		return 1
	}
	return 0
}

func appendStruct(b []byte, v reflect.Value, keyed bool) (_ []byte, ok bool) {
	p := shapeOf(v.Type())
	switch p.as {
	case asScalar:
		// Only whether it is there: a scalar with a type of its own is never a
		// key. IntOrString and the like are told apart from null.
		if t, is := v.Addr().Interface().(interface{ IsZero() bool }); is {
			return append(b, byte(boolBit(t.IsZero()))), true
		}
		return b, true
	case asOpaque:
		return b, false
	}
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.Field(f.index)
		if fv.IsZero() {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i+1))
		if b, ok = appendShape(b, fv, keyed && (f.inline || f.scalar)); !ok {
			return b, false
		}
	}
	return append(b, 0), true
}

func appendList(b []byte, v reflect.Value) (_ []byte, ok bool) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return append(b, byte(boolBit(v.Len() > 0))), true // bytes are a scalar
	}
	n := v.Len()
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		if b, ok = appendShape(b, v.Index(i), true); !ok {
			return b, false
		}
	}
	return b, true
}

func appendMap(b []byte, v reflect.Value) (_ []byte, ok bool) {
	if v.Type().Key().Kind() != reflect.String {
		return b, false
	}
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if m, is := v.Interface().(map[string]string); is {
		return appendStringMap(b, m), true
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for _, k := range keys {
		b = binary.AppendUvarint(b, uint64(k.Len()))
		b = append(b, k.String()...)
		e := reflect.New(v.Type().Elem()).Elem()
		e.Set(v.MapIndex(k))
		b = append(b, byte(boolBit(e.IsZero())))
		if b, ok = appendShape(b, e, false); !ok {
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
	for _, k := range keys {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
	}
	return b
}

// structShape is how a struct type is walked.
type structShape struct {
	as     int
	fields []fieldShape
}

type fieldShape struct {
	index  int
	name   string // in JSON
	inline bool   // its fields stand where it stands
	scalar bool   // may be a list item's key
}

const (
	asFields = iota
	asScalar
	asOpaque
)

var (
	structShapes sync.Map // reflect.Type → *structShape; a pure function of the type
	marshaler    = reflect.TypeFor[json.Marshaler]()
	objectMeta   = reflect.TypeFor[metav1.ObjectMeta]()
	typeMeta     = reflect.TypeFor[metav1.TypeMeta]()
	scalarTypes  = map[reflect.Type]bool{
		reflect.TypeFor[metav1.Time](): true, reflect.TypeFor[metav1.MicroTime](): true,
		reflect.TypeFor[metav1.Duration](): true, reflect.TypeFor[resource.Quantity](): true,
		reflect.TypeFor[intstr.IntOrString](): true,
	}
	// untracked are the metadata that no manager ever owns.
	untracked = map[string]bool{
		"Name": true, "Namespace": true, "UID": true, "CreationTimestamp": true, "SelfLink": true,
		"Generation": true, "ManagedFields": true, "ResourceVersion": true,
	}
)

func shapeOf(t reflect.Type) *structShape {
	if s, ok := structShapes.Load(t); ok {
		return s.(*structShape)
	}
	s := newStructShape(t)
	structShapes.Store(t, s)
	return s
}

func newStructShape(t reflect.Type) *structShape {
	switch {
	case scalarTypes[t]:
		return &structShape{as: asScalar}
	case t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler):
		return &structShape{as: asOpaque}
	}
	s := &structShape{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-" || f.Type == typeMeta:
			continue
		case t == objectMeta && untracked[f.Name]:
			continue
		}
		e := f.Type
		if e.Kind() == reflect.Pointer {
			e = e.Elem()
		}
		s.fields = append(s.fields, fieldShape{
			index:  i,
			name:   name,
			inline: strings.Contains(options, "inline") || (f.Anonymous && name == ""),
			scalar: e.Kind() != reflect.Struct && e.Kind() != reflect.Map && e.Kind() != reflect.Slice,
		})
	}
	return s
}
