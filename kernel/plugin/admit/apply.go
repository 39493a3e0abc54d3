package admit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// apply makes a changed copy of obj.
func apply(obj runtime.Object, patch []wire.PatchOp) (runtime.Object, error) {
	out, err := applyTyped(obj, patch)
	if errors.Is(err, errUntyped) {
		return applyTree(obj, patch)
	}
	return out, err
}

// applyTree changes the object's JSON form, which every object has.
func applyTree(obj runtime.Object, patch []wire.PatchOp) (runtime.Object, error) {
	b, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	tree, err := decode(b)
	if err != nil {
		return nil, err
	}
	for _, op := range patch {
		path, err := record.ParsePath(op.Path)
		if err != nil {
			return nil, err
		}
		var value any
		if !op.Remove {
			if value, err = decode(op.Value); err != nil {
				return nil, fmt.Errorf("value at %s: %w", op.Path, err)
			}
		}
		if tree, err = change(tree, path, value, op.Remove); err != nil {
			return nil, fmt.Errorf("change at %s: %w", op.Path, err)
		}
	}
	if b, err = json.Marshal(tree); err != nil {
		return nil, err
	}
	out, ok := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("%T cannot be changed", obj)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if _, custom := obj.(json.Unmarshaler); custom {
		return out, json.Unmarshal(b, out)
	}
	if err := d.Decode(out); err != nil {
		return nil, fmt.Errorf("changed object: %w", err)
	}
	return out, nil
}

func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// change sets or removes what is at path below node and returns the new node.
func change(node any, path []record.Segment, value any, remove bool) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	if list, ok := node.([]any); ok {
		return changeList(list, path, value, remove)
	}
	s := path[0]
	if node == nil {
		if remove {
			return nil, nil
		}
		if s.Index == 0 {
			return changeList(nil, path, value, remove)
		}
		node = map[string]any{}
	}
	m, ok := node.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%q is looked for in a value that is neither map nor list", s.Key)
	}
	if remove && len(path) == 1 {
		delete(m, s.Key)
		return m, nil
	}
	child, err := change(m[s.Key], path[1:], value, remove)
	if err != nil {
		return nil, err
	}
	if child != nil || !remove {
		m[s.Key] = child
	}
	return m, nil
}

func changeList(list []any, path []record.Segment, value any, remove bool) (any, error) {
	i := path[0].Index
	switch {
	case i < 0 || i > len(list):
		return nil, fmt.Errorf("[%s] is not an index into %d elements", path[0].Key, len(list))
	case remove && i == len(list):
		return list, nil
	case remove && len(path) == 1:
		return append(list[:i:i], list[i+1:]...), nil
	case i == len(list):
		list = append(list, nil)
	}
	child, err := change(list[i], path[1:], value, remove)
	if err != nil {
		return nil, err
	}
	list[i] = child
	return list, nil
}
