package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// Config of a Scheduler.
type Config struct {
	Registry registry.Registry
	// SchedulerName selects the pods to place, by spec.schedulerName; ""
	// is "default-scheduler".
	SchedulerName string
	// Instance names this process in events; "" is the scheduler's name.
	Instance string
	// Clock and Seed make decisions repeatable in tests; nil is the wall clock
	// and a random seed.
	Clock clock.Clock
	Seed  rand.Source
	// EventRate bounds the Scheduled events written per second; 0 is 200,
	// negative none.
	EventRate int
	// Remember is the number of pods whose last verdict is kept for Explain;
	// 0 is 4096.
	Remember int
	Metrics  prometheus.Registerer // nil: not registered
	Log      *slog.Logger          // nil: discard
}

// A batch of bindings is written when it is this long, or this old, or when no
// pod is left to decide about.
const (
	batchSize = 256
	batchAge  = 2 * time.Millisecond
)

// binders is how many batches are written at the same time.
const binders = 2

// maxWaiting bounds the bindings that are not yet written: beyond, deciding
// waits for the store.
const maxWaiting = 16 * batchSize

// Scheduler places pods. Make one with New.
type Scheduler struct {
	cfg  Config
	core *core

	mu      sync.Mutex
	updates []update // guarded by mu; plugins to put in place
	wake    chan struct{}

	nodes, pods chan change
	toBind      chan []binding
	bound       chan []bound
	toReport    chan []report
	synced      struct{ nodes, pods bool }

	batch    []binding
	batchAt  time.Time
	outbox   backlog[[]binding]
	waiting  int // bindings in outbox and on their way
	reports  backlog[report]
	tokens   float64 // of Scheduled events
	tokensAt time.Time
}

// update is a plugin to set, or to remove when unit is nil.
type update struct {
	name string
	unit *unit
}

// New makes a scheduler without plugins: pods wait until Set was called once.
func New(cfg Config) (*Scheduler, error) {
	if cfg.Registry == nil {
		return nil, errors.New("scheduler needs a registry")
	}
	if cfg.SchedulerName == "" {
		cfg.SchedulerName = corev1.DefaultSchedulerName
	}
	if cfg.Instance == "" {
		cfg.Instance = cfg.SchedulerName
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Seed == nil {
		cfg.Seed = rand.NewPCG(rand.Uint64(), rand.Uint64())
	}
	if cfg.EventRate == 0 {
		cfg.EventRate = 200
	}
	if cfg.Remember <= 0 {
		cfg.Remember = 4096
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	mine := func(name string) bool { return name == cfg.SchedulerName }
	return &Scheduler{
		cfg:      cfg,
		core:     newCore(columns.NewTable(), mine, cfg.Seed, m, cfg.Log, cfg.Remember),
		wake:     make(chan struct{}, 1),
		nodes:    make(chan change, 4),
		pods:     make(chan change, 4),
		toBind:   make(chan []binding),
		bound:    make(chan []bound, binders),
		toReport: make(chan []report),
	}, nil
}

// Set opens a plugin, or a new version of the one of that name, and puts it in
// place between two decisions. Plugins are asked in the order of their names,
// however they came. When opening fails, what was there before stays.
func (s *Scheduler) Set(ctx context.Context, name string, p Plugin) error {
	u, err := openUnit(ctx, name, p)
	if err != nil {
		return err
	}
	s.post(update{name, u})
	return nil
}

// Remove takes a plugin out. Removing one that is not there is no error.
func (s *Scheduler) Remove(name string) { s.post(update{name: name}) }

func (s *Scheduler) post(u update) {
	s.mu.Lock()
	s.updates = append(s.updates, u)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Explain returns the last verdict about a pod, false when none is remembered.
func (s *Scheduler) Explain(namespace, name string) (Verdict, bool) {
	return s.core.verdicts.get(types.NamespacedName{Namespace: namespace, Name: name})
}

// Run places pods until ctx ends. It returns after its goroutines and plugin
// instances are done; it may be called once.
func (s *Scheduler) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	follow := func(t registry.Target, out chan<- change) {
		f := &follower{reg: s.cfg.Registry, target: t, clock: s.cfg.Clock, log: s.cfg.Log, out: out}
		g.Go(func() error { return f.run(ctx) })
	}
	follow(registry.Target{Resource: nodeResource}, s.nodes)
	follow(registry.Target{Resource: podResource}, s.pods)
	for range binders {
		b := &binder{reg: s.cfg.Registry, in: s.toBind, out: s.bound}
		g.Go(func() error { return b.run(ctx) })
	}
	r := &reporter{reg: s.cfg.Registry, controller: s.cfg.SchedulerName, instance: s.cfg.Instance, in: s.toReport, log: s.cfg.Log}
	g.Go(func() error { return r.run(ctx) })
	g.Go(func() error { return s.loop(ctx) })
	err := g.Wait()
	return errors.Join(err, s.close())
}

func (s *Scheduler) close() error {
	s.applyUpdates()
	var errs []error
	for _, u := range s.core.engine.units {
		errs = append(errs, u.close())
	}
	s.core.engine.units = nil
	errs = append(errs, s.core.rehearsals.close()...)
	return errors.Join(errs...)
}

// loop owns the core: it takes in what happened, decides, and hands decisions
// on.
func (s *Scheduler) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		s.takeIn()
		now := s.cfg.Clock.Now()
		var d *decision
		if s.ready() && s.waiting < maxWaiting {
			d = s.core.next(ctx, now)
		}
		if d != nil {
			s.core.m.duration.Observe(s.cfg.Clock.Since(now).Seconds())
			s.handle(d, now)
		}
		if n := len(s.batch); n >= batchSize || n > 0 && (d == nil || now.Sub(s.batchAt) >= batchAge) {
			s.outbox.add(s.batch)
			s.batch = nil
		}
		if d == nil {
			s.count()
			s.wait(ctx, now)
		} else {
			s.handOn()
		}
	}
	return nil
}

