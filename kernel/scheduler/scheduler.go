package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/scheduler/bind"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/kernel/watch"
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
	// Informers counts what is followed; nil counts nothing.
	Informers *informer.Metrics
	Log       *slog.Logger // nil: discard
}

// Implements are the resources that a Scheduler acts on; see kernel/implementers.
func Implements() []schema.GroupResource { return []schema.GroupResource{{Resource: "pods"}} }

// A batch of bindings is written when it is this long, or this old, or when no
// pod is left to decide about.
const (
	batchSize = 256
	batchAge  = 2 * time.Millisecond
)

// binders is how many batches are written at the same time.
const binders = 2

// maxInFlight bounds the bindings that are not yet written: beyond, deciding
// waits for the store.
const maxInFlight = 16 * batchSize

// What a plugin is to the scheduler stands where it is asked.
type (
	Plugin        = evaluate.Plugin
	Use           = evaluate.Use
	FailurePolicy = evaluate.FailurePolicy
	Rehearsal     = evaluate.Rehearsal
)

// The failure policies.
const (
	Fail   = evaluate.Fail
	Ignore = evaluate.Ignore
)

// Scheduler places pods. Make one with New.
type Scheduler struct {
	cfg   Config
	cycle *cycle

	plugins pending
	awaited map[string]bool // plugins that decisions wait for; the loop's own
	wake    chan struct{}

	nodes, pods informer.Updates
	toBind      chan []binding
	bound       chan []bound
	toReport    chan []report
	synced      struct{ nodes, pods bool }

	following following
	preparing preparing

	batch    []binding
	batchAt  time.Time
	outbox   backlog[[]binding]
	inFlight int // bindings in batch and outbox, and with binders
	reports  backlog[report]
	tokens   float64 // of Scheduled events
	tokensAt time.Time
}

type (
	binding = bind.Binding[*decision]
	bound   = bind.Result[*decision]
)

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
	ours := func(name string) bool { return name == cfg.SchedulerName }
	c := newCycle(ours, cfg.Seed, m, cfg.Log, cfg.Remember)
	s := &Scheduler{
		cfg:      cfg,
		cycle:    c,
		awaited:  map[string]bool{},
		wake:     make(chan struct{}, 1),
		nodes:    make(informer.Updates, 4),
		pods:     make(informer.Updates, 4),
		toBind:   make(chan []binding),
		bound:    make(chan []bound, binders),
		toReport: make(chan []report),

		following: following{cycle: c, out: make(chan objectUpdate, 4), list: map[schema.GroupResource]*follower{}},
		preparing: newPreparing(c, cfg.Log),
	}
	s.following.cfg, s.preparing.bind, s.preparing.tell = &s.cfg, s.bind, s.tell
	return s, nil
}

// Explain returns the last verdict about a pod, false when none is remembered.
func (s *Scheduler) Explain(namespace, name string) (Verdict, bool) {
	return s.cycle.explanations.get(types.NamespacedName{Namespace: namespace, Name: name})
}

// Run places pods until ctx ends. It returns after its goroutines and plugin
// instances are done; it may be called once.
func (s *Scheduler) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for gvr, updates := range map[schema.GroupVersionResource]informer.Updates{nodeResource: s.nodes, podResource: s.pods} {
		i := informer.New(informer.Config{Name: "scheduler", Registry: s.cfg.Registry, Target: registry.Target{Resource: gvr}, Handler: updates,
			Clock: s.cfg.Clock, Metrics: s.cfg.Informers, Log: s.cfg.Log})
		g.Go(func() error { i.Run(ctx); return nil })
	}
	for range binders {
		b := &bind.Binder[*decision]{Registry: s.cfg.Registry, In: s.toBind, Out: s.bound}
		g.Go(func() error { return b.Run(ctx) })
	}
	r := &reporter{reg: s.cfg.Registry, controller: s.cfg.SchedulerName, instance: s.cfg.Instance, in: s.toReport, log: s.cfg.Log}
	g.Go(func() error { return r.run(ctx) })
	for range preBinders {
		b := &preBinder{view: s.cycle.objects, in: s.preparing.to, out: s.preparing.done}
		g.Go(func() error { return b.run(ctx) })
	}
	s.following.begin = func(i *informer.Informer) context.CancelFunc {
		ctx, stop := context.WithCancel(ctx)
		g.Go(func() error { i.Run(ctx); return nil })
		return stop
	}
	g.Go(func() error { return s.loop(ctx) })
	err := g.Wait()
	return errors.Join(err, s.close())
}

