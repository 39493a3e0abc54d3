package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire"
)

// HostCall serves what an instance asks of the kernel.
type HostCall = func(ctx context.Context, op wire.HostOp, req []byte) ([]byte, error)

// Controller is a plugin to run.
type Controller struct {
	// Open starts an instance whose requests go to host. Instances are closed
	// by the manager; one that fails is replaced.
	Open func(ctx context.Context, host HostCall) (plugin.Instance, error)
	// Registry is the plugin's: it reads and writes under its identity.
	Registry registry.Registry
	// Served is hostclient.Config.Served; nil: nothing is fetched.
	Served func(w http.ResponseWriter, r *http.Request, allow func(authorizer.Attributes) error)
	// CatchUp is hostclient.Config.CatchUp.
	CatchUp func(ctx context.Context) error
	// Allow checks the plugin's permissions; nil allows everything.
	Allow func(verb string, t registry.Target) error
	// Refused is told of what the plugin asked and may not; may be nil.
	Refused func(what string, err error)
	// Writes is how many objects a second it may write; 0 means
	// hostclient.DefaultWrites.
	Writes int
	// Source is the component that its events name; "" is the controller's name.
	Source string
	// Called is told of every reconcile and map call, for the plugin's status;
	// may be nil. It must be safe for concurrent use.
	Called func(took time.Duration, err error)
	// Awaits is told, for the plugin's status, which resources the controller watches
	// that are not defined when it has run for a while, and then what is left of
	// them whenever that changes, none in the end. It must return when ctx ends; may
	// be nil.
	Awaits func(ctx context.Context, resources []string)
}

// Config is what a Manager is made of.
type Config struct {
	// Registry is the manager's own: it follows what controllers watch, and records
	// their events.
	Registry  registry.Registry
	Catalog   *resource.Catalog
	Codec     hostclient.Codec
	Clock     clock.WithDelayedExecution // nil is the real one
	Metrics   prometheus.Registerer      // nil keeps them to itself
	Informers *informer.Metrics          // nil: what is followed is not counted
	Log       *slog.Logger               // nil discards
}

// Manager runs controllers. They may be set and removed while it runs. It is
// safe for concurrent use.
type Manager struct {
	c       Config
	metrics *metrics
	events  *hostclient.Events

	owned *Owned

	mu      sync.Mutex
	ctx     context.Context       // of Run; nil before
	over    bool                  // Run is ending
	waiting map[string]Controller // set before Run
	running map[string]*runner
	group   sync.WaitGroup // the running ones
}

// New makes a manager without controllers.
func New(c Config) (*Manager, error) {
	if c.Registry == nil || c.Catalog == nil || c.Codec == nil {
		return nil, errors.New("reconcile: registry, catalog and codec are required")
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	counts, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	m := &Manager{c: c, metrics: counts, events: hostclient.NewEvents(c.Registry, c.Clock, c.Log),
		owned: NewOwned(c.Catalog, informer.Config{Registry: c.Registry, Clock: c.Clock, Metrics: c.Informers, Log: c.Log}), waiting: map[string]Controller{}, running: map[string]*runner{}}
	if c.Metrics != nil {
		if err := c.Metrics.Register(depths{m}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Run runs the controllers until ctx ends, and returns when all have stopped.
// It is called once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for name, c := range m.waiting {
		m.start(name, c)
	}
	m.waiting = nil
	m.mu.Unlock()
	var own sync.WaitGroup
	own.Go(func() { _ = m.owned.Run(ctx) }) // ends with ctx only
	err := m.events.Run(ctx)
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.group.Wait()
	own.Wait()
	return err
}

// Set starts a controller, or replaces the one of that name: the old one ends
// its work in hand before the new one begins.
func (m *Manager) Set(name string, c Controller) error {
	if c.Open == nil || c.Registry == nil {
		return fmt.Errorf("controller %s: Open and Registry are required", name)
	}
	for {
		m.Remove(name)
		m.mu.Lock()
		switch {
		case m.over:
		case m.ctx == nil:
			m.waiting[name] = c
		case m.running[name] != nil: // another Set was quicker
			m.mu.Unlock()
			continue
		default:
			m.start(name, c)
		}
		m.mu.Unlock()
		return nil
	}
}

// Remove stops a controller and waits until its work in hand is done. It
// reports whether there was one.
func (m *Manager) Remove(name string) bool {
	m.mu.Lock()
	_, waited := m.waiting[name]
	delete(m.waiting, name)
	r := m.running[name]
	delete(m.running, name)
	m.mu.Unlock()
	if r != nil {
		r.stop()
	}
	return waited || r != nil
}

// start begins a controller; m.mu is held.
func (m *Manager) start(name string, c Controller) {
	ctx, kill := context.WithCancel(m.ctx)
	intake, halt := context.WithCancel(ctx)
	r := &runner{
		name: name, c: c, intake: intake, halt: halt, kill: kill, done: make(chan struct{}), synced: make(chan struct{}), metrics: m.metrics, log: m.c.Log.With("plugin", name),
		catalog: m.c.Catalog, clock: m.c.Clock,
		follow: informer.Config{Name: name, Registry: m.c.Registry, Clock: m.c.Clock, Metrics: m.c.Informers, Log: m.c.Log},
	}
	r.faults = newFaults(r.log, r.clock)
	r.queue = NewQueue(r.clock, func(d time.Duration) { r.metrics.wait.WithLabelValues(name).Observe(d.Seconds()) })
	r.host = &hostclient.Config{Plugin: name, Source: c.Source, Registry: c.Registry, Served: c.Served, CatchUp: c.CatchUp, Catalog: m.c.Catalog, Codec: m.c.Codec,
		Owned: m.owned, Events: m.events, Allow: c.Allow, Refused: c.Refused,
		Budget: hostclient.NewBudget(c.Writes, m.c.Clock), Observed: &hostclient.Observed{}}
	m.running[name] = r
	m.group.Go(func() {
		defer close(r.done)
		r.run(ctx)
	})
}
