package fairness

import (
	"context"
	"sync/atomic"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/client-go/informers"
	informersflowcontrol "k8s.io/client-go/informers/flowcontrol"
	informersv1 "k8s.io/client-go/informers/flowcontrol/v1"
	listersv1 "k8s.io/client-go/listers/flowcontrol/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// objects are those of one kind: what an informer of ours tells, the library reads and
// is told of. They are shared with the watch cache; the library changes none.
type objects[T object] struct {
	cache.SharedIndexInformer // nil: nothing else is asked of it
	differ                    *informer.Differ
	changed                   informer.Signal
	tell                      cache.ResourceEventHandler // set before anything is told
	store                     cache.Indexer
	synced                    atomic.Bool
}

func newObjects[T object](changed informer.Signal) *objects[T] {
	o := &objects[T]{changed: changed, store: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})}
	o.differ = informer.NewDiffer(o.event)
	return o
}

// Replace implements informer.Handler.
func (o *objects[T]) Replace(ctx context.Context, l *registry.List) {
	o.differ.Replace(ctx, l)
	o.changed.Raise()
}

// Apply implements informer.Handler.
func (o *objects[T]) Apply(ctx context.Context, events []watch.Event) {
	o.differ.Apply(ctx, events)
	o.changed.Raise()
}

// event applies a change, then tells the library, which reads anew.
func (o *objects[T]) event(e watch.Event) {
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

// get answers nil when there is none of the name.
func (o *objects[T]) get(name string) (obj T, ok bool) {
	is, ok, _ := o.store.GetByKey(name)
	if ok {
		obj, ok = is.(T)
	}
	return obj, ok
}

// AddEventHandler implements cache.SharedInformer.
func (o *objects[T]) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	o.tell = h
	return nil, nil
}

// HasSynced implements cache.SharedInformer.
func (o *objects[T]) HasSynced() bool { return o.synced.Load() }

// feed is where the library gets what it follows. Nothing else is asked of it, and it
// starts nothing.
type feed struct {
	informers.SharedInformerFactory
	schemas *objects[*flowcontrolv1.FlowSchema]
	levels  *objects[*flowcontrolv1.PriorityLevelConfiguration]
}

// Flowcontrol implements informers.SharedInformerFactory.
func (f feed) Flowcontrol() informersflowcontrol.Interface { return group{feed: f} }

type group struct {
	informersflowcontrol.Interface
	feed feed
}

func (g group) V1() informersv1.Interface { return version{feed: g.feed} }

type version struct {
	informersv1.Interface
	feed feed
}

func (v version) FlowSchemas() informersv1.TypedFlowSchemaInformer {
	return schemaInformer{objects: v.feed.schemas}
}

func (v version) PriorityLevelConfigurations() informersv1.TypedPriorityLevelConfigurationInformer {
	return levelInformer{objects: v.feed.levels}
}

type schemaInformer struct {
	informersv1.TypedFlowSchemaInformer
	objects *objects[*flowcontrolv1.FlowSchema]
}

func (i schemaInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i schemaInformer) Lister() listersv1.FlowSchemaLister {
	return listersv1.NewFlowSchemaLister(i.objects.store)
}

type levelInformer struct {
	informersv1.TypedPriorityLevelConfigurationInformer
	objects *objects[*flowcontrolv1.PriorityLevelConfiguration]
}

func (i levelInformer) Informer() cache.SharedIndexInformer { return i.objects }

func (i levelInformer) Lister() listersv1.PriorityLevelConfigurationLister {
	return listersv1.NewPriorityLevelConfigurationLister(i.objects.store)
}
