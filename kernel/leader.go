package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/roster"
	"github.com/pintle-io/pintle/kernel/scheduler"
)

// leaderLease is the Lease, in kube-system, of the server that leads.
const leaderLease = "pintle-leader"

// loop runs until its ctx ends.
type loop = func(context.Context) error

// leader runs what one server does for all of them, while this one leads: the
// scheduler, the controllers, the signers. Every term has a scheduler and a
// manager of its own, which know nothing of a term before; plugins are remembered
// and given to them.
type leader struct {
	elector  *lease.Elector
	informer *informer.Informer // of the Lease: one that is released is taken at once
	begin    func() (*term, error)
	// plugins and controllers are those that are loaded, on every server.
	plugins     *roster.Roster[scheduler.Plugin]
	controllers *roster.Roster[reconcile.Controller]
	log         *slog.Logger

	mu  sync.Mutex
	now *term // nil: this server does not lead; guarded by mu
}

// term is what a leader has made for one term.
type term struct {
	scheduler *scheduler.Scheduler
	manager   *reconcile.Manager
	metrics   *prometheus.Registry
	loops     map[string]loop // beside these two

	plugins     *roster.Term[scheduler.Plugin]
	controllers *roster.Term[reconcile.Controller]
}

type leaderConfig struct {
	own       ownWrites
	identity  string
	informers *informer.Metrics
	times     lease.Times
	begin     func() (*term, error)
	// refused is told that a consumer of a term, "scheduler" or "controllers",
	// does not take a plugin that is loaded; with nil, that it does now.
	refused func(ctx context.Context, consumer, name string, err error)
	log     *slog.Logger
}

func newLeader(c leaderConfig) *leader {
	changed := make(informer.Signal, 1)
	refused := func(consumer string) roster.Config {
		return roster.Config{Refused: func(ctx context.Context, name string, err error) { c.refused(ctx, consumer, name, err) }}
	}
	l := &leader{begin: c.begin, plugins: roster.New[scheduler.Plugin](refused(schedulerName)), controllers: roster.New[reconcile.Controller](refused(controllersName)), log: c.log}
	l.elector = lease.New(lease.Config{Registry: c.own, Namespace: metav1.NamespaceSystem, Name: leaderLease, Identity: c.identity, Times: c.times, Changed: changed, Log: c.log})
	l.informer = informer.New(informer.Config{Name: "leader", Registry: c.own, Handler: changed, Metrics: c.informers, Log: c.log,
		Target: registry.Target{Resource: leases, Namespace: metav1.NamespaceSystem}, Fields: "metadata.name=" + leaderLease})
	return l
}

// Run leads whenever nobody else does.
func (l *leader) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	following.Go(func() { l.informer.Run(ctx) })
	return l.elector.Run(ctx, l.lead)
}

// lead is one term.
func (l *leader) lead(ctx context.Context) error {
	t, err := l.begin()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	run := func(name string, f loop) {
		group.Go(func() error {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	// Before the scheduler runs: it decides nothing without the plugins that it is
	// told to expect. See RATIONALE.md, "Why does a new term wait for its plugins?".
	t.plugins, t.controllers = l.plugins.Begin(t.scheduler), l.controllers.Begin(managed{t.manager})
	l.set(t)
	run("controllers", t.manager.Run)
	run("scheduler", t.scheduler.Run)
	for name, f := range t.loops {
		run(name, f)
	}
	group.Go(func() error { t.plugins.Run(ctx); return nil })
	group.Go(func() error { t.controllers.Run(ctx); return nil })
	err = group.Wait()
	t.plugins.End()
	t.controllers.End()
	l.set(nil)
	return err
}

func (l *leader) set(t *term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = t
}

// term is the present one; nil while this server does not lead.
func (l *leader) term() *term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// established tells whether this server leads and has told of every plugin that
// was loaded before whether this term uses it. It writes their status then, and
// not before: a plugin that is loaded is not Ready if the term does not take it.
func (l *leader) established() bool {
	t := l.term()
	return t != nil && l.elector.Leads() && isClosed(t.plugins.Placed()) && isClosed(t.controllers.Placed())
}

// Settled reports whether a start is over altogether, beyond what /readyz says: every
// plugin has been loaded or has failed to, and a server leads; if it is this one, its
// term has taken or refused them, and there are APIServices of all that is served.
func Settled(k *Kernel) bool {
	if !isClosed(k.PluginsSynced()) {
		return false
	}
	if who := k.leader.elector.Holder(); who != k.identity.Name {
		return who != ""
	}
	return k.leader.established() && (k.aggregation == nil || isClosed(k.aggregation.Registered()))
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Describe implements prometheus.Collector: what there is depends on the term.
func (l *leader) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (l *leader) Collect(ch chan<- prometheus.Metric) {
	if t := l.term(); t != nil {
		t.metrics.Collect(ch)
	}
	leads := 0.0
	if l.elector.Leads() {
		leads = 1
	}
	ch <- prometheus.MustNewConstMetric(leadsDesc, prometheus.GaugeValue, leads)
}

var leadsDesc = prometheus.NewDesc("pintle_leader", "Whether this server leads: 1 or 0.", nil, nil)

// managed is a manager as a consumer.
type managed struct{ *reconcile.Manager }

func (m managed) Set(_ context.Context, name string, c reconcile.Controller) error {
	return m.Manager.Set(name, c)
}

// Expect: a controller that is not there holds up nobody.
func (m managed) Expect(string, reconcile.Controller, error) {}

func (m managed) Remove(name string) { m.Manager.Remove(name) }
