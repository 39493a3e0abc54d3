// Package aggregation sends requests for group versions that others serve to those
// others: to the Services of APIService objects (kube-aggregator). It checks whether
// they answer, says so in the objects' status, fetches what they serve for discovery
// and OpenAPI, and keeps an APIService for each group version that this server serves
// itself.
//
// Whatever an extension server does, it hurts itself alone: what is read of it is
// bounded in size and time, nothing waits for it but requests for its own group
// versions, and of these no more than a number at once.
//
// Begin at Aggregator. Everything here is safe for concurrent use.
package aggregation

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/apiserver/discovery"
	"github.com/pintle-io/pintle/kernel/egress/services"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// APIServices are the objects that are followed.
var APIServices = apiregistrationv1.SchemeGroupVersion.WithResource("apiservices")

// How often somebody who answers is asked, and somebody who does not.
const (
	recheck    = 30 * time.Second // upstream's
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Config is what an Aggregator is made of. Every field without a remark is required.
type Config struct {
	// Registry follows and writes APIServices.
	Registry registry.Registry
	// Reader has APIServices, Services and EndpointSlices.
	Reader resource.Reader
	// Catalog are the kinds that this server serves, BuiltIn those of them that are
	// not defined by objects.
	Catalog *resource.Catalog
	BuiltIn *resource.Table
	// CatchUp returns when the catalog has the kinds that were defined before; may
	// be nil.
	CatchUp func(context.Context) error
	// TLS has the certificate by which extension servers know this one.
	TLS       *tls.Config
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Informers *informer.Metrics // may be nil
	Log       *slog.Logger      // nil discards
}

// Aggregator knows who serves which group version.
type Aggregator struct {
	c       Config
	resolve services.Resolver
	changed informer.Signal // APIServices, or who leads
	retry   *backoff.Retry
	once    map[string]bool // what was put right at the start; Run's own
	leads   atomic.Bool

	synced, registered chan struct{} // closed by Run's goroutine

	mu       sync.Mutex
	backends map[string]*backend // by the names of their objects; guarded by mu
	follow   sync.Once

	view         atomic.Pointer[view]
	descriptions descriptions
}

// view is one state of all that others serve. It is immutable.
type view struct {
	backends map[schema.GroupVersion]*backend
	document *discovery.Registrations
}

// New makes an Aggregator. Nothing is asked before Run.
func New(c Config) *Aggregator {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Aggregator{c: c, changed: make(informer.Signal, 1), retry: backoff.New(firstRetry, lastRetry), once: map[string]bool{}, backends: map[string]*backend{},
		synced: make(chan struct{}), registered: make(chan struct{})}
	a.resolve = services.Resolver{Reader: c.Reader, Get: func(ctx context.Context, namespace, name string) (runtime.Object, error) {
		return c.Reader.Get(ctx, services.Services.GroupResource(), namespace, name)
	}}
	a.view.Store(&view{document: &discovery.Registrations{}})
	return a
}

// Run follows the APIServices until ctx ends.
func (a *Aggregator) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { a.informer("apiservices", APIServices, a.changed).Run(ctx) })
	var again <-chan time.Time
	for {
		kinds := a.c.Catalog.Snapshot()
		again = nil
		if err := a.look(ctx, &wg); err != nil && ctx.Err() == nil {
			again = time.After(a.retry.Failed(a.c.Log, "APIServices are not kept", err))
		} else if err == nil {
			a.retry.Succeeded(a.c.Log)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.changed:
		case <-kinds.Superseded():
		case <-again:
		}
	}
}

