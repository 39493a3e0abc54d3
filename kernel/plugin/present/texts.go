package present

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Texts are the texts at a path that are not empty, in the order of the object; where
// the path leads through a list, those of all its elements. What is there and is no
// text is left out.
func Texts(obj runtime.Object, path []record.Segment) []string {
	if u, ok := obj.(runtime.Unstructured); ok {
		return texts(nil, reflect.ValueOf(u.UnstructuredContent()), path)
	}
	return texts(nil, reflect.ValueOf(obj), path)
}

func texts(out []string, v reflect.Value, path []record.Segment) []string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return out
		}
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return out
	case v.Kind() == reflect.Slice:
		if len(path) > 0 && path[0].Index >= 0 {
			if path[0].Index < v.Len() {
				return texts(out, v.Index(path[0].Index), path[1:])
			}
			return out
		}
		for i := range v.Len() {
			out = texts(out, v.Index(i), path)
		}
		return out
	case len(path) == 0:
		if v.Kind() == reflect.String && v.Len() > 0 {
			out = append(out, v.String())
		}
		return out
	}
	return texts(out, step(v, path[0].Key), path[1:])
}

// step is what a struct or a map has of a name; not valid if it has nothing.
func step(v reflect.Value, name string) reflect.Value {
	switch v.Kind() {
	case reflect.Struct:
		index, ok := FieldOf(v.Type(), name)
		if !ok {
			return reflect.Value{}
		}
		if f, err := v.FieldByIndexErr(index); err == nil {
			return f
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))
		}
	}
	return reflect.Value{}
}
