package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/cel"
	"github.com/pintle-io/pintle/kernel/admission/webhook"
	"github.com/pintle-io/pintle/kernel/apiserver/aggregation"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/custom"
	"github.com/pintle-io/pintle/kernel/fairness"
	"github.com/pintle-io/pintle/kernel/implementers"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/roster"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/sdk/wire"
)

// The consumers of plugins of the leader, for messages.
const (
	schedulerName   = "scheduler"
	controllersName = "controllers"
)

// plugins are those that are loaded, and who uses them.
type plugins struct {
	loader       *loader.Loader
	policies     *admit.Sink
	scheduling   *schedulerSink
	implementers *implementers.Set
}

// makePlugins joins the loader with those who use plugins.
func (k *Kernel) makePlugins(context.Context) error {
	own := k.access.As(auth.PluginLoader)
	access := pluginAccess{core: k.core, verbs: k.verbs, catalog: k.catalog, codec: k.codec, builtins: k.c.Builtins,
		served: func(w http.ResponseWriter, r *http.Request, u user.Info, allow func(authorizer.Attributes) error) {
			k.api.ServeAs(w, r, u, allow)
		}}
	if k.custom != nil {
		access.catchUp = k.custom.CatchUp
	}
	store := modules.New(own)
	k.chain.Set("plugin-modules", admission.OrderServer, store.Quota(modules.DefaultBounds).Rule())
	policies := admit.New(admit.Config{Chain: k.chain, Calls: access.admissionReads, Exists: access.awaits, Around: access.around, Totals: access.totals, Metrics: k.metrics, Log: k.c.Log})
	implement := declaredImplementers(k.c.Implementers)
	if k.fairness != nil {
		implement.Declare("server/fairness", fairness.Implements()...)
	}
	awaits := func(ctx context.Context, name string, resources []string) {
		k.plugins.loader.Awaits(ctx, name, resources)
	}
	scheduling := &schedulerSink{access: access, plugins: k.leader.plugins, pools: map[string]*plugin.Pool{}}
	consumers := []loader.Consumer{
		{Name: schedulerName, Points: wire.Scheduling, Sink: scheduling},
		{Name: "admission", Points: wire.Admission, Sink: policies},
		{Name: controllersName, Points: wire.PointController, Sink: controllerSink{access, k.leader.controllers, awaits}},
		{Name: "implementers", Points: wire.Scheduling | wire.Admission | wire.PointController, Sink: implementersSink{implement}},
	}
	if k.converts != nil {
		consumers = append(consumers, loader.Consumer{Name: "conversion", Points: wire.PointConvert, Sink: k.converts})
	}
	k.plugins = plugins{policies: policies, scheduling: scheduling, implementers: implement, loader: loader.New(loader.Config{
		Registry: own, Modules: store, Hosts: k.c.Hosts, Builtins: k.c.Builtins, Disabled: k.c.DisabledPlugins, Server: k.identity.Name, WritesStatus: k.leader.established, Informers: k.informers, Log: k.c.Log,
		Consumers: consumers,
	})}
	k.chain.Set("implementers", admission.OrderServer, admission.Rule{Match: admission.Match{Operations: []admission.Operation{admission.Create}},
		Validate: &implementers.Rule{Set: implement, Kinds: k.catalog, Known: k.plugins.loader.Synced()}})
	k.chain.Exempt(exempt)
	return nil
}

// declaredImplementers are those who act on kinds without being plugins: each says
// so in its own package, and the distribution for what it runs beside.
func declaredImplementers(distribution map[string][]schema.GroupResource) *implementers.Set {
	s := &implementers.Set{}
	for name, resources := range map[string][]schema.GroupResource{
		"custom kinds": custom.Implements(), "scheduler": scheduler.Implements(), "rbac": rbac.Implements(), "certificates": signer.Implements(), "aggregation": aggregation.Implements(), "admission": slices.Concat(cel.Implements(), webhook.Implements()),
	} {
		s.Declare("server/"+name, resources...)
	}
	for name, resources := range distribution {
		s.Declare("distribution/"+name, resources...)
	}
	return s
}

// implementersSink takes from plugins' manifests what they implement. One that
// is rehearsed brings nothing about.
type implementersSink struct{ set *implementers.Set }

func (x implementersSink) Set(_ context.Context, name string, p *plugin.Plugin) error {
	var out []schema.GroupResource
	for _, r := range p.Manifest.Implements {
		gvr, ok := hostclient.ParseResource(r)
		if !ok {
			return fmt.Errorf("it implements %q: want group/version/plural, or v1/plural of the core group", r)
		}
		if !p.Spec.Mode.Rehearses() {
			out = append(out, gvr.GroupResource())
		}
	}
	x.set.Declare("plugin/"+name, out...)
	return nil
}