// ready tells whether the picture is complete and there is a plugin to ask.
func (s *Scheduler) ready() bool {
	return s.synced.nodes && s.synced.pods && len(s.core.engine.units) > 0
}

func (s *Scheduler) handle(d *decision, now time.Time) {
	p := d.pod
	if d.node != "" {
		if len(s.batch) == 0 {
			s.batchAt = now
		}
		s.batch = append(s.batch, binding{p, p.obj, d.node})
		s.waiting++
		return
	}
	if d.changed || d.noted {
		s.report(report{pod: p.obj, at: now, condition: d.changed, event: d.noted, reason: reasonFailed, conditionReason: d.conditionReason(), message: d.message})
	}
}

// maxReports bounds the reports that wait; more are dropped, conditions come
// again with the pod's next try.
const maxReports = 4096

func (s *Scheduler) report(r report) {
	if s.reports.len() >= maxReports {
		s.core.m.dropped.Inc()
		return
	}
	s.reports.add(r)
}

// takeIn takes in what is there without waiting.
func (s *Scheduler) takeIn() {
	for range 8 {
		select {
		case c := <-s.nodes:
			s.takeNodes(c)
		case c := <-s.pods:
			s.takePods(c)
		case b := <-s.bound:
			s.takeBound(b)
		case <-s.wake:
			s.applyUpdates()
		default:
			return
		}
	}
}

// handOn hands out what the others are free to take.
func (s *Scheduler) handOn() {
	if s.outbox.len() > 0 {
		select {
		case s.toBind <- s.outbox.items[0]:
			s.outbox.drop(1)
		default:
		}
	}
	if s.reports.len() >= batchSize {
		select {
		case s.toReport <- s.reports.first(batchSize):
			s.reports.drop(batchSize)
		default:
		}
	}
}

// wait sleeps until there is something to do.
func (s *Scheduler) wait(ctx context.Context, now time.Time) {
	var toBind chan []binding
	var next []binding
	if s.outbox.len() > 0 {
		toBind, next = s.toBind, s.outbox.items[0]
	}
	var toReport chan []report
	reports := s.reports.first(batchSize)
	if len(reports) > 0 {
		toReport = s.toReport
	}
	pause := flushEvery
	if at, ok := s.core.cluster.queue.due(); ok {
		pause = min(pause, max(at.Sub(now), time.Millisecond))
	}
	timer := s.cfg.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case c := <-s.nodes:
		s.takeNodes(c)
	case c := <-s.pods:
		s.takePods(c)
	case b := <-s.bound:
		s.takeBound(b)
	case <-s.wake:
		s.applyUpdates()
	case toBind <- next:
		s.outbox.drop(1)
	case toReport <- reports:
		s.reports.drop(len(reports))
	case <-timer.C():
	case <-ctx.Done():
	}
}

