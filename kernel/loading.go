package kernel

import (
	"context"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/sdk/wire"
)

// plugins are those that are loaded, and who uses them.
type plugins struct {
	loader   *loader.Loader
	policies *admit.Sink
}

// makePlugins joins the loader with those who use plugins.
func (k *Kernel) makePlugins(context.Context) error {
	own := k.access.As(auth.PluginLoader)
	access := pluginAccess{core: k.core, catalog: k.catalog, codec: k.codec}
	store := modules.New(own)
	k.chain.Set("plugin-modules", admission.OrderServer, store.Quota(modules.DefaultBounds).Rule())
	policies := admit.New(admit.Config{Chain: k.chain, Calls: access.admissionReads, Exists: access.awaits, Metrics: k.metrics, Log: k.c.Log})
	k.plugins = plugins{policies: policies, loader: loader.New(loader.Config{
		Registry: own, Modules: store, Hosts: k.c.Hosts, Builtins: k.c.Builtins, Disabled: k.c.DisabledPlugins, WritesStatus: k.leader.elector.Leads, Informers: k.informers, Log: k.c.Log,
		Consumers: []loader.Consumer{
			{Name: "scheduler", Points: wire.Scheduling, Sink: schedulerSink{k.leader.plugins}},
			{Name: "admission", Points: wire.Admission, Sink: policies},
			{Name: "controllers", Points: wire.PointController, Sink: controllerSink{access, k.leader.controllers}},
		},
	})}
	k.chain.Exempt(exempt)
	k.chain.Hold(k.plugins.loader.Admitting(), "the policies are being read")
	return nil
}

// exempt requests pass by policies: the objects that say which there are, so
// that whatever a policy refuses, it can be mended and removed.
func exempt(a *admission.Attributes) bool {
	gr := a.Resource.GroupResource()
	return gr == v1alpha1.Plugins.GroupResource() || gr == v1alpha1.Modules.GroupResource()
}

// decided waits until no policy is waited for any more; it reports whether ctx
// ended first.
func (p *plugins) decided(ctx context.Context) (over bool) {
	select {
	case <-p.loader.Decided():
		return false
	case <-ctx.Done():
		return true
	}
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

// schedulerSink gives plugins to the scheduler of the leader.
type schedulerSink struct{ plugins *roster[scheduler.Plugin] }

func (x schedulerSink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	use := map[string]scheduler.Use{}
	for _, m := range p.Spec.Members {
		use[m.Name] = scheduler.Use{NoFilter: m.DisableFilter, Weight: weight(m.Weight)}
	}
	if p.Spec.Weight != nil {
		use[p.Manifest.Name] = scheduler.Use{Weight: *p.Spec.Weight}
	}
	return x.plugins.set(ctx, name, scheduler.Plugin{
		Open:          func(ctx context.Context) (plugin.Instance, error) { return p.Open(ctx, nil) },
		Use:           use,
		FailurePolicy: scheduler.FailurePolicy(p.Spec.FailurePolicy),
		Rehearse:      p.Spec.Mode.Rehearses(),
	})
}

func (x schedulerSink) Remove(name string) { x.plugins.remove(name) }

func weight(w *int64) int64 {
	if w == nil {
		return 1
	}
	return *w
}