func (x implementersSink) Remove(name string) { x.set.Declare("plugin/" + name) }

// exempt requests pass by policies: the objects that say which there are, so
// that whatever a policy refuses, it can be mended and removed.
func exempt(a *admission.Attributes) bool {
	gr := a.Resource.GroupResource()
	return gr == v1alpha1.Plugins.GroupResource() || gr == v1alpha1.Modules.GroupResource()
}

// run loads plugins until ctx ends. synced is called once all have been loaded
// or have failed to.
func (p *plugins) run(ctx context.Context, synced func()) error {
	go func() {
		select {
		case <-p.loader.Synced():
			synced()
		case <-ctx.Done():
		}
	}()
	return p.loader.Run(ctx)
}

// PluginsSynced is closed when every plugin has been loaded or has failed to.
func (k *Kernel) PluginsSynced() <-chan struct{} { return k.plugins.loader.Synced() }

// Implementers names those that act on the objects of a resource: plugins that are
// loaded, and parts of the server and of the distribution; none if nobody does.
func Implementers(k *Kernel, gr schema.GroupResource) []string {
	return k.plugins.implementers.Of(gr)
}

// refused tells the loader that the leader's term does not take a plugin.
func (p *plugins) refused(ctx context.Context, consumer, name string, err error) {
	p.loader.Refused(ctx, consumer, name, err)
}

// schedulerSink gives plugins to the scheduler of the leader.
type schedulerSink struct {
	access  pluginAccess
	plugins *roster.Roster[scheduler.Plugin]

	mu    sync.Mutex
	pools map[string]*plugin.Pool // of those that may write; guarded by mu
}

// keep makes pool the one of a plugin; nil for none. The one before serves those who
// still ask it.
func (x *schedulerSink) keep(name string, pool *plugin.Pool) error {
	x.mu.Lock()
	old := x.pools[name]
	if pool != nil {
		x.pools[name] = pool
	} else {
		delete(x.pools, name)
	}
	x.mu.Unlock()
	if old != nil {
		return old.Retire()
	}
	return nil
}

// Close releases all instances, once nothing is asked any more.
func (x *schedulerSink) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, p := range x.pools {
		errs = append(errs, p.Close())
	}
	clear(x.pools)
	return errors.Join(errs...)
}

// Trim gives up instances that nobody needs any more. It is called every few seconds.
func (x *schedulerSink) Trim() {
	x.mu.Lock()
	pools := slices.Collect(maps.Values(x.pools))
	x.mu.Unlock()
	for _, p := range pools {
		_ = p.Trim() // an instance that cannot close is closed all the same
	}
}

func (x *schedulerSink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	use := map[string]scheduler.Use{}
	for _, m := range p.Spec.Members {
		use[m.Name] = scheduler.Use{NoFilter: m.DisableFilter, Weight: weight(m.Weight)}
	}
	if p.Spec.Weight != nil {
		use[p.Manifest.Name] = scheduler.Use{Weight: *p.Spec.Weight}
	}
	next := schedulerPlugin(&p.Spec)
	next.Open = func(ctx context.Context) (plugin.Instance, error) { return p.Open(ctx, nil) }
	next.Use = use
	var pool *plugin.Pool
	next.Access, pool = x.access.scheduling(name, p)
	if err := x.plugins.Set(ctx, name, next); err != nil {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
		return err
	}
	return x.keep(name, pool)
}

// schedulerPlugin is what a spec says of a plugin that need not be there.
func schedulerPlugin(spec *v1alpha1.PluginSpec) scheduler.Plugin {
	return scheduler.Plugin{FailurePolicy: scheduler.FailurePolicy(spec.FailurePolicy), Rehearse: spec.Mode.Rehearses()}
}

// Expect implements plugin.Expecter: no pod passes by a filter that is not there.
func (x *schedulerSink) Expect(name string, e plugin.Expected) error {
	if e.Points.Has(wire.Scheduling) {
		x.plugins.Expect(name, schedulerPlugin(&e.Spec), e.Err)
	} else {
		x.plugins.Remove(name)
	}
	return x.keep(name, nil)
}

func (x *schedulerSink) Remove(name string) {
	x.plugins.Remove(name)
	_ = x.keep(name, nil) // what cannot close is closed all the same
}

func weight(w *int64) int64 {
	if w == nil {
		return 1
	}
	return *w
}

var _ plugin.Expecter = (*schedulerSink)(nil)
