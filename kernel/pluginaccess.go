package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/roster"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire"
)

// pluginAccess makes the ways from plugins to objects. Every one acts in the
// plugin's own name.
type pluginAccess struct {
	core    *registry.Core  // asks no authorizer: each way asks for the plugin's permissions
	verbs   registry.Access // of core, recorded
	catalog *resource.Catalog
	codec   *resource.Codec
	// served serves what is not stored, by the way of clients.
	served  func(http.ResponseWriter, *http.Request, user.Info, func(authorizer.Attributes) error)
	catchUp func(context.Context) error // hostclient.Config's
	// builtins are what ships.
	builtins []plugin.Builtin
}

// of is what a plugin may ask of the API: in its own name, and no more than
// its Plugin resource allows. Every way from a plugin to objects takes its
// configuration from here and is checked by its May; the hostile suite lists
// the ways (TestDoors).
func (a pluginAccess) of(name string, p *plugin.Plugin) *hostclient.Config {
	u := a.user(name, &p.Spec)
	return &hostclient.Config{Plugin: name, Source: a.source(name, &p.Spec), Registry: a.verbs.As(u), Catalog: a.catalog, Codec: a.codec,
		Served: func(w http.ResponseWriter, r *http.Request, allow func(authorizer.Attributes) error) {
			a.served(w, r, u, allow)
		},
		CatchUp: a.catchUp,
		Allow:   allow(name, u, p.Spec.Permissions), Refused: p.Refused, Observed: &hostclient.Observed{}}
}

// admissionReads serves what an admission rule reads, with the permissions of
// its Plugin resource: from memory, as new as this process's own last write.
func (a pluginAccess) admissionReads(name string, p *plugin.Plugin) func() plugin.HostCall {
	c := a.of(name, p)
	c.Latest = a.core
	return func() plugin.HostCall { return hostclient.New(c).Call }
}

// preBinders is how many instances of a scheduling plugin may write at the same time.
const preBinders = 4

// scheduling is what a scheduling plugin may do with objects: read, while decisions
// are made, what the scheduler follows for it, and in PreBind what it likes, within
// its permissions. The pool is that of the instances that PreBind asks; nil when the
// plugin has none.
func (a pluginAccess) scheduling(name string, p *plugin.Plugin) (*objects.Access, *plugin.Pool) {
	c := a.of(name, p)
	c.Budget = hostclient.NewBudget(int(p.Spec.Limits.WritesPerSecond), clock.RealClock{})
	out := &objects.Access{Source: c.Registry}
	out.Resource = func(resource string) (schema.GroupVersionResource, error) {
		gvr, ok := hostclient.ParseResource(resource)
		if !ok || a.catalog.Lookup(gvr.GroupResource()) == nil {
			return gvr, wire.Errorf(wire.KindNotFound, "there is no resource %q", resource)
		}
		return gvr, c.MayWatch(registry.Target{Resource: gvr})
	}
	out.Open = func(ctx context.Context, r *objects.Reads) (plugin.Instance, error) {
		reads := *c
		reads.Latest, reads.MaxRead = r, maxSchedulingRead
		return p.Open(ctx, hostclient.New(&reads).Call)
	}
	if !p.Manifest.Points.Has(wire.PointPreBind) || p.Spec.Mode.Rehearses() {
		return out, nil
	}
	pool := plugin.NewPool(p.Patient(), preBinders, func() plugin.HostCall { return hostclient.New(c).Call })
	out.Do = pool.Do
	return out, pool
}

// maxSchedulingRead bounds one list of a scheduling plugin. What it holds already is
// neither encoded nor decoded again.
const maxSchedulingRead = 200_000

// around answers what match rules ask about the cluster: whether a resource has
// objects, which labels a namespace has.
type around struct{ core *registry.Core }

func (x around) Holds(ctx context.Context, gr schema.GroupResource, namespace string) (bool, error) {
	return x.core.Holds(ctx, gr, namespace)
}

func (x around) NamespaceLabels(ctx context.Context, name string) (map[string]string, error) {
	o, err := x.core.Latest(ctx, registry.Target{Resource: namespaces, Name: name})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(o.Obj)
	if err != nil {
		return nil, err
	}
	return m.GetLabels(), nil
}

// around checks that a policy may know what its match rules ask about: one that
// may not is not loaded, and its status says why.
func (a pluginAccess) around(name string, p *plugin.Plugin) (admit.Around, error) {
	c := a.of(name, p)
	var errs []error
	for _, m := range p.Manifest.Match {
		for _, r := range m.Given {
			gvr, _ := hostclient.ParseResource(r)
			if err := c.May("list", registry.Target{Resource: gvr}); err != nil {
				errs = append(errs, fmt.Errorf("it is asked only where there are %s: %w", r, err))
			}
		}
		if len(m.NamespaceLabels) > 0 {
			if err := c.May("get", registry.Target{Resource: namespaces}); err != nil {
				errs = append(errs, fmt.Errorf("it is asked by the labels of namespaces: %w", err))
			}
		}
	}
	return around{a.core}, errors.Join(errs...)
}

