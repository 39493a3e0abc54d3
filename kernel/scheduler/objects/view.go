package objects

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/watch"
)

// Ref is an object, or all of a resource in a namespace when Name is "", or all of
// the resource when Namespace is "" too.
type Ref struct {
	Resource        schema.GroupResource
	Namespace, Name string
}

// Covers are the refs by which somebody may look at the object of a ref.
func (r Ref) Covers() [3]Ref {
	return [3]Ref{r, {Resource: r.Resource, Namespace: r.Namespace}, {Resource: r.Resource}}
}

// View is what there is of the followed resources. Make one with New.
type View struct {
	mu    sync.RWMutex
	clock uint64                         // number of the last change; guarded by mu
	kinds map[schema.GroupResource]*kind // guarded by mu
}

type kind struct {
	synced  bool
	objects map[name]*entry
	// sorted are the objects as they are shown, by key; it is never changed in place.
	sorted []*watch.Object
	// changed is the number of the last change, by namespace ("": of all); gone that of
	// the last change by which an object came or went.
	changed map[string]uint64
	gone    uint64
	// born is the number at which the resource became known: what was answered before
	// holds no more.
	born uint64
	// whole: all are being stored, and sorted is made when they are.
	whole bool
}

type name struct{ namespace, name string }

type entry struct {
	stored, shown *watch.Object
	changed       uint64
	assumed       []*assumption
}

// New makes a View that follows nothing.
func New() *View { return &View{kinds: map[schema.GroupResource]*kind{}} }

// Follow makes a resource known. It is not synced before Replace.
func (v *View) Follow(gr schema.GroupResource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kinds[gr] == nil {
		v.kinds[gr] = &kind{objects: map[name]*entry{}, changed: map[string]uint64{}}
	}
}

// Forget drops a resource and all that is known of it.
func (v *View) Forget(gr schema.GroupResource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.kinds, gr)
	v.clock++
}

// Synced tells whether all followed resources are known.
func (v *View) Synced() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, k := range v.kinds {
		if !k.synced {
			return false
		}
	}
	return true
}

// Now is the number of the last change.
func (v *View) Now() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.clock
}

// Replace stores all objects of a resource anew and tells which changed.
func (v *View) Replace(gr schema.GroupResource, list []*watch.Object) (changed []Ref) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.kinds[gr]
	if k == nil {
		return nil
	}
	if !k.synced {
		v.clock++
		k.born = v.clock
	}
	k.whole = true
	present := make(map[name]bool, len(list))
	for _, o := range list {
		present[name{o.Namespace, o.Name}] = true
	}
	for n := range k.objects {
		if !present[n] && v.remove(k, n) {
			changed = append(changed, Ref{gr, n.namespace, n.name})
		}
	}
	for _, o := range list {
		if v.put(k, o) {
			changed = append(changed, Ref{gr, o.Namespace, o.Name})
		}
	}
	k.synced, k.whole = true, false
	k.sorted = make([]*watch.Object, 0, len(k.objects))
	for _, e := range k.objects {
		k.sorted = append(k.sorted, e.shown)
	}
	slices.SortFunc(k.sorted, byKey)
	return changed
}

// Apply stores changes of a resource and tells which objects changed.
func (v *View) Apply(gr schema.GroupResource, events []watch.Event) (changed []Ref) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.kinds[gr]
	if k == nil {
		return nil
	}
	for i := range events {
		o := events[i].Object
		differs := false
		if events[i].Type == watch.Deleted {
			differs = v.remove(k, name{o.Namespace, o.Name})
		} else {
			differs = v.put(k, o)
		}
		if differs {
			changed = append(changed, Ref{gr, o.Namespace, o.Name})
		}
	}
	return changed
}

