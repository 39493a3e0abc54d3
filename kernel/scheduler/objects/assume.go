package objects

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/watch"
)

// Assumed is an object as it is about to be.
type Assumed struct {
	Ref
	Patch []byte // JSON merge patch
}

// Assumption is what was assumed for one pod.
type Assumption struct{ list []*assumption }

type assumption struct {
	ref   Ref
	patch []byte
	// settled: what was assumed has been written, or will not be; it holds until a
	// state is told that is newer than revision.
	settled  bool
	revision int64
}

// Assume shows objects as they are about to be, until Release or Settle. It tells
// what changed by it.
//
// # Errors
//   - an object is not there, or the patch cannot be applied; nothing is assumed then
func (v *View) Assume(list []Assumed) (*Assumption, []Ref, error) {
	out := &Assumption{}
	if len(list) == 0 {
		return out, nil, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range list {
		e := v.entry(x.Ref)
		if e == nil {
			return nil, nil, fmt.Errorf("assume %s %s/%s: there is no such object", x.Resource, x.Namespace, x.Name)
		}
		a := &assumption{ref: x.Ref, patch: slices.Clone(x.Patch)}
		if _, err := apply(e.shown.Obj, a.patch); err != nil {
			return nil, nil, fmt.Errorf("assume %s %s/%s: %w", x.Resource, x.Namespace, x.Name, err)
		}
		out.list = append(out.list, a)
	}
	var changed []Ref
	for _, a := range out.list {
		e := v.entry(a.ref)
		e.assumed = append(e.assumed, a)
		v.show(v.kinds[a.ref.Resource], name{a.ref.Namespace, a.ref.Name}, e)
		changed = append(changed, a.ref)
	}
	return out, changed, nil
}

// entry is that of an object; nil when there is none. v.mu is held.
func (v *View) entry(r Ref) *entry {
	if k := v.kinds[r.Resource]; k != nil {
		return k.objects[name{r.Namespace, r.Name}]
	}
	return nil
}

// Release undoes what was assumed and tells what changed by it. It may be called
// more than once.
func (v *View) Release(a *Assumption) (changed []Ref) {
	if a == nil || len(a.list) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range a.list {
		e := v.entry(x.ref)
		if e == nil {
			continue
		}
		n := len(e.assumed)
		if e.assumed = slices.DeleteFunc(e.assumed, func(y *assumption) bool { return y == x }); len(e.assumed) < n {
			v.show(v.kinds[x.ref.Resource], name{x.ref.Namespace, x.ref.Name}, e)
			changed = append(changed, x.ref)
		}
	}
	a.list = nil
	return changed
}

// Settle says that the pod is bound. What was assumed for it holds until the objects
// are told anew: what was written for the pod may not have been told yet, when its
// binding has.
func (v *View) Settle(a *Assumption) {
	if a == nil || len(a.list) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range a.list {
		e := v.entry(x.ref)
		if e == nil {
			continue
		}
		if same(e, x) { // it has been told: nothing is left to assume
			e.assumed = slices.DeleteFunc(e.assumed, func(y *assumption) bool { return y == x })
			continue
		}
		x.settled, x.revision = true, e.stored.Revision
	}
	a.list = nil
}

// same tells whether an object is stored as it was assumed.
func same(e *entry, x *assumption) bool {
	text, err := json.Marshal(e.stored.Obj)
	if err != nil {
		return false
	}
	then, err := jsonpatch.MergePatch(text, x.patch)
	return err == nil && jsonpatch.Equal(text, then)
}

// patched is an object with what is assumed of it.
func patched(o *watch.Object, list []*assumption) *watch.Object {
	if len(list) == 0 {
		return o
	}
	obj := o.Obj
	for _, a := range list {
		if next, err := apply(obj, a.patch); err == nil { // it could be applied when it was assumed
			obj = next
		}
	}
	return &watch.Object{Key: o.Key, Namespace: o.Namespace, Name: o.Name, Revision: o.Revision, Obj: obj}
}

// apply makes a new object of one and a merge patch.
func apply(o runtime.Object, patch []byte) (runtime.Object, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if text, err = jsonpatch.MergePatch(text, patch); err != nil {
		return nil, err
	}
	out, ok := reflect.New(reflect.TypeOf(o).Elem()).Interface().(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("%T cannot be made anew", o)
	}
	return out, json.Unmarshal(text, out)
}