// Lead has this server write for all, until ctx ends.
func (a *Aggregator) Lead(ctx context.Context) error {
	a.leads.Store(true)
	defer a.leads.Store(false)
	a.changed.Raise()
	a.mu.Lock()
	for _, b := range a.backends {
		b.kick.Raise()
	}
	a.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (a *Aggregator) informer(name string, r schema.GroupVersionResource, h informer.Handler) *informer.Informer {
	return informer.New(informer.Config{Name: "aggregation: " + name, Registry: a.c.Registry, Target: registry.Target{Resource: r}, Handler: h, Metrics: a.c.Informers, Log: a.c.Log})
}

// look takes in what APIServices there are, and keeps those of this server.
func (a *Aggregator) look(ctx context.Context, wg *sync.WaitGroup) error {
	list, err := a.c.Reader.List(ctx, APIServices.GroupResource(), "")
	if err != nil {
		return err
	}
	all := map[string]*apiregistrationv1.APIService{}
	for _, obj := range list {
		if s, ok := obj.(*apiregistrationv1.APIService); ok {
			all[s.Name] = s
		}
	}
	a.take(ctx, wg, all)
	closeOnce(a.synced)
	if !a.leads.Load() {
		return nil
	}
	if err := a.keepLocal(ctx, all); err != nil {
		return err
	}
	closeOnce(a.registered)
	return nil
}

// Synced is closed when the APIServices that there were at the start are served.
func (a *Aggregator) Synced() <-chan struct{} { return a.synced }

// Registered is closed when this server has written, as the one that leads, the
// APIServices of what it serves itself.
func (a *Aggregator) Registered() <-chan struct{} { return a.registered }

// closeOnce is for one goroutine.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// take has a backend for each APIService that names a Service.
func (a *Aggregator) take(ctx context.Context, wg *sync.WaitGroup, all map[string]*apiregistrationv1.APIService) {
	a.mu.Lock()
	for name, b := range a.backends {
		if s := all[name]; s == nil || !b.serves(s) {
			b.stop()
			delete(a.backends, name)
		}
	}
	for name, s := range all {
		if !claims(s) {
			continue
		}
		b := a.backends[name]
		if b == nil {
			b = newBackend(a, s)
			b.object.Store(s)
			var own context.Context
			own, b.stop = context.WithCancel(ctx)
			wg.Go(func() { b.run(own) })
			a.backends[name] = b
			a.follow.Do(func() {
				wg.Go(func() { a.informer("services", services.Services, followed{a}).Run(ctx) })
				wg.Go(func() { a.informer("endpoints", services.Slices, followed{a}).Run(ctx) })
			})
		}
		b.available.Store(helper.IsAPIServiceConditionTrue(s, apiregistrationv1.Available))
		b.object.Store(s)
	}
	a.mu.Unlock()
	a.publish(all)
}

// claims tells that requests of a group version go to a Service. Those of the core
// group and of APIServices themselves never do: without them nothing can be mended.
func claims(s *apiregistrationv1.APIService) bool {
	return s.Spec.Service != nil && s.Spec.Service.Port != nil && s.Spec.Group != "" && s.Spec.Group != apiregistrationv1.GroupName && s.DeletionTimestamp == nil
}

// publish makes the view of what there is. All are the APIServices; nil: as before.
func (a *Aggregator) publish(all map[string]*apiregistrationv1.APIService) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.view.Load()
	next := &view{backends: map[schema.GroupVersion]*backend{}, document: &discovery.Registrations{}}
	for _, b := range a.backends {
		next.backends[b.gv] = b
	}
	add := func(r discovery.Registration) {
		r.Remote = nil
		if b := next.backends[r.GroupVersion]; b != nil {
			r.Remote = b.discovered.Load()
		}
		next.document.Versions = append(next.document.Versions, r)
	}
	if all == nil {
		for _, r := range old.document.Versions {
			add(r)
		}
	}
	for _, s := range all {
		add(discovery.Registration{GroupVersion: schema.GroupVersion{Group: s.Spec.Group, Version: s.Spec.Version},
			GroupPriority: s.Spec.GroupPriorityMinimum, VersionPriority: s.Spec.VersionPriority})
	}
	next.document.Sort()
	if next.document.Equal(old.document) {
		next.document = old.document
	}
	a.view.Store(next)
}

// Registrations are what APIServices say, and what others serve, for documents: the
// same pointer while nothing changes.
func (a *Aggregator) Registrations() *discovery.Registrations { return a.view.Load().document }

// followed has those checked again whose Service or whose endpoints changed.
type followed struct{ a *Aggregator }

// Replace implements informer.Handler.
func (f followed) Replace(context.Context, *registry.List) {
	f.each(func(*apiregistrationv1.ServiceReference) bool { return true })
}

// Apply implements informer.Handler.
func (f followed) Apply(_ context.Context, events []watch.Event) {
	for i := range events {
		o := events[i].Object
		name := o.Name
		if e, ok := o.Obj.(*discoveryv1.EndpointSlice); ok {
			name = e.Labels[discoveryv1.LabelServiceName]
		}
		f.each(func(r *apiregistrationv1.ServiceReference) bool { return r.Namespace == o.Namespace && r.Name == name })
	}
}

func (f followed) each(about func(*apiregistrationv1.ServiceReference) bool) {
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	for _, b := range f.a.backends {
		if about(b.service) {
			b.moved()
		}
	}
}

var _ informer.Handler = followed{}

// Implements are the kinds on whose objects this package acts.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{APIServices.GroupResource()}
}
