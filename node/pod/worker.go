package pod

import (
	"context"
	"errors"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/pod/executor"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/state"
)

// worker runs one pod: it shows the runtime to the pod's Core, carries out what
// that decides, and tells it how tasks ended. All but wake is its goroutine's.
type worker struct {
	uid   types.UID
	log   *slog.Logger
	clock clock.WithTicker
	view  *view
	do    *executors
	// room decides about resizes that wait.
	room resizes
	wake chan struct{}

	core      *lifecycle.Core
	seen      *state.Pod
	observing *backoff.Retry // of the runtime
	tasks     map[string]context.CancelFunc
	ends      chan lifecycle.Result
	period    *executor.Period // of the pod's end; nil before
}

// resizes are those of all pods of the node.
type resizes interface {
	// decide decides about those that wait.
	decide()
	// roomMade is decide, when there are any.
	roomMade()
}

func newWorker(v *view, do *executors, core *lifecycle.Core, room resizes, c clock.WithTicker, log *slog.Logger) *worker {
	return &worker{uid: v.pod.UID, log: log, clock: c, view: v, do: do, room: room, core: core, wake: make(chan struct{}, 1),
		observing: backoff.New(firstRetry, maxRetry), tasks: map[string]context.CancelFunc{}, ends: make(chan lifecycle.Result)}
}

// nudge has the worker look at its pod. Anybody may call it.
func (k *worker) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run looks at the pod whenever something happened, until it is gone or ctx
// ends.
func (k *worker) run(ctx context.Context) {
	defer k.finish()
	timer := k.clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := k.step(ctx)
		if k.core.Done() || ctx.Err() != nil {
			return
		}
		timer.Stop()
		timer = k.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C():
		case r := <-k.ends:
			k.ended(ctx, r)
		}
		k.drainEnds(ctx)
	}
}

// drainEnds takes what else has ended meanwhile.
func (k *worker) drainEnds(ctx context.Context) {
	for {
		select {
		case r := <-k.ends:
			k.ended(ctx, r)
		default:
			return
		}
	}
}

func (k *worker) ended(ctx context.Context, r lifecycle.Result) {
	delete(k.tasks, r.Task.Name())
	k.perform(ctx, k.core.Ended(k.clock.Now(), r))
}

// finish cancels what is under way and waits for it. What came of it the next
// agent sees.
func (k *worker) finish() {
	for _, cancel := range k.tasks {
		cancel()
	}
	for len(k.tasks) > 0 {
		delete(k.tasks, (<-k.ends).Task.Name())
	}
	k.do.probes.Sync(context.Background(), k.uid, nil)
	if k.core.Done() {
		k.do.sources.Release(k.uid)
	}
}

// step looks at the pod once, starts what is to be done, and returns how long
// nothing needs to be done.
func (k *worker) step(ctx context.Context) time.Duration {
	seen, err := k.do.observer.Observe(ctx, k.uid, k.seen)
	if err != nil {
		return k.unobserved(err)
	}
	k.observing.Succeeded(k.log)
	k.seen = seen
	if _, ok := k.view.pendingResize(); ok {
		k.room.decide()
	}
	in := k.input(seen)
	if targets, ok := k.core.Targets(in); ok {
		k.do.probe(ctx, in.Pod, targets)
	}
	actions, wait := k.core.Step(in)
	k.perform(ctx, actions)
	return wait
}

func (k *worker) input(seen *state.Pod) lifecycle.Input {
	a := k.view.allocated.State()
	k.view.allocated.Overlay(seen)
	// Not older than the allocation: others may have had it granted just now.
	pod, gone, stale := k.view.take()
	now := k.clock.Now()
	return lifecycle.Input{Now: now, Pod: pod, Gone: gone, Stale: stale, Observed: seen, Record: a.Record, Number: a.Number, Pending: a.Pending,
		Applying: a.Applying, Again: k.view.allocated.Again(now), Health: k.do.probes.Health, NodeIPs: k.do.starter.Node().IPs,
		NetworkReady: k.do.networkReady()}
}

// unobserved is how long to wait when the runtime did not show the pod. That it
// cannot be reached, the watcher tells for all pods.
func (k *worker) unobserved(err error) time.Duration {
	if cri.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		return k.observing.Again()
	}
	return k.observing.Failed(k.log, "the runtime does not show the pod", err)
}

// perform carries out actions; of tasks, it starts them.
func (k *worker) perform(ctx context.Context, actions []lifecycle.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case lifecycle.Event:
			k.do.events.Tell(a.Pod, a.Container, a.Type, a.Reason, a.Message)
		case lifecycle.Report:
			api, base := k.view.setStatus(&a.Status)
			k.do.reports.Write(api, base, a.Status)
			k.room.roomMade() // perhaps
		case lifecycle.Follow:
			k.do.sources.Hold(a.Pod)
		case lifecycle.Cancel:
			if cancel := k.tasks[a.Task]; cancel != nil {
				cancel()
			}
		case lifecycle.Shorten:
			if k.period != nil {
				k.period.Shorten(a.Until)
			}
		case lifecycle.StopContainers:
			turns := executor.NewTurns(a)
			for _, stop := range a {
				k.start(ctx, stop, func(ctx context.Context) lifecycle.Result {
					return lifecycle.Result{Task: stop, Err: k.do.stopper.Stop(ctx, stop, turns)}
				})
			}
		case lifecycle.Terminate:
			period := executor.NewPeriod(k.clock, a.Until)
			k.period = period
			k.start(ctx, a, func(ctx context.Context) lifecycle.Result {
				last, err := k.do.terminator.Terminate(ctx, a, period)
				return lifecycle.Result{Task: a, Last: last, Err: err}
			})
		case lifecycle.Task:
			k.start(ctx, a, func(ctx context.Context) lifecycle.Result { return k.do.run(ctx, a, k.view) })
		}
	}
}

// start starts a task, which must end soon after its context.
func (k *worker) start(ctx context.Context, t lifecycle.Task, f func(ctx context.Context) lifecycle.Result) {
	ctx, cancel := context.WithCancel(ctx)
	k.tasks[t.Name()] = cancel
	go func() {
		defer cancel()
		k.ends <- f(ctx)
	}()
}

// probeTargets puts what the Core knows of instances into the prober's words.
func probeTargets(pod *corev1.Pod, of []lifecycle.Target, services func() []*corev1.Service) []probe.Target {
	targets := make([]probe.Target, len(of))
	for i, t := range of {
		targets[i] = probe.Target{Pod: pod, Container: t.Container, ID: t.ID, StartedAt: t.StartedAt, IP: t.IP, Was: t.Was,
			Ports: func() []uint16 { return podspec.ServicePorts(pod, services()) }}
	}
	return targets
}
