package admit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin/present"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// errUntyped: the change leads through a value whose JSON form is its own
// affair, so the Go value cannot be changed in place.
var errUntyped = errors.New("not a plain Go value")

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// applyTyped changes a copy of the Go value, without a detour through JSON:
// a policy that fills in one field of a pod is the common case, and on the way
// of every pod that is created.
//
// # Errors
//   - errUntyped
func applyTyped(obj runtime.Object, patch []wire.PatchOp) (runtime.Object, error) {
	if _, own := obj.(json.Unmarshaler); own {
		return nil, errUntyped
	}
	out := obj.DeepCopyObject()
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, errUntyped
	}
	for _, op := range patch {
		path, err := record.ParsePath(op.Path)
		if err != nil {
			return nil, err
		}
		switch err := put(v.Elem(), path, op); {
		case errors.Is(err, errNoJSON):
			return nil, fmt.Errorf("value at %s: %w", op.Path, err)
		case err != nil:
			return nil, fmt.Errorf("change at %s: %w", op.Path, err)
		}
	}
	return out, nil
}

// put sets or removes what is at path below v, which can be set.
func put(v reflect.Value, path []record.Segment, op wire.PatchOp) error {
	if len(path) == 0 {
		return fill(v, op)
	}
	if v.Kind() != reflect.Pointer && hasOwnForm(v.Type()) {
		return errUntyped
	}
	switch v.Kind() {
	case reflect.Pointer:
		return putPointer(v, path, op)
	case reflect.Struct:
		index, ok := present.FieldOf(v.Type(), path[0].Key)
		switch {
		case !ok && op.Remove:
			return nil // there is nothing to remove
		case !ok:
			return fmt.Errorf("unknown field %q", path[0].Key)
		}
		f, err := v.FieldByIndexErr(index)
		if err != nil {
			return errUntyped // of an embedded pointer
		}
		return put(f, path[1:], op)
	case reflect.Map:
		return putMap(v, path, op)
	case reflect.Slice:
		return putSlice(v, path, op)
	}
	return errUntyped
}

// fill sets v to the operation's value, or to nothing.
func fill(v reflect.Value, op wire.PatchOp) error {
	v.SetZero()
	if op.Remove {
		return nil
	}
	if text, ok := plainString(op.Value); ok && v.Kind() == reflect.String && !hasOwnForm(v.Type()) {
		v.SetString(text)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(op.Value))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Addr().Interface()); err != nil {
		if _, malformed := errors.AsType[*json.SyntaxError](err); malformed || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", errNoJSON, err)
		}
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more than one value", errNoJSON)
	}
	return nil
}

var errNoJSON = errors.New("no JSON")

// plainString is a JSON string that stands for itself: a name, mostly.
func plainString(value []byte) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	for _, c := range value[1 : len(value)-1] {
		if c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return "", false
		}
	}
	return string(value[1 : len(value)-1]), true
}

// ownForms remembers which types unmarshal themselves.
var ownForms sync.Map // of reflect.Type to bool

// hasOwnForm tells whether the JSON form of a type is its own affair.
func hasOwnForm(t reflect.Type) bool {
	own, ok := ownForms.Load(t)
	if !ok {
		own, _ = ownForms.LoadOrStore(t, reflect.PointerTo(t).Implements(unmarshaler))
	}
	return own.(bool)
}

func putPointer(v reflect.Value, path []record.Segment, op wire.PatchOp) error {
	if v.IsNil() {
		if op.Remove {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
	}
	return put(v.Elem(), path, op)
}

// putMap changes a copy of one value: those in a map cannot be set.
func putMap(v reflect.Value, path []record.Segment, op wire.PatchOp) error {
	if v.Type().Key().Kind() != reflect.String {
		return errUntyped
	}
	key := reflect.ValueOf(path[0].Key).Convert(v.Type().Key())
	old := v.MapIndex(key)
	if op.Remove && (len(path) == 1 || !old.IsValid()) {
		if old.IsValid() {
			v.SetMapIndex(key, reflect.Value{})
		}
		return nil
	}
	value := reflect.New(v.Type().Elem()).Elem()
	if old.IsValid() {
		value.Set(old)
	}
	if err := put(value, path[1:], op); err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	v.SetMapIndex(key, value)
	return nil
}

// putSlice changes an element; the index behind the last one adds one.
func putSlice(v reflect.Value, path []record.Segment, op wire.PatchOp) error {
	i, n := path[0].Index, v.Len()
	switch {
	case v.Type().Elem().Kind() == reflect.Uint8:
		return errUntyped // base64 in JSON
	case i < 0 || i > n:
		return fmt.Errorf("[%s] is not an index into %d elements", path[0].Key, n)
	case op.Remove && i == n:
		return nil
	case op.Remove && len(path) == 1:
		v.Set(reflect.AppendSlice(v.Slice3(0, i, i), v.Slice(i+1, n)))
		return nil
	case i == n:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	}
	return put(v.Index(i), path[1:], op)
}
