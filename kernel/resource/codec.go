package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/yaml"
)

// The media types that the codec reads and writes.
const (
	JSON     = runtime.ContentTypeJSON
	YAML     = runtime.ContentTypeYAML
	Protobuf = runtime.ContentTypeProtobuf
)

// Codec turns objects into bytes and back, and between versions. It may be
// used from any goroutine. It never changes an object that it encodes.
type Codec struct {
	catalog *Catalog
	scheme  *runtime.Scheme // of every table of the catalog

	json, jsonStrict *k8sjson.Serializer
	yaml, yamlStrict *k8sjson.Serializer
}

// NewCodec returns the codec of a catalog's kinds.
func NewCodec(catalog *Catalog) *Codec {
	c := &Codec{catalog: catalog, scheme: catalog.Snapshot().Scheme}
	serializer := func(yaml, strict bool) *k8sjson.Serializer {
		return k8sjson.NewSerializerWithOptions(k8sjson.DefaultMetaFactory, creater{c}, c.scheme,
			k8sjson.SerializerOptions{Yaml: yaml, Strict: strict})
	}
	c.json, c.jsonStrict = serializer(false, false), serializer(false, true)
	c.yaml, c.yamlStrict = serializer(true, false), serializer(true, true)
	return c
}

// creater makes the object to decode into, by its kind's own types.
type creater struct{ codec *Codec }

func (x creater) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	return x.codec.typesOf(kind.GroupKind()).New(kind)
}

// typesOf are the types of a kind: its definition's, or the Scheme, which also
// knows kinds that are no resources.
func (c *Codec) typesOf(gk schema.GroupKind) Types {
	if d := c.catalog.LookupKind(gk); d != nil && d.Types != nil {
		return d.Types
	}
	return c.scheme
}

// types are those of an object. Only those of an unstructured one can be other
// than the Scheme.
func (c *Codec) types(obj runtime.Object) Types {
	if _, ok := obj.(runtime.Unstructured); ok {
		return c.typesOf(obj.GetObjectKind().GroupVersionKind().GroupKind())
	}
	return c.scheme
}

// own are the types of a definition, in the catalog or not: what was begun with
// a definition that goes meanwhile is ended with it.
func (c *Codec) own(d *Definition) Types {
	if d.Types != nil {
		return d.Types
	}
	return c.scheme
}

// complete prunes and defaults an object that was decoded, and returns what
// there is to complain about.
func complete(types Types, obj runtime.Object, stored bool) (unknown []error, err error) {
	if p, ok := types.(Pruner); ok {
		if unknown, err = p.Prune(obj, stored); err != nil {
			return nil, err
		}
	}
	types.Default(obj)
	return unknown, nil
}

// Decode reads a stored value, in protobuf or JSON, and returns the hub object
// with defaults and with rev as its resourceVersion. A value of an older
// version is converted. The object does not share memory with value.
func (c *Codec) Decode(d *Definition, value []byte, rev int64) (runtime.Object, error) {
	obj, kind, err := c.decodeStored(d, value)
	if err != nil {
		return nil, fmt.Errorf("decode stored %s: %w", d.GroupResource(), err)
	}
	if _, err := complete(c.own(d), obj, true); err != nil {
		return nil, fmt.Errorf("decode stored %s: %w", d.GroupResource(), err)
	}
	hub := d.Hub()
	if kind != hub {
		if kind.Kind != hub.Kind {
			return nil, fmt.Errorf("decode stored %s: found a %s", d.GroupResource(), kind)
		}
		if Defers(c.own(d)) {
			hub = kind
		} else if obj, err = c.convert(context.Background(), c.own(d), obj, hub.GroupVersion()); err != nil {
			return nil, fmt.Errorf("decode stored %s: %w", d.GroupResource(), err)
		}
	}
	normalize(obj) // conversions and defaults make empty lists and maps
	obj.GetObjectKind().SetGroupVersionKind(hub)
	acc, err := meta.Accessor(obj)
	if err != nil {
		return nil, fmt.Errorf("decode stored %s: %w", d.GroupResource(), err)
	}
	acc.SetResourceVersion(strconv.FormatInt(rev, 10))
	if d.Strategy.Decoded != nil {
		d.Strategy.Decoded(obj)
	}
	return obj, nil
}