// put stores an object. v.mu is held.
func (v *View) put(k *kind, o *watch.Object) bool {
	n := name{o.Namespace, o.Name}
	e := k.objects[n]
	switch {
	case e == nil:
		e = &entry{}
		k.objects[n] = e
		v.clock++
		k.gone = v.clock
	case e.stored.Revision == o.Revision:
		return false // told again
	}
	e.stored = o
	e.assumed = slices.DeleteFunc(e.assumed, func(a *assumption) bool { return a.settled && o.Revision > a.revision })
	v.show(k, n, e)
	return true
}

// remove forgets an object. v.mu is held.
func (v *View) remove(k *kind, n name) bool {
	e := k.objects[n]
	if e == nil {
		return false
	}
	delete(k.objects, n)
	if !k.whole {
		k.sorted = without(k.sorted, e.shown)
	}
	v.clock++
	k.gone = v.clock
	k.changed[n.namespace], k.changed[""] = v.clock, v.clock
	return true
}

// show makes an entry's object what is stored and assumed. v.mu is held.
func (v *View) show(k *kind, n name, e *entry) {
	was := e.shown
	e.shown = patched(e.stored, e.assumed)
	if !k.whole {
		k.sorted = with(without(k.sorted, was), e.shown)
	}
	v.clock++
	e.changed = v.clock
	k.changed[n.namespace], k.changed[""] = v.clock, v.clock
}

func byKey(a, b *watch.Object) int { return cmp.Compare(a.Key, b.Key) }

// with is a sorted list and one object more, as a new list.
func with(list []*watch.Object, o *watch.Object) []*watch.Object {
	at, _ := slices.BinarySearchFunc(list, o, byKey)
	out := make([]*watch.Object, 0, len(list)+1)
	return append(append(append(out, list[:at]...), o), list[at:]...)
}

// without is a sorted list without one object.
func without(list []*watch.Object, o *watch.Object) []*watch.Object {
	if o == nil {
		return list
	}
	at, found := slices.BinarySearchFunc(list, o, byKey)
	if !found {
		return list
	}
	return append(append(make([]*watch.Object, 0, len(list)), list[:at]...), list[at+1:]...)
}

// ChangedSince tells whether something that the refs name has changed after a
// number. What is not followed has.
func (v *View) ChangedSince(refs []Ref, since uint64) bool {
	if len(refs) == 0 {
		return false
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.clock == since {
		return false
	}
	return slices.ContainsFunc(refs, func(r Ref) bool { return v.changed(r) > since })
}

// changed is the number of the last change of what a ref names. v.mu is held.
func (v *View) changed(r Ref) uint64 {
	k := v.kinds[r.Resource]
	if k == nil {
		return v.clock
	}
	if r.Name == "" {
		return max(k.born, k.changed[r.Namespace])
	}
	if e := k.objects[name{r.Namespace, r.Name}]; e != nil {
		return max(k.born, e.changed)
	}
	return max(k.born, k.gone) // one that is not there may have gone with any that did
}

// Get is an object as it is to be seen; nil when there is none.
//
// # Errors
//   - the resource is not followed
func (v *View) Get(r Ref) (*watch.Object, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k := v.kinds[r.Resource]
	if k == nil {
		return nil, errNotFollowed(r.Resource)
	}
	if e := k.objects[name{r.Namespace, r.Name}]; e != nil {
		return e.shown, nil
	}
	return nil, nil
}

// List are the objects that a ref without a Name names, in order of their keys. The
// caller must not change the list.
//
// # Errors
//   - the resource is not followed
func (v *View) List(r Ref) ([]*watch.Object, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k := v.kinds[r.Resource]
	if k == nil {
		return nil, errNotFollowed(r.Resource)
	}
	if r.Namespace == "" {
		return k.sorted, nil
	}
	var out []*watch.Object
	for _, o := range k.sorted {
		if o.Namespace == r.Namespace {
			out = append(out, o)
		}
	}
	return out, nil
}

func errNotFollowed(gr schema.GroupResource) error {
	return fmt.Errorf("%s is not followed: name it among the Objects of the plugin's scheduling points", gr)
}
