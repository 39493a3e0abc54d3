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

// makeLoader joins the loader with those who use plugins.
func (k *Kernel) makeLoader(context.Context) error {
	own := k.access.As(auth.PluginLoader)
	k.modules = modules.New(own)
	k.chain.Set("plugin-modules", admission.OrderServer, k.modules.Quota(modules.DefaultBounds).Rule())
	k.policies = admit.New(admit.Config{Chain: k.chain, Calls: k.admissionReads, Exists: k.awaits, Metrics: k.metrics, Log: k.c.Log})
	k.loader = loader.New(loader.Config{
		Registry: own, Modules: k.modules, Hosts: k.c.Hosts, Builtins: k.c.Builtins, Disabled: k.c.DisabledPlugins, WritesStatus: k.leader.elector.Leads, Informers: k.informers, Log: k.c.Log,
		Consumers: []loader.Consumer{
			{Name: "scheduler", Points: wire.Scheduling, Sink: schedulerSink{k.leader.plugins}},
			{Name: "admission", Points: wire.Admission, Sink: k.policies},
			{Name: "controllers", Points: wire.PointController, Sink: controllerSink{k}},
		},
	})
	k.chain.Exempt(exempt)
	k.chain.Hold(k.loader.Admitting(), "the policies are being read")
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
func (k *Kernel) decided(ctx context.Context) (over bool) {
	select {
	case <-k.loader.Decided():
		return false
	case <-ctx.Done():
		return true
	}
}

func (k *Kernel) runLoader(ctx context.Context) error {
	go func() {
		select {
		case <-k.loader.Synced():
			k.c.Progress("plugins", "%d built in", len(k.c.Builtins))
		case <-ctx.Done():
		}
	}()
	return k.loader.Run(ctx)
}

// PluginsSynced is closed when every plugin has been loaded or has failed to.
func (k *Kernel) PluginsSynced() <-chan struct{} { return k.loader.Synced() }

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
