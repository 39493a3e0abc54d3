package render

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// versions are objects in the version of a request, as far as somebody outside had to be
// asked for that. All others are brought to it when they are encoded.
type versions map[*watch.Object]runtime.Object

// convert asks about all objects of an answer at once, but for those that need not be
// asked about, and gives up when the client does. An object is not asked about while
// others wait for its bytes.
func (s *Renderer) convert(c *endpoint.Request, gv schema.GroupVersion, objs []*watch.Object, needless func(*watch.Object) bool) (versions, error) {
	d, ok := s.Catalog.Snapshot().TypesOf(c.Def).(resource.Deferrer)
	if !ok || !d.Defers() {
		return nil, nil
	}
	var of []*watch.Object
	var in []runtime.Object
	for _, o := range objs {
		_, custom := o.Obj.(runtime.Unstructured) // a subresource's object is none
		if custom && o.Obj.GetObjectKind().GroupVersionKind().GroupVersion() != gv && !needless(o) {
			of, in = append(of, o), append(in, o.Obj)
		}
	}
	if len(in) == 0 {
		return nil, nil
	}
	out, err := d.ConvertAll(c.R.Context(), in, gv)
	if err != nil {
		return nil, err
	}
	v := make(versions, len(of))
	for i, o := range of {
		v[o] = out[i]
	}
	return v, nil
}

// of is an object as it is printed.
func (v versions) of(o *watch.Object) runtime.Object {
	if obj := v[o]; obj != nil {
		return obj
	}
	return o.Obj
}

// Objects encodes objects of an answer in its version. The bytes are shared.
func (s *Renderer) Objects(c *endpoint.Request, gv schema.GroupVersion, media string, objs ...*watch.Object) ([][]byte, error) {
	v, err := s.convert(c, gv, objs, func(o *watch.Object) bool { return o.Encoded(gv.String(), media) })
	if err != nil {
		return nil, err
	}
	out := make([][]byte, 0, len(objs))
	for _, o := range objs {
		b, err := s.encode(gv, media, o, v)
		if err != nil {
			return nil, named(o, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// encode returns an object's shared bytes in a version. The group counts, too: an Event
// is of two groups with a version v1 each.
func (s *Renderer) encode(gv schema.GroupVersion, media string, o *watch.Object, v versions) ([]byte, error) {
	return o.Encoding(gv.String(), media, func(runtime.Object) ([]byte, error) {
		b, err := s.Codec.Encode(v.of(o), gv, media)
		return Trimmed(media, b), err
	})
}
