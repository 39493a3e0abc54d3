// Package custom serves the kinds that CustomResourceDefinitions define.
//
// [Kinds] follows the stored definitions, on every server, and puts what is
// established into the catalog; from there on they are kinds like all others. Of a
// definition it keeps names and a reference to the object in the watch cache: what
// the schema says is compiled when somebody uses the kind, and dropped when nobody
// has for a while. [Controller] runs on the server that leads: it accepts names,
// writes conditions, and deletes the objects of definitions that go.
//
// RATIONALE.md: "Why is a custom kind compiled when it is used?"
package custom

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/custom/conversion"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Definitions is the resource that is followed.
var Definitions = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")

// Implements are the resources whose objects this package brings about.
func Implements() []schema.GroupResource { return []schema.GroupResource{Definitions.GroupResource()} }

// Producer is the name under which custom kinds are in the catalog.
const Producer = "customresourcedefinitions"

// Codec brings definitions to the version that this package knows.
type Codec interface {
	Convert(obj runtime.Object, gv schema.GroupVersion) (runtime.Object, error)
}

// Config is what Kinds are made of.
type Config struct {
	Catalog *resource.Catalog
	Codec   Codec
	// Registry lists and watches definitions.
	Registry informer.Source
	// Clients reach conversion webhooks.
	Clients conversion.Clients
	// Plugins convert, too; nil: none does.
	Plugins   conversion.Plugins
	Informers *informer.Metrics
	Clock     clock.WithTicker // nil is the real one
	Log       *slog.Logger     // nil discards
}

// Kinds keeps the catalog as the stored definitions are. It is safe for concurrent
// use.
type Kinds struct {
	c        Config
	informer *informer.Informer
	producer *resource.Producer
	kept     *kept

	mu     sync.Mutex
	served map[string]*servedKind // by the definition's name; guarded by mu
}

// servedKind is what the catalog has of a definition.
type servedKind struct {
	kind       *kind
	types      *objects
	definition *resource.Definition // nil: the catalog did not take it
	source     *watch.Object
}

// New makes Kinds. Nothing is followed before Run.
func New(c Config) *Kinds {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	x := &Kinds{c: c, producer: c.Catalog.Producer(Producer), kept: &kept{clock: c.Clock, kinds: map[*kind]struct{}{}}, served: map[string]*servedKind{}}
	x.informer = informer.New(informer.Config{Name: "custom kinds", Registry: c.Registry, Target: registry.Target{Resource: Definitions}, Handler: x, Clock: c.Clock, Metrics: c.Informers, Log: c.Log})
	return x
}

// sweeping is how often what is compiled is looked at.
const sweeping = time.Minute

