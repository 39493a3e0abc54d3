package watch

import (
	"maps"
	"reflect"
	"strconv"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/watch/encodings"
)

// Object is one revision of one object. It is immutable and shared: nobody
// may modify Obj or the encodings.
type Object struct {
	Key       string // the store's key
	Namespace string
	Name      string
	Revision  int64          // its resourceVersion
	Obj       runtime.Object // hub version, with resourceVersion set

	stored int             // bytes of the stored value; 0 before the event has come
	pool   *encodings.Pool // bounds the encodings; nil for an object in no cache

	waiting atomic.Int32 // events that wait for a reader with this as their Prev

	encodings encodings.Set
}

// Encoding returns the object's bytes in a version and media type. They are
// made by make, and kept as long as they are asked for and there is room.
func (o *Object) Encoding(version, mediaType string, make func(runtime.Object) ([]byte, error)) ([]byte, error) {
	return o.encodings.Get(o.pool, o.Obj, version, mediaType, make)
}

// Encoded tells that the object's bytes in a version and media type are ready.
func (o *Object) Encoded(version, mediaType string) bool {
	return o.encodings.Ready(version, mediaType)
}

// footprint is about how much memory the object takes without its encodings.
// A decoded object takes four to six times its protobuf form.
func (o *Object) footprint() int { return objectBytes + 5*o.stored }

// objectBytes is what every object takes, its place in the tree included.
const objectBytes = 512

// at returns the object with another resourceVersion: what a watcher is told
// of an object that is gone. It shares everything else.
func (o *Object) at(rev int64) *Object {
	obj := shallow(o.Obj)
	if m, err := meta.Accessor(obj); err == nil {
		m.SetResourceVersion(strconv.FormatInt(rev, 10))
	}
	return &Object{Key: o.Key, Namespace: o.Namespace, Name: o.Name, Revision: rev, Obj: obj, pool: o.pool}
}

// shallow copies an object so far that its resourceVersion can be set without
// touching the original.
func shallow(obj runtime.Object) runtime.Object {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		if m, ok := u.Object["metadata"].(map[string]any); ok {
			top := maps.Clone(u.Object)
			top["metadata"] = maps.Clone(m)
			return &unstructured.Unstructured{Object: top}
		}
		return obj.DeepCopyObject()
	}
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return obj.DeepCopyObject()
	}
	if f, ok := v.Elem().Type().FieldByName("ObjectMeta"); !ok || f.Type != objectMeta {
		return obj.DeepCopyObject()
	}
	c := reflect.New(v.Elem().Type())
	c.Elem().Set(v.Elem())
	return c.Interface().(runtime.Object)
}

var objectMeta = reflect.TypeFor[metav1.ObjectMeta]()
