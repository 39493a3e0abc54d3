package plugin

import (
	"context"
	"errors"
	"log/slog"
	"runtime/pprof"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// HostCall serves what a guest asks of the kernel; see OpenOptions.
type HostCall = func(ctx context.Context, op wire.HostOp, req []byte) ([]byte, error)

// Plugin is a loaded plugin as its consumers get it: they open instances of it
// as they need them, or share a [Pool]. Every instance is counted and watched,
// whoever opened it. It is safe for concurrent use and stays usable until its
// consumer has been given another, or none (see [Sink]).
type Plugin struct {
	Name     string
	Spec     v1alpha1.PluginSpec
	Manifest wire.Manifest

	Stats      *Stats
	Quarantine *Quarantine

	host    Host
	module  Module
	options OpenOptions
	// faulted, when set, is told of every fault.
	faulted func(Fault)
}

// PluginConfig is what a Plugin is made of.
type PluginConfig struct {
	Name    string
	Spec    v1alpha1.PluginSpec
	Host    Host
	Module  Module
	Options OpenOptions // without HostCall
	// Quarantine of the plugin; nil is the default policy.
	Quarantine *Quarantine
	// Faulted is told of every fault, from the goroutine of the call.
	Faulted func(Fault)
}

// Load opens one instance to see that the module works, and returns the plugin
// with that instance's manifest.
func Load(ctx context.Context, c PluginConfig) (*Plugin, error) {
	if c.Quarantine == nil {
		c.Quarantine = NewQuarantine(QuarantinePolicy{}, nil)
	}
	if c.Options.Log == nil {
		c.Options.Log = slog.New(slog.DiscardHandler)
	}
	p := &Plugin{Name: c.Name, Spec: c.Spec, Stats: &Stats{}, Quarantine: c.Quarantine,
		host: c.Host, module: c.Module, options: c.Options, faulted: c.Faulted}
	in, err := c.Host.Open(ctx, c.Module, p.options)
	if err != nil {
		return nil, clipError(err)
	}
	p.Manifest = in.Manifest()
	return p, in.Close()
}

// Open starts an instance. call serves its questions; nil refuses them.
//
// # Errors
//   - ErrQuarantined while the plugin is left alone, also by the namespace of
//     ctx (see ForNamespace)
//   - those of Host.Open
func (p *Plugin) Open(ctx context.Context, call HostCall) (Instance, error) {
	if err := p.Quarantine.check(ctx); err != nil {
		return nil, err
	}
	o := p.options
	o.HostCall = call
	in, err := p.host.Open(ctx, p.module, o)
	if err = clipError(err); err != nil {
		if ctx.Err() == nil {
			p.Stats.faults.Add(1)
			p.fault("", wire.OpOpen, err) // that it does not open is no object's doing
		}
		return nil, err
	}
	c := &counted{Instance: in, plugin: p, labels: pprof.WithLabels(context.Background(), pprof.Labels("plugin", p.Name))}
	p.Stats.opened(in)
	return c, nil
}

// Patient is the plugin with as much time for a call as a controller has, unless its
// spec says how much: for calls that write. Both are one in counters and quarantine.
func (p *Plugin) Patient() *Plugin {
	out := *p
	out.options.Limits.CallTimeout = CallTimeout(p.Spec, wire.PointController)
	return &out
}

// Timeout of one call.
func (p *Plugin) Timeout() time.Duration { return p.options.Limits.WithDefaults().CallTimeout }

// Refused notes, for the status, that the plugin asked for what it may not. It
// is no fault: whether the plugin goes on is its own affair.
func (p *Plugin) Refused(what string, err error) {
	p.Stats.errors.Add(1)
	p.Stats.failed(what, err, false)
}

func (p *Plugin) fault(namespace string, op wire.Op, err error) {
	p.Stats.failed(callName(op), err, true)
	f := p.Quarantine.Fault(Fault{Err: err, Namespace: namespace, Op: op})
	if p.faulted != nil {
		p.faulted(f)
	}
}

// counted is an instance whose calls are counted, and that is not asked while
// its plugin is in quarantine.
type counted struct {
	Instance
	plugin *Plugin
	labels context.Context // carries the profiler's labels, nothing else
}

// Call counts, and labels the time of the call with the plugin's name in CPU
// profiles: code of a guest has no name of its own there.
func (c *counted) Call(ctx context.Context, op wire.Op, req []byte) (resp []byte, err error) {
	err = c.observe(ctx, op, func() error {
		if resp, err = c.Instance.Call(ctx, op, req); err == nil {
			err = checkAnswer(op, resp)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Reserve runs code of the guest, too.
func (c *counted) Reserve(ctx context.Context, n int) (region []byte, err error) {
	err = c.observe(ctx, opReserve, func() error {
		region, err = c.Instance.Reserve(ctx, n)
		return err
	})
	return region, err
}

func (c *counted) observe(ctx context.Context, op wire.Op, ask func() error) error {
	if err := c.plugin.Quarantine.check(ctx); err != nil {
		return err
	}
	start := time.Now()
	pprof.SetGoroutineLabels(c.labels)
	err := clipError(ask())
	pprof.SetGoroutineLabels(ctx)
	if errors.Is(err, wire.ErrClosed) {
		return err
	}
	kind := wire.KindOf(err)
	fault, failed := err != nil && kind.Fault(), err != nil && !kind.Race()
	c.plugin.Stats.observe(time.Since(start), failed, fault)
	switch {
	case ctx.Err() != nil: // it was broken off: that says nothing about it
	case fault:
		c.plugin.fault(NamespaceOf(ctx), op, err)
	case failed:
		c.plugin.Stats.failed(callName(op), err, false)
		fallthrough
	default:
		c.plugin.Quarantine.Good(op) // an error is an answer, too
	}
	return err
}

func (c *counted) Close() error {
	c.plugin.Stats.closed(c.Instance)
	return c.Instance.Close()
}
