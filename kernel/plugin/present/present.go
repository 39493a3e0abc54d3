// Package present tells whether a path is set in an object. It looks at the Go
// value and encodes nothing: a plugin that is asked about a rare field only
// costs the other objects next to nothing. It keeps no state beyond the layouts
// of Go types and may be used from any goroutine. Start at Parse.
package present

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Paths are paths that all must be set. The zero value asks for nothing.
type Paths [][]record.Segment

// Parse reads paths; see admission.MatchRule.Present.
func Parse(list []string) (Paths, error) {
	var out Paths
	for _, s := range list {
		p, err := record.ParsePath(s)
		if err != nil {
			return nil, fmt.Errorf("present: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// In tells whether every path is set in obj: neither absent nor empty. A name
// where the object has a list asks for one element at least that has it.
func (p Paths) In(obj runtime.Object) bool {
	if len(p) == 0 {
		return true
	}
	var v reflect.Value
	if u, ok := obj.(runtime.Unstructured); ok {
		v = reflect.ValueOf(u.UnstructuredContent())
	} else {
		v = reflect.ValueOf(obj)
	}
	return !slices.ContainsFunc(p, func(path []record.Segment) bool { return !set(v, path) })
}

func set(v reflect.Value, path []record.Segment) bool {
	given := false // behind a pointer or in a tree, "false" and "0" are not nothing
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return false
		}
		given = true
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return false
	case len(path) > 0:
		return below(v, path)
	case v.Kind() == reflect.Map || v.Kind() == reflect.Slice:
		return v.Len() > 0
	case v.Kind() == reflect.String:
		return v.Len() > 0
	}
	return given || !v.IsZero()
}

// below looks for path, which is not empty, in a value that is no pointer.
func below(v reflect.Value, path []record.Segment) bool {
	switch v.Kind() {
	case reflect.Struct:
		index, ok := FieldOf(v.Type(), path[0].Key)
		if !ok {
			return false
		}
		f, err := v.FieldByIndexErr(index)
		return err == nil && set(f, path[1:])
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return false
		}
		return set(v.MapIndex(reflect.ValueOf(path[0].Key).Convert(v.Type().Key())), path[1:])
	case reflect.Slice:
		if i := path[0].Index; i >= 0 {
			return i < v.Len() && set(v.Index(i), path[1:])
		}
		for i := range v.Len() {
			if set(v.Index(i), path) {
				return true
			}
		}
	}
	return false
}

// fields remembers the fields of struct types, by name in JSON.
var fields sync.Map // of reflect.Type to map[string][]int

// FieldOf finds a struct's field by its name in JSON.
func FieldOf(t reflect.Type, name string) (index []int, ok bool) {
	known, ok := fields.Load(t)
	if !ok {
		known, _ = fields.LoadOrStore(t, fieldsOf(t))
	}
	index, ok = known.(map[string][]int)[name]
	return index, ok
}

func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-" || f.Anonymous && name == "":
		case name == "":
			out[f.Name] = f.Index
		default:
			out[name] = f.Index
		}
	}
	return out
}