func (s *Scheduler) close() error {
	s.following.begin = nil
	s.plugins.end()
	s.applyUpdates()
	return errors.Join(s.cycle.evaluator.Close(), s.cycle.rehearsals.Close())
}

// loop owns the cycle: it drains what happened, decides, and delivers the
// decisions.
func (s *Scheduler) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		s.drain()
		s.applyUpdates() // what is in place before a decision takes part in it
		now := s.cfg.Clock.Now()
		s.preparing.wake(now)
		if now.Sub(s.following.at) >= flushEvery {
			s.following.follow()
		}
		var d *decision
		if s.ready() && s.inFlight < maxInFlight {
			d = s.cycle.next(ctx, now)
		}
		if d != nil {
			s.cycle.m.duration.Observe(s.cfg.Clock.Since(now).Seconds())
			s.dispatch(d, now)
		}
		if n := len(s.batch); n >= batchSize || n > 0 && (d == nil || now.Sub(s.batchAt) >= batchAge) {
			s.outbox.add(s.batch)
			s.batch = nil
		}
		if d == nil {
			s.count()
			s.wait(ctx, now)
		} else {
			s.deliver()
		}
	}
	return nil
}

// ready tells whether the cache is complete, there is a plugin to ask, and none
// is about to come.
func (s *Scheduler) ready() bool {
	return s.synced.nodes && s.synced.pods && s.cycle.objects.Synced() && s.cycle.evaluator.Len() > 0 && len(s.awaited) == 0
}

// dispatch puts a decision into the batch of bindings, or reports a refusal.
func (s *Scheduler) dispatch(d *decision, now time.Time) {
	switch {
	case d.node == "":
		s.tell(d, now)
	case d.reserved == nil: // as it is for most pods
		s.bind(d, now)
	default:
		s.objectsChanged(d.changed, now)
		d.changed = nil
		s.preparing.begin(d, now)
	}
}

// bind puts a decision into the batch of bindings.
func (s *Scheduler) bind(d *decision, now time.Time) {
	if len(s.batch) == 0 {
		s.batchAt = now
	}
	s.batch = append(s.batch, binding{Pod: d.pod.Object, Node: d.node, Decision: d})
	s.inFlight++
}

// tell reports that a pod waits on.
func (s *Scheduler) tell(d *decision, now time.Time) {
	p := d.pod
	if d.condition || d.event {
		s.report(report{pod: p.Object, at: now, condition: d.condition, event: d.event, reason: reasonFailed, conditionReason: d.conditionReason(), message: d.message})
	}
}

// maxReports bounds the reports that wait; more are dropped, conditions come
// again with the pod's next try.
const maxReports = 4096

func (s *Scheduler) report(r report) {
	if s.reports.len() >= maxReports {
		s.cycle.m.dropped.Inc()
		return
	}
	s.reports.add(r)
}

// drain handles what is there without waiting.
func (s *Scheduler) drain() {
	for range 8 {
		select {
		case c := <-s.nodes:
			s.syncNodes(c)
		case c := <-s.pods:
			s.syncPods(c)
		case b := <-s.bound:
			s.finishBindings(b)
		case u := <-s.following.out:
			s.objectsChanged(s.following.sync(u), s.cfg.Clock.Now())
		case b := <-s.preparing.done:
			s.preparing.finish(&b, s.cfg.Clock.Now())
		case <-s.wake:
		default:
			return
		}
	}
}

