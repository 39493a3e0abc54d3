package resource

import (
	"bytes"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EncodeCanonical brings an object of the hub version to the form in which
// Decode will read it, and writes it for the store. An object is then one
// value, whether it is answered by the server that wrote it or by one that
// starts afterwards. It returns obj, changed in place, or another object.
//
// obj must be the caller's to change. If shared is set, parts of it may belong
// to objects that are in this form already, as everything in the cache is:
// those are not written to.
// RATIONALE.md: "What is stored is not read back, but made canonical"
func (c *Codec) EncodeCanonical(d *Definition, obj runtime.Object, shared bool) (runtime.Object, []byte, error) {
	if d.JSONStored {
		return c.readBack(d, obj)
	}
	normalize(obj)
	if d.Strategy.Decoded != nil {
		d.Strategy.Decoded(obj)
	}
	if shared {
		return c.encodeShared(d, obj)
	}
	c.scheme.Default(obj)
	normalize(obj) // defaults make empty maps
	value, err := c.EncodeStorage(d, obj)
	return obj, value, err
}

// encodeShared sets defaults in a copy, for they write to maps even where they
// change nothing. The copy replaces the object only if it came out different.
func (c *Codec) encodeShared(d *Definition, obj runtime.Object) (runtime.Object, []byte, error) {
	defaulted := obj.DeepCopyObject()
	c.scheme.Default(defaulted)
	normalize(defaulted)
	value, err := c.EncodeStorage(d, obj)
	if err != nil {
		return nil, nil, err
	}
	after, err := c.EncodeStorage(d, defaulted)
	if err != nil {
		return nil, nil, err
	}
	if bytes.Equal(value, after) {
		return obj, value, nil
	}
	return defaulted, after, nil
}

// readBack is for JSON, which keeps some empty lists and drops others, as the
// fields' tags say. Such kinds are few and seldom written.
func (c *Codec) readBack(d *Definition, obj runtime.Object) (runtime.Object, []byte, error) {
	value, err := c.EncodeStorage(d, obj)
	if err != nil {
		return nil, nil, err
	}
	out, err := c.Decode(d, value, 0)
	if err != nil {
		return nil, nil, err
	}
	from, err := meta.Accessor(obj)
	if err != nil {
		return nil, nil, err
	}
	to, err := meta.Accessor(out)
	if err != nil {
		return nil, nil, err
	}
	to.SetResourceVersion(from.GetResourceVersion())
	return out, value, nil
}

// normalize does to an object what writing it as protobuf and reading it back
// would, in place. It writes only where something changes.
func normalize(obj runtime.Object) {
	if _, ok := obj.(runtime.Unstructured); ok {
		return // it is read from JSON, never from protobuf
	}
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	if fix := normalizerOf(v.Elem().Type()); fix != nil {
		fix(v.Elem())
	}
}

// A normalizer is normalize for one type. Nil: there is nothing to do.
type normalizer func(reflect.Value)

var normalizers = struct {
	mu     sync.Mutex
	byType map[reflect.Type]*slot // guarded by mu
	ready  sync.Map               // reflect.Type → normalizer, of whole objects
}{byType: map[reflect.Type]*slot{}}

// slot is the normalizer of a type; not yet done while those of its parts are
// made, which may lead back to it.
type slot struct {
	fix  normalizer
	done bool
}

func normalizerOf(t reflect.Type) normalizer {
	if fix, ok := normalizers.ready.Load(t); ok {
		return fix.(normalizer)
	}
	normalizers.mu.Lock()
	defer normalizers.mu.Unlock()
	fix := makeNormalizer(t)
	normalizers.ready.Store(t, fix)
	return fix
}

// makeNormalizer is called with the lock held.
func makeNormalizer(t reflect.Type) normalizer {
	known := normalizers.byType[t]
	if known != nil && known.done {
		return known.fix
	}
	if known != nil {
		return func(v reflect.Value) {
			if known.fix != nil {
				known.fix(v)
			}
		}
	}
	known = &slot{}
	normalizers.byType[t] = known
	switch {
	case !holdsNormalizable(t):
	case t.Kind() == reflect.Struct:
		known.fix = structNormalizer(t)
	case t.Kind() == reflect.Pointer:
		known.fix = pointerNormalizer(t)
	case t.Kind() == reflect.Slice:
		known.fix = sliceNormalizer(t)
	case t.Kind() == reflect.Map:
		known.fix = mapNormalizer(t)
	}
	known.done = true
	return known.fix
}

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	rawType       = reflect.TypeFor[runtime.RawExtension]()
)