// applyUpdates puts plugins in place.
func (s *Scheduler) applyUpdates() {
	s.mu.Lock()
	list := s.updates
	s.updates = nil
	s.mu.Unlock()
	for _, u := range list {
		if err := s.core.replace(u.name, u.unit); err != nil {
			s.cfg.Log.Warn("close plugin", "plugin", u.name, "error", err)
		}
	}
	if len(list) > 0 {
		// Another plugin may judge otherwise: everybody gets another try.
		s.core.cluster.queue.wake(sdk.AnyEvent, s.cfg.Clock.Now())
	}
}

func (s *Scheduler) takeNodes(c change) {
	now := s.cfg.Clock.Now()
	cl := s.core.cluster
	if c.replace {
		present := map[string]bool{}
		for _, o := range c.objects {
			present[o.Name] = true
		}
		for row := cl.table.Rows() - 1; row >= 0; row-- {
			if name := cl.table.Node(row).Name; !present[name] {
				cl.dropNode(name)
			}
		}
		s.synced.nodes = true
	}
	for _, o := range c.objects {
		if n, ok := o.Obj.(*corev1.Node); ok {
			cl.putNode(n, now)
		}
	}
	for _, e := range c.events {
		if e.Object == nil {
			continue
		}
		if e.Type == watch.Deleted {
			cl.dropNode(e.Object.Name)
		} else if n, ok := e.Object.Obj.(*corev1.Node); ok {
			cl.putNode(n, now)
		}
	}
}

func (s *Scheduler) takePods(c change) {
	now := s.cfg.Clock.Now()
	cl := s.core.cluster
	if c.replace {
		present := map[types.NamespacedName]bool{}
		for _, o := range c.objects {
			present[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = true
		}
		for key := range cl.pods {
			if !present[key] {
				cl.dropPod(key, now)
			}
		}
		s.synced.pods = true
	}
	for _, o := range c.objects {
		if p, ok := o.Obj.(*corev1.Pod); ok {
			cl.putPod(p, now)
		}
	}
	for _, e := range c.events {
		if e.Object == nil {
			continue
		}
		if e.Type == watch.Deleted {
			cl.dropPod(types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Name}, now)
		} else if p, ok := e.Object.Obj.(*corev1.Pod); ok {
			cl.putPod(p, now)
		}
	}
}

// takeBound takes in what became of bindings.
func (s *Scheduler) takeBound(list []bound) {
	now := s.cfg.Clock.Now()
	for _, b := range list {
		s.waiting--
		if b.err != nil {
			s.core.m.binds.WithLabelValues("failed").Inc()
			s.cfg.Log.Debug("bind", "namespace", b.obj.Namespace, "name", b.obj.Name, "node", b.node, "error", b.err)
			s.core.unbind(b.pod, now)
			continue
		}
		s.core.m.binds.WithLabelValues("bound").Inc()
		if s.token(now) {
			s.report(report{pod: b.obj, at: now, event: true, reason: reasonScheduled,
				message: fmt.Sprintf("Successfully assigned %s/%s to %s", b.obj.Namespace, b.obj.Name, b.node)})
		} else {
			s.core.m.dropped.Inc()
		}
	}
}

// token takes one of the Scheduled events that may be written now; unused ones
// add up to two seconds' worth.
func (s *Scheduler) token(now time.Time) bool {
	rate := float64(s.cfg.EventRate)
	if rate <= 0 {
		return false
	}
	if s.tokensAt.IsZero() {
		s.tokens = 2 * rate
	} else {
		s.tokens = min(2*rate, s.tokens+rate*now.Sub(s.tokensAt).Seconds())
	}
	s.tokensAt = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

func (s *Scheduler) count() {
	q := s.core.cluster.queue
	s.core.m.pending.WithLabelValues("active").Set(float64(q.active.Len()))
	s.core.m.pending.WithLabelValues("backoff").Set(float64(q.backoff.Len()))
	s.core.m.pending.WithLabelValues("unschedulable").Set(float64(len(q.parked)))
}