// deliver hands out what binders and reporter are free to take.
func (s *Scheduler) deliver() {
	if s.outbox.len() > 0 {
		select {
		case s.toBind <- s.outbox.items[0]:
			s.outbox.drop(1)
		default:
		}
	}
	if task, ok := s.preparing.nextTask(s.cfg.Clock.Now()); ok {
		select {
		case s.preparing.to <- task:
			s.preparing.handed()
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
	var toPreBind chan preBindTask
	task, ok := s.preparing.nextTask(now)
	if ok {
		toPreBind = s.preparing.to
	}
	pause := flushEvery
	if at, ok := s.preparing.next(); ok {
		pause = min(pause, max(at.Sub(now), time.Millisecond))
	}
	if at, ok := s.cycle.queue.NextBackoff(); ok {
		pause = min(pause, max(at.Sub(now), time.Millisecond))
	}
	timer := s.cfg.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case c := <-s.nodes:
		s.syncNodes(c)
	case c := <-s.pods:
		s.syncPods(c)
	case b := <-s.bound:
		s.finishBindings(b)
	case u := <-s.following.out:
		s.objectsChanged(s.following.sync(u), s.cfg.Clock.Now())
	case b := <-s.preparing.done:
		s.preparing.finish(&b, s.cfg.Clock.Now())
	case toPreBind <- task:
		s.preparing.handed()
	case <-s.wake:
	case toBind <- next:
		s.outbox.drop(1)
	case toReport <- reports:
		s.reports.drop(len(reports))
	case <-timer.C():
	case <-ctx.Done():
	}
}

func (s *Scheduler) syncNodes(u informer.Update) {
	now := s.cfg.Clock.Now()
	if u.Replace {
		s.cycle.replaceNodes(typed[*corev1.Node](u.Objects), now)
		s.synced.nodes = true
	}
	for _, e := range u.Events {
		if e.Type == watch.Deleted {
			s.cycle.deleteNode(e.Object.Name)
		} else if n, ok := e.Object.Obj.(*corev1.Node); ok {
			s.cycle.putNode(n, now)
		}
	}
}

func (s *Scheduler) syncPods(u informer.Update) {
	now := s.cfg.Clock.Now()
	if u.Replace {
		s.cycle.replacePods(typed[*corev1.Pod](u.Objects), now)
		s.synced.pods = true
		s.preparing.dropMissing(u.Objects, now)
	}
	for _, e := range u.Events {
		if e.Type == watch.Deleted {
			key := types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Name}
			s.cycle.deletePod(key, now)
			s.preparing.drop(key, now)
		} else if p, ok := e.Object.Obj.(*corev1.Pod); ok {
			s.preparing.dropUseless(p, now)
			s.cycle.putPod(p, now)
		}
	}
}

// typed are those of a type.
func typed[T any](list []*watch.Object) []T {
	out := make([]T, 0, len(list))
	for _, o := range list {
		if x, ok := o.Obj.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

// finishBindings handles the results of bindings.
func (s *Scheduler) finishBindings(list []bound) {
	now := s.cfg.Clock.Now()
	for _, b := range list {
		s.inFlight--
		if b.Err != nil {
			s.cycle.m.binds.WithLabelValues("failed").Inc()
			s.cfg.Log.Debug("bind", "namespace", b.Pod.Namespace, "name", b.Pod.Name, "node", b.Node, "error", b.Err)
			s.cycle.rollback(b.Decision, now)
			continue
		}
		s.cycle.m.binds.WithLabelValues("bound").Inc()
		s.cycle.evaluator.Settle(b.Decision.reserved)
		if s.token(now) {
			s.report(report{pod: b.Pod, at: now, event: true, reason: reasonScheduled,
				message: fmt.Sprintf("Successfully assigned %s/%s to %s", b.Pod.Namespace, b.Pod.Name, b.Node)})
		} else {
			s.cycle.m.dropped.Inc()
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

// count brings the gauges up to date.
func (s *Scheduler) count() {
	active, backoff, unschedulable := s.cycle.queue.Lengths()
	s.cycle.m.preBinding.Set(float64(len(s.preparing.byPod)))
	s.cycle.m.pending.WithLabelValues("active").Set(float64(active))
	s.cycle.m.pending.WithLabelValues("backoff").Set(float64(backoff))
	s.cycle.m.pending.WithLabelValues("unschedulable").Set(float64(unschedulable))
}
