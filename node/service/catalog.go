package service

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/node/informer"
)

// Names of the catalog's indexes: two over EndpointSlices, one over Services.
const (
	byService   = "service"
	byAddress   = "address"
	byClusterIP = "clusterIP"
)

// A Catalog follows the cluster's Services and EndpointSlices, and which
// namespaces there are. Objects that it
// returns are shared: callers must not modify them.
type Catalog struct {
	services   cache.SharedIndexInformer
	slices     cache.SharedIndexInformer
	namespaces cache.SharedIndexInformer
	synced     chan struct{}

	mu        sync.Mutex
	listeners []func(types.NamespacedName) // guarded by mu
}

// ClientConfig returns a copy of c that speaks protobuf, which costs a fraction
// of JSON to decode.
func ClientConfig(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.ContentType = runtime.ContentTypeProtobuf
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return c
}

// NewCatalog returns a Catalog of what these informers follow. Their owner runs
// them; one Set has one Catalog, whose indexes it carries.
func NewCatalog(set *informer.Set) (*Catalog, error) {
	c := &Catalog{
		services:   set.Services(),
		slices:     set.EndpointSlices(),
		namespaces: set.Namespaces(),
		synced:     make(chan struct{}),
	}
	err := c.slices.AddIndexers(cache.Indexers{byService: indexService, byAddress: indexAddress})
	if err != nil {
		return nil, fmt.Errorf("index endpoint slices: %w", err)
	}
	if err := c.services.AddIndexers(cache.Indexers{byClusterIP: indexClusterIP}); err != nil {
		return nil, fmt.Errorf("index services: %w", err)
	}
	if _, err := c.services.AddEventHandler(c.handler(serviceName)); err != nil {
		return nil, err
	}
	if _, err := c.slices.AddEventHandler(c.handler(sliceOwner)); err != nil {
		return nil, err
	}
	return c, nil
}

// handler announces the Service that an object of an event is about, and the one
// that it was about before: a slice may move from one to another.
func (c *Catalog) handler(name func(any) types.NamespacedName) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { c.changed(name(o)) },
		UpdateFunc: func(before, after any) {
			c.changed(name(after))
			if name(before) != name(after) {
				c.changed(name(before))
			}
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			c.changed(name(o))
		},
	}
}

// Subscribe calls f with the name of each Service that may have changed, itself
// or in its endpoints, after the Catalog shows the change. f must not block; it
// may be called by several goroutines. Subscribe before the informers run.
func (c *Catalog) Subscribe(f func(types.NamespacedName)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, f)
}

func (c *Catalog) changed(name types.NamespacedName) {
	if name.Name == "" {
		return
	}
	c.mu.Lock()
	fs := c.listeners
	c.mu.Unlock()
	for _, f := range fs {
		f(name)
	}
}

// Run says when the informers are complete (Synced), and returns when ctx ends.
func (c *Catalog) Run(ctx context.Context) error {
	if cache.WaitForCacheSync(ctx.Done(), c.services.HasSynced, c.slices.HasSynced, c.namespaces.HasSynced) {
		close(c.synced)
	}
	<-ctx.Done()
	return ctx.Err()
}

// Synced is closed when the Catalog shows everything that was there at start.
func (c *Catalog) Synced() <-chan struct{} { return c.synced }

// Names returns the names of all Services.
func (c *Catalog) Names() []types.NamespacedName {
	keys := c.services.GetStore().ListKeys()
	out := make([]types.NamespacedName, 0, len(keys))
	for _, k := range keys {
		if ns, name, err := cache.SplitMetaNamespaceKey(k); err == nil {
			out = append(out, types.NamespacedName{Namespace: ns, Name: name})
		}
	}
	return out
}

// Service returns the Service of this name, nil if there is none.
func (c *Catalog) Service(name types.NamespacedName) *corev1.Service {
	o, ok, err := c.services.GetStore().GetByKey(name.String())
	if !ok || err != nil {
		return nil
	}
	return o.(*corev1.Service)
}

// Slices returns the EndpointSlices of the Service of this name.
func (c *Catalog) Slices(name types.NamespacedName) []*discoveryv1.EndpointSlice {
	return c.lookup(byService, name.String())
}

// At returns the names of the Services that have an endpoint of this address.
func (c *Catalog) At(addr netip.Addr) []types.NamespacedName {
	seen := map[types.NamespacedName]bool{}
	var out []types.NamespacedName
	for _, s := range c.lookup(byAddress, addr.String()) {
		if n := sliceOwner(s); !seen[n] && n.Name != "" {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// AtClusterIP returns the Services that have this cluster IP.
func (c *Catalog) AtClusterIP(addr netip.Addr) []*corev1.Service {
	objs, err := c.services.GetIndexer().ByIndex(byClusterIP, addr.String())
	if err != nil {
		return nil
	}
	out := make([]*corev1.Service, 0, len(objs))
	for _, o := range objs {
		out = append(out, o.(*corev1.Service))
	}
	return out
}

// HasNamespace reports whether there is a namespace of this name, with Services
// or without.
func (c *Catalog) HasNamespace(ns string) bool {
	_, ok, err := c.namespaces.GetStore().GetByKey(ns)
	return err == nil && ok
}

func (c *Catalog) lookup(index, key string) []*discoveryv1.EndpointSlice {
	objs, err := c.slices.GetIndexer().ByIndex(index, key)
	if err != nil {
		return nil // only for an index that does not exist
	}
	out := make([]*discoveryv1.EndpointSlice, 0, len(objs))
	for _, o := range objs {
		out = append(out, o.(*discoveryv1.EndpointSlice))
	}
	return out
}

func serviceName(o any) types.NamespacedName {
	s, ok := o.(*corev1.Service)
	if !ok {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

func sliceOwner(o any) types.NamespacedName {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
}

func indexService(o any) ([]string, error) {
	if n := sliceOwner(o); n.Name != "" {
		return []string{n.String()}, nil
	}
	return nil, nil
}

func indexAddress(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, e := range s.Endpoints {
		out = append(out, e.Addresses...)
	}
	return out, nil
}

func indexClusterIP(o any) ([]string, error) {
	s, ok := o.(*corev1.Service)
	if !ok || s.Spec.ClusterIP == corev1.ClusterIPNone || s.Spec.ClusterIP == "" {
		return nil, nil
	}
	if len(s.Spec.ClusterIPs) > 0 {
		return s.Spec.ClusterIPs, nil
	}
	return []string{s.Spec.ClusterIP}, nil
}
