// Package shared gives libraries of upstream, which follow objects by the shared
// informers of client-go, what our informers tell: no second list, watch or copy.
package shared

import (
	"context"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Object is a pointer to an object of a cluster-wide kind.
type Object interface {
	comparable
	runtime.Object
	metav1.Object
}

// Objects are those of one kind, by name: the Handler of an informer of ours and a
// cache.SharedInformer with one reader. They are shared with the watch cache: a reader
// changes none. They are safe for concurrent use once the reader has been added.
type Objects[T Object] struct {
	cache.SharedIndexInformer // nil: nothing else is asked of it
	differ                    *informer.Differ
	changed                   informer.Signal
	tell                      cache.ResourceEventHandler // set before anything is told
	store                     cache.Indexer
	synced                    atomic.Bool
}

// New makes an empty set; changed is raised after each change.
func New[T Object](changed informer.Signal) *Objects[T] {
	o := &Objects[T]{changed: changed, store: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), tell: cache.ResourceEventHandlerFuncs{}}
	o.differ = informer.NewDiffer(o.event)
	return o
}

// Replace implements informer.Handler.
func (o *Objects[T]) Replace(ctx context.Context, l *registry.List) {
	o.differ.Replace(ctx, l)
	o.changed.Raise()
}

// Apply implements informer.Handler.
func (o *Objects[T]) Apply(ctx context.Context, events []watch.Event) {
	o.differ.Apply(ctx, events)
	o.changed.Raise()
}

// event applies a change, then tells the reader, who reads anew.
func (o *Objects[T]) event(e watch.Event) {
	obj, ok := e.Object.Obj.(T)
	if !ok {
		return
	}
	old, was, _ := o.store.Get(obj) // the key is the name: no error
	switch {
	case e.Type == watch.Deleted:
		_ = o.store.Delete(obj)
		o.tell.OnDelete(obj)
	case was:
		_ = o.store.Update(obj)
		o.tell.OnUpdate(old, obj)
	default:
		_ = o.store.Add(obj)
		o.tell.OnAdd(obj, false)
	}
}

// Store is what a lister of client-go reads.
func (o *Objects[T]) Store() cache.Indexer { return o.store }

// Get tells whether there is one of a name.
func (o *Objects[T]) Get(name string) (obj T, ok bool) {
	is, ok, _ := o.store.GetByKey(name)
	if ok {
		obj, ok = is.(T)
	}
	return obj, ok
}

// List are all of them, in no order.
func (o *Objects[T]) List() []T {
	all := o.store.List()
	out := make([]T, 0, len(all))
	for _, is := range all {
		if obj, ok := is.(T); ok {
			out = append(out, obj)
		}
	}
	return out
}

// AddEventHandler implements cache.SharedInformer, for one reader: it takes the place of
// the one before.
func (o *Objects[T]) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	o.tell = h
	return registration{synced: o.HasSynced}, nil
}

// Nudge has the reader read anew, by telling it of an object; the store stays as it is.
func (o *Objects[T]) Nudge(about T) { o.tell.OnAdd(about, false) }

// MarkSynced lets HasSynced say so.
func (o *Objects[T]) MarkSynced() { o.synced.Store(true) }

// HasSynced implements cache.SharedInformer.
func (o *Objects[T]) HasSynced() bool { return o.synced.Load() }

type registration struct {
	cache.ResourceEventHandlerRegistration
	synced func() bool
}

func (r registration) HasSynced() bool { return r.synced() }