// awaits tells a policy whether what it waits for is there, as far as this
// process knows.
func (a pluginAccess) awaits(name string, p *plugin.Plugin) admit.Exists {
	c := a.of(name, p)
	return func(ctx context.Context, q wire.GetRequest) (bool, error) {
		gvr, ok := hostclient.ParseResource(q.Resource)
		if !ok {
			return false, nil
		}
		if err := c.May("get", registry.Target{Resource: gvr, Namespace: q.Namespace, Name: q.Name}); err != nil {
			return false, err
		}
		_, err := a.core.Reader().Get(ctx, gvr.GroupResource(), q.Namespace, q.Name)
		return err == nil, nil
	}
}

// totals are what a policy may charge: what its Plugin resource lets it update.
type totals struct {
	*hostclient.Config
	core *registry.Core
}

func (a pluginAccess) totals(name string, p *plugin.Plugin) admit.Totals {
	return totals{a.of(name, p), a.core}
}

// Resource implements admit.Totals.
func (x totals) Resource(c *wire.Charge) (schema.GroupResource, error) {
	gvr, ok := hostclient.ParseResource(c.Resource)
	if !ok || x.Catalog.Lookup(gvr.GroupResource()) == nil {
		return schema.GroupResource{}, wire.Errorf(wire.KindNotFound, "charge: there is no resource %q", c.Resource)
	}
	t := registry.Target{Resource: gvr, Namespace: c.Namespace, Name: c.Name}
	if strings.HasPrefix(c.Totals, "status.") {
		t.Subresource = "status"
	}
	err := x.May("update", t)
	if err != nil && x.Refused != nil {
		x.Refused("charge", err)
	}
	return gvr.GroupResource(), err
}

// CatchUp implements admit.Totals.
func (x totals) CatchUp(ctx context.Context) error { return x.core.CatchUp(ctx) }

// controllerSink gives plugins to the reconcile manager. Each acts under an
// identity of its own, with the permissions of its Plugin resource.
type controllerSink struct {
	access      pluginAccess
	controllers *roster.Roster[reconcile.Controller] // of the leader
	awaits      func(ctx context.Context, name string, resources []string)
}

func (x controllerSink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	c := x.access.of(name, p)
	if err := mayWatch(c, p.Manifest.Watches); err != nil {
		return err
	}
	return x.controllers.Set(ctx, name, reconcile.Controller{Open: p.Open, Registry: c.Registry, Source: c.Source, Served: c.Served, CatchUp: c.CatchUp, Allow: c.Allow, Refused: c.Refused, Writes: int(p.Spec.Limits.WritesPerSecond),
		Awaits: func(ctx context.Context, resources []string) { x.awaits(ctx, name, resources) }})
}

func (x controllerSink) Remove(name string) { x.controllers.Remove(name) }

// mayWatch checks what a controller watches before it is run: the plugin that
// may not is not loaded, and its status says why.
func mayWatch(c *hostclient.Config, list []wire.Watch) error {
	var errs []error
	for _, w := range list {
		gvr, ok := hostclient.ParseResource(w.Resource)
		if w.Resource == wire.AllResources {
			gvr, ok = hostclient.Everything, true
		}
		if ok {
			if err := c.MayWatch(registry.Target{Resource: gvr}); err != nil {
				errs = append(errs, fmt.Errorf("it watches %s: %w", w.Resource, err))
			}
		}
	}
	return errors.Join(errs...)
}

// user is the identity of a plugin. A controller that ships acts under the service
// account that upstream's has: see RATIONALE.md, "Why do the controllers that ship
// act as upstream's?".
func (a pluginAccess) user(name string, spec *v1alpha1.PluginSpec) user.Info {
	if b := a.ships(name, spec); b != nil && b.Account != "" {
		return auth.PluginController(b.Account, name)
	}
	return pluginUser(name)
}

// source is what the events of a plugin name as their component: upstream's where the
// plugin ships.
func (a pluginAccess) source(name string, spec *v1alpha1.PluginSpec) string {
	if b := a.ships(name, spec); b != nil {
		return b.Source()
	}
	return name
}

// ships is the built-in plugin that a Plugin resource runs, nil if it runs another.
func (a pluginAccess) ships(name string, spec *v1alpha1.PluginSpec) *plugin.Builtin {
	for i := range a.builtins {
		if b := &a.builtins[i]; b.Runs(name, spec) {
			return b
		}
	}
	return nil
}

// pluginUser is the identity of a plugin that does not ship.
func pluginUser(name string) user.Info {
	return &user.DefaultInfo{Name: "system:pintle:plugin:" + name, Groups: []string{"system:pintle:plugins", user.AllAuthenticated}}
}

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
