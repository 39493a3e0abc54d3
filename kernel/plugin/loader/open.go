package loader

import (
	"context"
	"errors"
	"fmt"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

var errNoModule = errors.New("the module has not been uploaded")

// opener opens what Plugin resources describe. It is safe for concurrent use.
type opener struct {
	hosts      map[v1alpha1.HostKind]plugin.Host
	modules    Modules
	shipped    *shipped
	quarantine plugin.QuarantinePolicy
	clock      Clock
	logs       *logs
	faults     chan<- fault
}

// open loads the plugin that p describes.
func (x *opener) open(ctx context.Context, p *v1alpha1.Plugin) (*plugin.Plugin, error) {
	host := x.hosts[p.Spec.Host]
	if host == nil {
		return nil, fmt.Errorf("this server has no host %q", p.Spec.Host)
	}
	m, err := x.module(ctx, p)
	if err != nil {
		return nil, err
	}
	name, o := p.Name, options(p)
	c := plugin.PluginConfig{Name: name, Spec: p.Spec, Host: host, Module: m, Options: o,
		Quarantine: plugin.NewQuarantine(x.quarantine.For(o.Limits.WithDefaults().CallTimeout), x.clock),
		Faulted: func(f plugin.Fault) {
			select {
			case x.faults <- fault{name, f}:
			default: // the counters and the quarantine hold it as well
			}
		}}
	c.Options.Log = x.logs.of(name)
	loaded, err := plugin.Load(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := checkMode(p.Spec.Mode, loaded.Manifest.Points); err != nil {
		return nil, err
	}
	if p.Spec.Limits.Timeout == nil && loaded.Manifest.Points.Has(wire.Effective) {
		c.Options.Limits.CallTimeout = plugin.ControllerCallTimeout
		c.Quarantine = plugin.NewQuarantine(x.quarantine.For(plugin.ControllerCallTimeout), x.clock)
		return plugin.Load(ctx, c)
	}
	return loaded, nil
}

// checkMode refuses a mode in which nothing of a plugin could run; see serves.
func checkMode(m v1alpha1.Mode, points wire.Point) error {
	switch {
	case !m.Rehearses() || points == 0 || points.Has(^wire.Effective):
		return nil
	case points.Has(wire.PointController):
		return fmt.Errorf("spec.mode: a controller cannot run in the mode %s, since what it writes is what it reads next: use Enforce, with fewer permissions to try it out", m)
	}
	return fmt.Errorf("spec.mode: what converts cannot run in the mode %s, since an object that is not converted cannot be answered: use Enforce", m)
}

// serves tells whether a consumer is given the plugin. One that is rehearsed
// has its policies, filters and scores asked; its controller, whose writes
// cannot be taken back, does not run, and it converts nothing.
func serves(c Consumer, p *plugin.Plugin) bool {
	if p.Spec.Mode.Rehearses() && !c.Points.Has(^wire.Effective) {
		return false
	}
	return p.Manifest.Points.Has(c.Points)
}

func (x *opener) module(ctx context.Context, p *v1alpha1.Plugin) (plugin.Module, error) {
	if p.Spec.Host == v1alpha1.HostNative {
		return plugin.Module{}, nil
	}
	if m, ok := x.shipped.modules[p.Spec.Digest]; ok {
		return m, nil
	}
	if x.modules == nil {
		return plugin.Module{}, errNoModule
	}
	b, err := x.modules.Get(ctx, p.Spec.Digest)
	if errors.Is(err, modules.ErrNotFound) {
		return plugin.Module{}, fmt.Errorf("%w: %s", errNoModule, p.Spec.Digest)
	}
	if err != nil {
		return plugin.Module{}, err
	}
	return plugin.Module{Digest: p.Spec.Digest, Bytes: b}, nil
}

// options are what a Plugin resource says of its instances.
func options(p *v1alpha1.Plugin) plugin.OpenOptions {
	o := plugin.OpenOptions{Name: p.Spec.Plugin}
	if o.Name == "" && p.Spec.Host == v1alpha1.HostNative {
		o.Name = p.Name // the binary holds many
	}
	if p.Spec.Config != nil {
		o.Config = p.Spec.Config.Raw
	}
	if m := p.Spec.Limits.Memory; m != nil {
		o.Limits.MemoryPages = uint32((m.Value() + 1<<16 - 1) >> 16)
	}
	if t := p.Spec.Limits.Timeout; t != nil {
		o.Limits.CallTimeout = t.Duration
	}
	return o
}