// holdsNormalizable tells kinds of types apart; bytes keep even their
// emptiness.
func holdsNormalizable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return t != rawType
	case reflect.Pointer, reflect.Map:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	}
	return false
}

func structNormalizer(t reflect.Type) normalizer {
	switch t {
	case timeType:
		return func(v reflect.Value) { truncate(v, time.Second) }
	case microTimeType:
		return func(v reflect.Value) { truncate(v, time.Microsecond) }
	}
	type field struct {
		index int
		fix   normalizer
	}
	var fields []field
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			continue
		}
		if fix := makeNormalizer(t.Field(i).Type); fix != nil {
			fields = append(fields, field{i, fix})
		}
	}
	if fields == nil {
		return nil
	}
	return func(v reflect.Value) {
		for i := range fields {
			fields[i].fix(v.Field(fields[i].index))
		}
	}
}

// truncate cuts a time to the precision in which it is written.
func truncate(v reflect.Value, to time.Duration) {
	field := v.Field(0)
	if t := field.Addr().Interface().(*time.Time); t.Nanosecond()%int(to) != 0 {
		*t = t.Truncate(to)
	}
}

func pointerNormalizer(t reflect.Type) normalizer {
	fix := makeNormalizer(t.Elem())
	if fix == nil {
		return nil
	}
	return func(v reflect.Value) {
		if !v.IsNil() {
			fix(v.Elem())
		}
	}
}

// A list without elements and no list are written alike.
func sliceNormalizer(t reflect.Type) normalizer {
	fix := makeNormalizer(t.Elem())
	return func(v reflect.Value) {
		n := v.Len()
		if n == 0 {
			if !v.IsNil() {
				v.SetZero()
			}
			return
		}
		if fix == nil {
			return
		}
		for i := range n {
			fix(v.Index(i))
		}
	}
}

func mapNormalizer(t reflect.Type) normalizer {
	fix, raw := makeNormalizer(t.Elem()), t.Elem().Kind() == reflect.Slice && t.Elem().Elem().Kind() == reflect.Uint8
	return func(v reflect.Value) {
		switch {
		case v.IsNil():
		case v.Len() == 0:
			v.SetZero()
		case raw:
			fillBytes(v)
		case fix != nil:
			fixValues(v, fix)
		}
	}
}

// fillBytes: as a map's value, no bytes are read back as empty ones.
func fillBytes(v reflect.Value) {
	for it := v.MapRange(); it.Next(); {
		if it.Value().IsNil() {
			v.SetMapIndex(it.Key(), reflect.MakeSlice(it.Value().Type(), 0, 0))
		}
	}
}

// fixValues of a map, which cannot be changed in place.
func fixValues(v reflect.Value, fix normalizer) {
	for it := v.MapRange(); it.Next(); {
		value := reflect.New(it.Value().Type()).Elem()
		value.Set(it.Value())
		fix(value)
		if !reflect.DeepEqual(value.Interface(), it.Value().Interface()) {
			v.SetMapIndex(it.Key(), value)
		}
	}
}

// Timestamp is a moment as the API keeps it: in whole seconds, so that what is in
// memory equals what is read back.
func Timestamp(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// MicroTimestamp is a moment as leases and events keep it, in whole microseconds.
func MicroTimestamp(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.Truncate(time.Microsecond))
}
