// Package plugin runs plugins: it says what an instance of a plugin is,
// whatever host runs it, pools instances, and replaces those that fail.
// Package loader keeps the running set in step with the Plugin resources.
//
// The hosts are native (linked in), process (a child process) and wasm; the
// suite hosttest holds them to the same behaviour. The package does not know
// what a plugin decides: consumers (scheduler, admission, reconcile) ask the
// operations of sdk/wire.
//
// RATIONALE.md: "Plugins"
package plugin

import (
	"context"
	"log/slog"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Instance is one running copy of a plugin. It is used by one goroutine at a
// time. After an error whose kind is a fault (wire.Kind.Fault) every further
// call answers wire.ErrClosed: the instance must be closed and replaced.
// RATIONALE.md: "Why is a faulted instance thrown away?"
type Instance interface {
	// Manifest is what the guest said when it was opened.
	Manifest() wire.Manifest
	// Call asks for one operation. resp is valid until the next Call; req is
	// not kept.
	//
	// # Errors
	//   - wire.ErrTrap, ErrDeadline, ErrMemory, ErrProtocol: a fault
	//   - wire.ErrClosed after a fault or Close
	//   - any other *wire.Error as the guest answered it
	Call(ctx context.Context, op wire.Op, req []byte) (resp []byte, err error)
	// Reserve makes a region of n bytes, aligned to a page, that kernel and
	// guest share. Its contents survive until the next Reserve.
	Reserve(ctx context.Context, n int) ([]byte, error)
	// Region is the region as the kernel sees it; fetch it again after each
	// Call. Nil before Reserve.
	Region() []byte
	// Memory is what the instance takes, in bytes; 0 when the host cannot tell. It
	// may be asked beside everything else.
	Memory() int64
	// Close releases the instance. It may be called more than once.
	Close() error
}

// Host opens instances of modules. It is safe for concurrent use.
type Host interface {
	// Open starts an instance of one plugin of a module.
	//
	// # Errors
	//   - wire.ErrABI: the module speaks another version, or is no plugin
	//   - wire.ErrNotFound: the module holds no plugin of that name
	//   - whatever the plugin's New answers, and faults as of Instance.Call
	Open(ctx context.Context, m Module, o OpenOptions) (Instance, error)
}

// Module is the code of one or several plugins.
type Module struct {
	// Digest is "sha256:<hex>" of the bytes. It names the module in caches.
	Digest string
	// Bytes of the module: WASM, or an executable for the process host. The
	// native host needs none. They must not change.
	Bytes []byte
	// Source gives the bytes when Bytes is nil: a host wants them once, so what
	// can be read again need not stay in memory. Safe for concurrent use.
	Source func() ([]byte, error)
	// Path of an executable, instead of Bytes, for the process host.
	Path string
}

// Code is the module's bytes, wherever they are.
func (m Module) Code() ([]byte, error) {
	if m.Bytes == nil && m.Source != nil {
		return m.Source()
	}
	return m.Bytes, nil
}

// OpenOptions say how an instance is opened.
type OpenOptions struct {
	// Name of the plugin in the module; "" takes the only one.
	Name string
	// Config is handed to the plugin's New; JSON.
	Config []byte
	Limits Limits
	// HostCall serves what the guest asks of the kernel during a call, from
	// the goroutine of that call. ctx is that of the Call. resp must stay
	// unchanged until the next HostCall. Nil: the guest is refused everything.
	HostCall func(ctx context.Context, op wire.HostOp, req []byte) (resp []byte, err error)
	// Log takes what the guest prints; nil discards it. Who gives it bounds it,
	// see output.Limit.
	Log *slog.Logger
}

// Limits bound one instance.
type Limits struct {
	// MemoryPages of 64 KiB; 0 is DefaultMemoryPages.
	MemoryPages uint32
	// CallTimeout bounds one Call; 0 is DefaultCallTimeout. The native host
	// cannot enforce it.
	CallTimeout time.Duration
}

// The default limits: 256 MiB and a second; 30 for what has a controller or converts,
// which may be asked about a whole list.
const (
	DefaultMemoryPages    = 4096
	DefaultCallTimeout    = time.Second
	ControllerCallTimeout = 30 * time.Second
)

// CallTimeout is the time of a call of a plugin that serves these points.
func CallTimeout(spec v1alpha1.PluginSpec, points wire.Point) time.Duration {
	switch {
	case spec.Limits.Timeout != nil:
		return spec.Limits.Timeout.Duration
	case points.Has(wire.Effective):
		return ControllerCallTimeout
	}
	return DefaultCallTimeout
}

// MaxResponse is the largest response or host request of a guest, in bytes.
const MaxResponse = 64 << 20

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	if l.MemoryPages == 0 {
		l.MemoryPages = DefaultMemoryPages
	}
	if l.CallTimeout == 0 {
		l.CallTimeout = DefaultCallTimeout
	}
	return l
}

// Open does what all hosts do once an instance runs: check what the module
// holds and open the plugin named. call is the instance's Call.
func Open(ctx context.Context, call func(context.Context, wire.Op, []byte) ([]byte, error), o OpenOptions) (wire.Manifest, error) {
	var m wire.Manifest
	resp, err := call(ctx, wire.OpHandshake, nil)
	if err != nil {
		return m, err
	}
	r := wire.NewReader(resp)
	var names []string
	for _, held := range wire.ReadManifests(r) {
		if err := wire.CheckVersion(wire.Version(held.Major, held.Minor)); err != nil {
			return m, err
		}
		names = append(names, held.Name)
	}
	if err := r.Err(); err != nil {
		return m, err
	}
	name, err := choose(names, o.Name)
	if err != nil {
		return m, err
	}
	if resp, err = call(ctx, wire.OpOpen, wire.AppendOpen(nil, name, o.Config)); err != nil {
		return m, err
	}
	r = wire.NewReader(resp)
	m = r.Manifest()
	if err := r.Err(); err != nil {
		return m, err
	}
	if err := wire.CheckVersion(wire.Version(m.Major, m.Minor)); err != nil {
		return m, err
	}
	return m, checkManifest(&m)
}

func choose(names []string, name string) (string, error) {
	if name == "" && len(names) == 1 {
		return names[0], nil
	}
	for _, n := range names {
		if n == name {
			return n, nil
		}
	}
	if name == "" {
		return "", wire.Errorf(wire.KindNotFound, "the module holds %d plugins (%q): name one of them", len(names), names)
	}
	return "", wire.Errorf(wire.KindNotFound, "the module holds no plugin %q, only %q", name, names)
}