// Run follows the definitions until ctx ends.
func (x *Kinds) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { x.informer.Run(ctx) })
	tick := x.c.Clock.NewTicker(sweeping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			x.kept.sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// Synced is closed when the catalog has what was stored at the start.
func (x *Kinds) Synced() <-chan struct{} { return x.informer.Synced() }

// CatchUp returns when the catalog has every definition whose write finished before
// the call: who has seen a definition established, on whatever server, finds its
// kind.
// RATIONALE.md: "Why does a request for a kind that is not there wait?"
func (x *Kinds) CatchUp(ctx context.Context) error {
	l, err := x.c.Registry.List(ctx, registry.Target{Resource: Definitions}, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("custom kinds: %w", err)
	}
	newest := int64(0)
	for _, o := range l.Items {
		newest = max(newest, o.Revision)
	}
	return x.informer.WaitFor(ctx, newest)
}

// Replace implements informer.Handler.
func (x *Kinds) Replace(_ context.Context, l *registry.List) {
	there := make(map[string]bool, len(l.Items))
	for _, o := range l.Items {
		there[o.Name] = true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	e := edit{kinds: x}
	for name := range x.served {
		if !there[name] {
			e.remove(name)
		}
	}
	for _, o := range l.Items {
		e.put(o)
	}
	e.apply()
}

// Apply implements informer.Handler.
func (x *Kinds) Apply(_ context.Context, events []watch.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ev := range events {
		e := edit{kinds: x}
		if ev.Type == watch.Deleted {
			e.remove(ev.Object.Name)
		} else {
			e.put(ev.Object)
		}
		e.apply()
	}
}

// decode reads a definition. The result is the caller's; it may share memory with
// the cache.
func (x *Kinds) decode(o *watch.Object) (*apiextensionsv1.CustomResourceDefinition, error) {
	return decode(x.c.Codec, o)
}

func decode(codec Codec, o *watch.Object) (*apiextensionsv1.CustomResourceDefinition, error) {
	out, err := codec.Convert(o.Obj, apiextensionsv1.SchemeGroupVersion)
	if err != nil {
		return nil, fmt.Errorf("CustomResourceDefinition %s: %w", o.Name, err)
	}
	crd, ok := out.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil, fmt.Errorf("CustomResourceDefinition %s is a %T", o.Name, out)
	}
	return crd, nil
}

// edit is one change of the catalog. Callers hold the Kinds' mu.
type edit struct {
	kinds *Kinds
	set   []*servedKind
	gone  []schema.GroupResource
}

func (e *edit) remove(name string) {
	s := e.kinds.served[name]
	if s == nil {
		return
	}
	delete(e.kinds.served, name)
	if s.definition != nil {
		e.gone = append(e.gone, s.definition.GroupResource())
	}
}

// put takes up a definition as it is now.
func (e *edit) put(o *watch.Object) {
	x := e.kinds
	old := x.served[o.Name]
	if old != nil && old.source.Revision == o.Revision {
		return
	}
	if p, ok := o.Obj.(interface{ Established() bool }); ok && !p.Established() {
		e.remove(o.Name) // its schema need not be read to know that
		return
	}
	crd, err := x.decode(o)
	if err != nil {
		x.c.Log.Error("a stored definition cannot be read", "name", o.Name, "error", err)
		return
	}
	if !Served(crd) {
		e.remove(o.Name)
		return
	}
	f := factsOf(crd)
	next := &servedKind{source: o}
	if old != nil && old.kind.same(&f) {
		next.kind, next.types = old.kind, old.types
	} else {
		next.kind = &kind{facts: f, kept: x.kept, load: x.loader(o, f), clients: x.c.Clients, plugins: x.c.Plugins}
		next.types = &objects{next.kind}
		if old != nil && old.definition != nil && old.kind.uid != f.uid {
			e.remove(o.Name) // another definition of the same name: its objects are others
			e.apply()
			*e = edit{kinds: x}
		}
	}
	next.definition = next.kind.define(crd, next.types)
	if old != nil && old.definition != nil && old.definition.GroupResource() != next.definition.GroupResource() {
		e.gone = append(e.gone, old.definition.GroupResource())
	}
	if old != nil && old.definition != nil && next.types == old.types && alike(old.definition, next.definition) {
		next.definition = old.definition
		x.served[o.Name] = next
		return
	}
	x.served[o.Name] = next
	e.set = append(e.set, next)
}

// loader reads a definition again from the object that the cache shares.
func (x *Kinds) loader(o *watch.Object, f facts) func() (*apiextensionsv1.CustomResourceDefinition, error) {
	return func() (*apiextensionsv1.CustomResourceDefinition, error) {
		crd, err := x.decode(o)
		if err != nil {
			return nil, err
		}
		crd = crd.DeepCopy()
		crd.Spec.Names.Kind, crd.Spec.Names.ListKind = f.gk.Kind, f.listKind
		return crd, nil
	}
}

// alike tells that two definitions of one kind differ in nothing: what was written
// was metadata, or a condition.
func alike(a, b *resource.Definition) bool {
	return a.Resource == b.Resource && a.Singular == b.Singular && equalNames(a.ShortNames, b.ShortNames) && equalNames(a.Categories, b.Categories) &&
		(a.Strategy.Companions == nil) == (b.Strategy.Companions == nil)
}

func equalNames(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// apply changes the catalog: all at once, or, when one of several is refused, one by
// one. A definition that the catalog does not take, because a built-in kind has its
// names, is not served.
func (e *edit) apply() {
	if len(e.set) == 0 && len(e.gone) == 0 {
		return
	}
	x := e.kinds
	var set []*resource.Definition
	for _, s := range e.set {
		set = append(set, s.definition)
	}
	err := x.producer.Apply(set, e.gone...)
	if err == nil {
		return
	}
	if len(e.set) <= 1 && len(e.gone) == 0 {
		e.refused(e.set[0], err)
		return
	}
	for _, gr := range e.gone {
		if err := x.producer.Apply(nil, gr); err != nil {
			x.c.Log.Error("a kind cannot be removed", "resource", gr.String(), "error", err)
		}
	}
	for _, s := range e.set {
		if err := x.producer.Apply([]*resource.Definition{s.definition}); err != nil {
			e.refused(s, err)
		}
	}
}

func (e *edit) refused(s *servedKind, err error) {
	e.kinds.c.Log.Warn("a custom resource is not served", "name", s.source.Name, "error", err)
	s.definition = nil
}

var _ informer.Handler = (*Kinds)(nil)
