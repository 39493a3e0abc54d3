package webhook

import (
	"context"
	"maps"
	"slices"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	informersadmission "k8s.io/client-go/informers/admissionregistration"
	informersadmissionv1 "k8s.io/client-go/informers/admissionregistration/v1"
	informerscore "k8s.io/client-go/informers/core"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	listersadmissionv1 "k8s.io/client-go/listers/admissionregistration/v1"
	listersv1 "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// object is a pointer to a configuration.
type object interface {
	runtime.Object
	metav1.Object
}

// configurations are the objects of one kind: what an informer of ours tells, one of
// upstream's plugins reads and is told of. It is lister and informer of that plugin
// in one.
type configurations[T object] struct {
	cache.SharedIndexInformer // nil: nothing else is asked of it
	differ                    *informer.Differ
	changed                   informer.Signal
	tell                      cache.ResourceEventHandler // set before anything is told

	mu     sync.Mutex
	byName map[string]T // guarded by mu
}

func newConfigurations[T object](changed informer.Signal) *configurations[T] {
	c := &configurations[T]{changed: changed, byName: map[string]T{}}
	c.differ = informer.NewDiffer(c.event)
	return c
}

// Replace implements informer.Handler.
func (c *configurations[T]) Replace(ctx context.Context, l *registry.List) {
	c.differ.Replace(ctx, l)
	c.changed.Replace(ctx, l)
}

// Apply implements informer.Handler.
func (c *configurations[T]) Apply(ctx context.Context, events []watch.Event) {
	c.differ.Apply(ctx, events)
	c.changed.Apply(ctx, events)
}

// event applies a change, then tells the plugin, which reads anew.
func (c *configurations[T]) event(e watch.Event) {
	obj, ok := e.Object.Obj.(T)
	if !ok {
		return
	}
	old, was := c.swap(obj, e.Type == watch.Deleted)
	switch {
	case c.tell == nil:
	case e.Type == watch.Deleted:
		c.tell.OnDelete(obj)
	case was:
		c.tell.OnUpdate(old, obj)
	default:
		c.tell.OnAdd(obj, false)
	}
}

func (c *configurations[T]) swap(obj T, remove bool) (old T, was bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, was = c.byName[obj.GetName()]
	if remove {
		delete(c.byName, obj.GetName())
	} else {
		c.byName[obj.GetName()] = obj
	}
	return old, was
}

func (c *configurations[T]) list() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]T, 0, len(c.byName))
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		out = append(out, c.byName[name])
	}
	return out
}

// List implements the listers of upstream.
func (c *configurations[T]) List(labels.Selector) ([]T, error) { return c.list(), nil }

// Get implements the listers of upstream.
func (c *configurations[T]) Get(name string) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	obj, ok := c.byName[name]
	if !ok {
		return obj, apierrors.NewNotFound(mutatingConfigurations.GroupResource(), name)
	}
	return obj, nil
}

// AddEventHandler implements cache.SharedInformer.
func (c *configurations[T]) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	c.tell = h
	return registered{}, nil
}

// HasSynced implements cache.SharedInformer: requests are held until it has.
func (c *configurations[T]) HasSynced() bool { return true }

type registered struct {
	cache.ResourceEventHandlerRegistration
}

func (registered) HasSynced() bool { return true }

// feed is where upstream's plugins get what they follow: one kind of configurations,
// and namespaces. Nothing else is asked of it, and it starts nothing.
type feed struct {
	informers.SharedInformerFactory
	mutating   *configurations[*admissionv1.MutatingWebhookConfiguration]
	validating *configurations[*admissionv1.ValidatingWebhookConfiguration]
	namespaces dynamic.Namespaces
}

// Admissionregistration implements informers.SharedInformerFactory.
func (f feed) Admissionregistration() informersadmission.Interface {
	return admissionGroup{feed: f}
}

// Core implements informers.SharedInformerFactory.
func (f feed) Core() informerscore.Interface { return coreGroup{feed: f} }

type admissionGroup struct {
	informersadmission.Interface
	feed feed
}

func (g admissionGroup) V1() informersadmissionv1.Interface { return admissionVersion{feed: g.feed} }

type admissionVersion struct {
	informersadmissionv1.Interface
	feed feed
}

func (v admissionVersion) MutatingWebhookConfigurations() informersadmissionv1.TypedMutatingWebhookConfigurationInformer {
	return mutatingInformer{set: v.feed.mutating}
}

func (v admissionVersion) ValidatingWebhookConfigurations() informersadmissionv1.TypedValidatingWebhookConfigurationInformer {
	return validatingInformer{set: v.feed.validating}
}

type mutatingInformer struct {
	informersadmissionv1.TypedMutatingWebhookConfigurationInformer
	set *configurations[*admissionv1.MutatingWebhookConfiguration]
}

func (i mutatingInformer) Informer() cache.SharedIndexInformer { return i.set }

func (i mutatingInformer) Lister() listersadmissionv1.MutatingWebhookConfigurationLister {
	return i.set
}

type validatingInformer struct {
	informersadmissionv1.TypedValidatingWebhookConfigurationInformer
	set *configurations[*admissionv1.ValidatingWebhookConfiguration]
}

func (i validatingInformer) Informer() cache.SharedIndexInformer { return i.set }

func (i validatingInformer) Lister() listersadmissionv1.ValidatingWebhookConfigurationLister {
	return i.set
}

type coreGroup struct {
	informerscore.Interface
	feed feed
}

func (g coreGroup) V1() informerscorev1.Interface { return coreVersion{feed: g.feed} }

type coreVersion struct {
	informerscorev1.Interface
	feed feed
}

func (v coreVersion) Namespaces() informerscorev1.TypedNamespaceInformer {
	return namespaceInformer{namespaces: v.feed.namespaces}
}

type namespaceInformer struct {
	informerscorev1.TypedNamespaceInformer
	namespaces dynamic.Namespaces
}

func (i namespaceInformer) Informer() cache.SharedIndexInformer { return synced{} }

func (i namespaceInformer) Lister() listersv1.NamespaceLister { return i.namespaces.Lister() }

type synced struct{ cache.SharedIndexInformer }

func (synced) HasSynced() bool { return true }
