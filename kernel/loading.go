package kernel

import (
	"context"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/sdk/wire"
)

// makeLoader joins the loader with those who use plugins.
func (k *Kernel) makeLoader() error {
	k.modules = modules.New(k.core)
	k.policies = admit.New(admit.Config{Chain: k.chain, Calls: k.admissionReads, Exists: k.known, Log: k.c.Log})
	k.loader = loader.New(loader.Config{
		Registry: k.core, Modules: k.modules, Hosts: k.c.Hosts, Builtins: k.c.Builtins, Disabled: k.c.DisabledPlugins, Log: k.c.Log,
		Consumers: []loader.Consumer{
			{Name: "scheduler", Points: wire.Scheduling, Sink: schedulerSink{k.sched}},
			{Name: "admission", Points: wire.Admission, Sink: k.policies},
			{Name: "controllers", Points: wire.PointController, Sink: controllerSink{k.manager}},
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

// checkPolicies is ready when no policy is waited for any more.
func (k *Kernel) checkPolicies(ctx context.Context) error { return k.loader.Check(ctx) }

// admissionReads serves what an admission rule reads, with the permissions of
// its Plugin resource: from memory, as new as this process's own last write.
func (k *Kernel) admissionReads(name string, p *plugin.Plugin) func() plugin.HostCall {
	u := pluginUser(name)
	c := &hostclient.Config{Plugin: name, User: u, Registry: k.core, Table: k.c.Table, Codec: k.codec,
		Allow: allow(name, u, p.Spec.Permissions), Seen: &hostclient.Seen{}, Latest: k.core.Latest}
	return func() plugin.HostCall { return hostclient.New(c).Call }
}

// known tells whether an object is there, as far as this process knows.
func (k *Kernel) known(ctx context.Context, q wire.GetRequest) bool {
	gvr, ok := hostclient.ParseResource(q.Resource)
	if !ok {
		return false
	}
	_, err := k.core.Reader().Get(ctx, gvr.GroupResource(), q.Namespace, q.Name)
	return err == nil
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

// schedulerSink gives plugins to the scheduler.
type schedulerSink struct{ s *scheduler.Scheduler }

func (x schedulerSink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	use := map[string]scheduler.Use{}
	for _, m := range p.Spec.Members {
		use[m.Name] = scheduler.Use{NoFilter: m.DisableFilter, Weight: weight(m.Weight)}
	}
	if p.Spec.Weight != nil {
		use[p.Manifest.Name] = scheduler.Use{Weight: *p.Spec.Weight}
	}
	return x.s.Set(ctx, name, scheduler.Plugin{
		Open:          func(ctx context.Context) (plugin.Instance, error) { return p.Open(ctx, nil) },
		Use:           use,
		FailurePolicy: scheduler.FailurePolicy(p.Spec.FailurePolicy),
		Rehearse:      p.Spec.Mode == v1alpha1.Shadow || p.Spec.Mode == v1alpha1.Monitor,
	})
}

func (x schedulerSink) Remove(name string) { x.s.Remove(name) }

func weight(w *int64) int64 {
	if w == nil {
		return 1
	}
	return *w
}

// controllerSink gives plugins to the reconcile manager. Each acts under an
// identity of its own, with the permissions of its Plugin resource.
type controllerSink struct{ m *reconcile.Manager }

func (x controllerSink) Set(_ context.Context, name string, p *plugin.Plugin) error {
	u := pluginUser(name)
	return x.m.Set(name, reconcile.Controller{Open: p.Open, User: u, Allow: allow(name, u, p.Spec.Permissions)})
}

// pluginUser is the identity of a plugin.
func pluginUser(name string) user.Info {
	return &user.DefaultInfo{Name: "system:pintle:plugin:" + name, Groups: []string{"system:pintle:plugins", user.AllAuthenticated}}
}

func (x controllerSink) Remove(name string) { x.m.Remove(name) }

// allow checks requests against a plugin's permissions.
func allow(name string, u user.Info, rules []rbacv1.PolicyRule) func(string, registry.Target) error {
	static := rbac.StaticRules(rules)
	return func(verb string, t registry.Target) error {
		ok := static.Allows(authorizer.AttributesRecord{User: u, Verb: verb, Namespace: t.Namespace, Name: t.Name, ResourceRequest: true,
			APIGroup: t.Resource.Group, APIVersion: t.Resource.Version, Resource: t.Resource.Resource, Subresource: t.Subresource})
		if ok {
			return nil
		}
		resource := strings.Trim(t.Resource.Resource+"/"+t.Subresource, "/")
		return wire.Errorf(wire.KindForbidden, "plugin %s may not %s %s in API group %q: spec.permissions of the Plugin does not allow it", name, verb, resource, t.Resource.Group)
	}
}