// Outdated reports whether a stored value is of another version, or in another form, than
// an object of the definition is written in today: it was written before the storage
// version changed. Of a value that cannot be read it is false.
func (c *Codec) Outdated(d *Definition, value []byte) bool {
	if !isEnvelope(value) {
		var is metav1.TypeMeta
		err := json.Unmarshal(value, &is)
		return err == nil && (!d.JSONStored || is.GroupVersionKind() != d.Hub())
	}
	is, _, err := openEnvelope(value)
	return err == nil && (d.JSONStored || is != d.Hub())
}

func (c *Codec) decodeStored(d *Definition, value []byte) (runtime.Object, schema.GroupVersionKind, error) {
	if d.Types != nil {
		obj, err := d.Types.New(d.Hub())
		if err == nil {
			err = json.Unmarshal(value, obj)
		}
		if err != nil {
			return nil, schema.GroupVersionKind{}, err
		}
		return obj, obj.GetObjectKind().GroupVersionKind(), nil
	}
	if !isEnvelope(value) {
		obj, kind, err := c.json.Decode(value, nil, nil)
		if err != nil {
			return nil, schema.GroupVersionKind{}, err
		}
		return obj, *kind, nil
	}
	kind, raw, err := openEnvelope(value)
	if err != nil {
		return nil, kind, err
	}
	obj, err := c.unmarshalProto(kind, raw)
	return obj, kind, err
}

func (c *Codec) unmarshalProto(kind schema.GroupVersionKind, raw []byte) (runtime.Object, error) {
	obj, err := c.scheme.New(kind)
	if err != nil {
		return nil, err
	}
	m, ok := obj.(protoUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("%s: %w", kind, ErrNoProtobuf)
	}
	if err := m.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Kind, err)
	}
	obj.GetObjectKind().SetGroupVersionKind(kind)
	return obj, nil
}

// EncodeStorage writes an object for the store: in the storage version,
// without resourceVersion, in the protobuf envelope, or as JSON where the
// definition's JSONStored says so. obj may be of any version.
func (c *Codec) EncodeStorage(d *Definition, obj runtime.Object) ([]byte, error) {
	hub := d.Hub()
	out, err := c.convert(context.Background(), c.own(d), obj, hub.GroupVersion())
	if err != nil {
		return nil, fmt.Errorf("encode %s for the store: %w", d.GroupResource(), err)
	}
	if out == obj {
		out = shallow(obj)
	}
	acc, err := meta.Accessor(out)
	if err != nil {
		return nil, fmt.Errorf("encode %s for the store: %w", d.GroupResource(), err)
	}
	acc.SetResourceVersion("")
	acc.SetSelfLink("")
	if !d.JSONStored {
		return sealEnvelope(out, hub)
	}
	out.GetObjectKind().SetGroupVersionKind(hub)
	return json.Marshal(out)
}

// Encode writes obj in a version as a media type (JSON, YAML or Protobuf),
// apiVersion and kind always set. JSON ends without a newline. The bytes are
// the caller's.
//
// # Errors
//   - ErrNoProtobuf: Protobuf was asked for and the type has none
func (c *Codec) Encode(obj runtime.Object, gv schema.GroupVersion, mediaType string) ([]byte, error) {
	out, err := c.Versioned(obj, gv)
	if err != nil {
		return nil, err
	}
	kind := out.GetObjectKind().GroupVersionKind()
	if mediaType == Protobuf {
		return sealEnvelope(out, kind)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind.Kind, err)
	}
	switch mediaType {
	case JSON:
		return b, nil
	case YAML:
		return yaml.JSONToYAML(b)
	}
	return nil, fmt.Errorf("encode %s: unknown media type %q", kind.Kind, mediaType)
}

// shallow copies the object's own struct, so that its type and metadata can be
// set while everything below stays shared.
func shallow(obj runtime.Object) runtime.Object {
	v := reflect.ValueOf(obj)
	if _, ok := obj.(runtime.Unstructured); ok || v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return obj.DeepCopyObject()
	}
	n := reflect.New(v.Elem().Type())
	n.Elem().Set(v.Elem())
	return n.Interface().(runtime.Object)
}
