package pod

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/status"
)

// worker runs one pod.
type worker struct {
	*Workers
	uid  types.UID
	log  *slog.Logger
	wake chan struct{}
	ends chan ending // of actions
	// refused is why the node did not take the pod up; nil when it did. It is
	// set before the worker runs.
	refused *admit.Refusal

	mu     sync.Mutex
	pod    *corev1.Pod       // as the API has it; guarded by mu
	gone   bool              // the API has it no more; guarded by mu
	stale  bool              // what volumes show has changed; guarded by mu
	status *corev1.PodStatus // last computed; nil before the first; guarded by mu
	base   *corev1.PodStatus // last taken by the API; nil when not known; guarded by mu

	grants grants // what the node has allocated

	// What follows belongs to the worker's goroutine.

	seen     *state.Pod
	actions  map[string]*action // under way, by what they are about
	holds    map[string]plan.Hold
	owed     owed
	failures map[string]plan.Waiting
	retries  map[string]*backoff.Retry
	sight    *backoff.Retry // of the runtime
	pulls    map[string]pullFailure
	crashed  map[string]string // container → instance that an event told the back-off of
	prepared bool
	renew    time.Time // when volumes must be written again
	teared   bool      // the sandbox and volumes of a finished pod are gone
	resized  int       // which allocation was last worked on
	ending   *termination
	done     bool
}

// Names of actions that are not about one container.
const (
	sandboxAction = ""
	volumeAction  = "\x00volumes"
	endAction     = "\x00end"
	tidyAction    = "\x00tidy"
	resizeAction  = "\x00resize"
)

// action is something under way.
type action struct{ cancel context.CancelFunc }

// ending is how an action ended.
type ending struct {
	name string
	then func() // applied by the worker's goroutine; may be nil
}

func newWorker(w *Workers, pod *corev1.Pod) *worker {
	return &worker{Workers: w, uid: pod.UID, pod: pod,
		log:     w.Log.With("namespace", pod.Namespace, "name", pod.Name, "uid", pod.UID),
		wake:    make(chan struct{}, 1),
		ends:    make(chan ending),
		actions: map[string]*action{}, holds: map[string]plan.Hold{}, owed: owed{},
		failures: map[string]plan.Waiting{}, retries: map[string]*backoff.Retry{},
		grants: grants{keeping: backoff.New(firstRetry, maxRetry)},
		sight:  backoff.New(firstRetry, maxRetry), pulls: map[string]pullFailure{}, crashed: map[string]string{}}
}

func (k *worker) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *worker) set(pod *corev1.Pod, gone bool) {
	k.mu.Lock()
	changed := gone != k.gone || needsLook(k.pod, pod)
	k.stale = k.stale || shownChanged(k.pod, pod)
	k.grants.seen(pod)
	if !k.gone {
		k.pod, k.gone = pod, gone
	}
	k.mu.Unlock()
	if changed {
		k.nudge()
	}
}

func (k *worker) sourceChanged() {
	k.mu.Lock()
	k.stale = true
	k.mu.Unlock()
	k.nudge()
}

func (k *worker) written(pod *corev1.Pod) {
	k.mu.Lock()
	k.base = &pod.Status
	k.mu.Unlock()
}

// current is the pod with the status that the node last computed, as the API's
// lags behind, and with the resources that it was allocated: nobody on the
// node is shown others.
func (k *worker) current() *corev1.Pod {
	p, _ := k.snapshot()
	return p
}

func (k *worker) snapshot() (pod *corev1.Pod, gone bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	granted := k.grants.apply(k.pod)
	if k.status == nil {
		return granted, k.gone
	}
	p := *granted
	p.Status = *k.status
	// Others' conditions, and a phase that they made final, are the API's.
	p.Status.Conditions = nil
	for _, c := range k.pod.Status.Conditions {
		if !status.Owned(c.Type) {
			p.Status.Conditions = append(p.Status.Conditions, c)
		}
	}
	for _, c := range k.status.Conditions {
		if status.Owned(c.Type) {
			p.Status.Conditions = append(p.Status.Conditions, c)
		}
	}
	if f := k.pod.Status.Phase; f == corev1.PodFailed || f == corev1.PodSucceeded {
		p.Status.Phase, p.Status.Reason, p.Status.Message = f, k.pod.Status.Reason, k.pod.Status.Message
	}
	return &p, k.gone
}

// run looks at the pod whenever something happened, until it is gone or ctx
// ends.
func (k *worker) run(ctx context.Context) {
	defer k.finishActions()
	timer := k.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := k.step(ctx)
		if k.done || ctx.Err() != nil {
			return
		}
		timer.Stop()
		timer = k.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-timer.C():
		case e := <-k.ends:
			k.ended(e)
		}
		k.drainEnds()
	}
}

// drainEnds takes in what else has ended meanwhile.
func (k *worker) drainEnds() {
	for {
		select {
		case e := <-k.ends:
			k.ended(e)
		default:
			return
		}
	}
}

func (k *worker) ended(e ending) {
	delete(k.actions, e.name)
	if e.then != nil {
		e.then()
	}
}

// finishActions cancels what is under way and waits for it.
func (k *worker) finishActions() {
	for _, a := range k.actions {
		a.cancel()
	}
	for len(k.actions) > 0 {
		k.ended(<-k.ends)
	}
	k.probes.Sync(context.Background(), k.uid, nil)
}

// do starts an action; f's result is applied by the worker's goroutine. f
// must return soon after its context ends.
func (k *worker) do(ctx context.Context, name string, f func(ctx context.Context) (then func())) {
	ctx, cancel := context.WithCancel(ctx)
	k.actions[name] = &action{cancel}
	go func() {
		defer cancel()
		k.ends <- ending{name, f(ctx)}
	}()
}

func (k *worker) busy(name string) bool { return k.actions[name] != nil }

// idleCheck is how often a worker looks at a pod that nothing happens to.
const idleCheck = 2 * time.Minute

// step looks at the pod once, starts what is to be done, and returns how long
// nothing needs to be done.
func (k *worker) step(ctx context.Context) time.Duration {
	pod, gone := k.snapshot()
	seen, err := k.observe(ctx, pod)
	if err != nil {
		return k.blind(err)
	}
	k.sight.Succeeded(k.log)
	k.seen = seen
	if gone || pod.DeletionTimestamp != nil {
		return k.terminate(ctx, pod, gone)
	}
	if k.refused != nil {
		k.reject(pod)
		return idleCheck
	}
	if k.teared && podspec.Final(pod) && seen.ReadySandbox() == nil {
		return idleCheck
	}
	pod = k.resize(ctx)
	k.Sources.Hold(pod)
	k.probe(ctx, pod)
	k.prepareVolumes(ctx, pod)
	now := k.Clock.Now()
	aged := k.agePulls(pod, now)
	p := plan.Next(plan.Input{Pod: pod, Seen: seen, Now: now, Busy: k.busy, Health: k.planHealth, Holds: k.holds})
	k.tellCrashes(pod, seen, p)
	k.carryOut(ctx, pod, p)
	k.publish(pod, p, false)
	return until(now, p.Wake, aged, k.renew, k.held(tidyAction), k.held(endAction), k.held(resizeAction), k.grants.again(now))
}

// blind is how long to wait when the runtime did not show the pod. That it
// cannot be reached, the watcher tells for all pods.
func (k *worker) blind(err error) time.Duration {
	if cri.IsUnavailable(err) || errors.Is(err, context.Canceled) {
		return k.sight.Again()
	}
	return k.sight.Failed(k.log, "the runtime does not show the pod", err)
}

// until is how long to wait for the first of some times, of which zero ones
// never come, or for the next routine look.
func until(now time.Time, times ...time.Time) time.Duration {
	wait := idleCheck
	for _, t := range times {
		if !t.IsZero() {
			wait = min(wait, max(t.Sub(now), time.Millisecond))
		}
	}
	return wait
}

func (k *worker) planHealth(id string) plan.Health {
	h := k.probes.Health(id)
	return plan.Health{Started: h.Started, Fault: h.Fault, Grace: h.Grace}
}

func (k *worker) statusHealth(id string) status.Health {
	h := k.probes.Health(id)
	return status.Health{Started: h.Started, Ready: h.Ready && h.Fault == ""}
}

// carryOut starts the actions of a plan.
func (k *worker) carryOut(ctx context.Context, pod *corev1.Pod, p plan.Plan) {
	for _, id := range p.StopSandboxes {
		k.stopSandbox(ctx, id)
	}
	if p.CreateSandbox {
		k.createSandbox(ctx, pod, p.Attempt)
	}
	k.kill(ctx, pod, p.Kills)
	if k.prepared {
		for _, s := range p.Starts {
			k.start(ctx, pod, s)
		}
	}
	k.tidy(ctx, p)
	if p.TearDown && !k.teared && len(k.actions) == 0 && k.held(endAction).IsZero() {
		k.tearDown(ctx)
	}
}

// publish computes the status and has it written if it changed.
func (k *worker) publish(pod *corev1.Pod, p plan.Plan, ended bool) {
	pending, applying := k.grants.conditions()
	whole := k.grants.whole()
	s := status.Make(status.Input{Pod: pod, Seen: k.seen, Plan: p, Failures: k.failures, Health: k.statusHealth, Pending: pending, Resizing: applying, Whole: whole,
		Runtime: k.RuntimeName, NodeIPs: k.Node().IPs, Ended: ended, Now: k.Clock.Now()})
	k.mu.Lock()
	changed := k.status == nil || !reflect.DeepEqual(*k.status, s)
	k.status = &s
	base := k.base
	if base == nil {
		base = &k.pod.Status
	}
	api := k.pod
	k.mu.Unlock()
	if changed {
		k.writer.write(api, *base, s)
		k.roomMade() // perhaps
	}
}

// probe makes the running instances be probed.
func (k *worker) probe(ctx context.Context, pod *corev1.Pod) {
	var targets []probe.Target
	for _, c := range podspec.Containers(pod) {
		i := k.seen.Latest(c.Name)
		if i == nil || i.Phase != state.Running || k.busy(c.Name) {
			continue
		}
		targets = append(targets, probe.Target{Pod: pod, Container: c, ID: i.ID, StartedAt: i.StartedAt,
			IP: k.address(pod), Was: k.was(pod, i), Ports: func() []uint16 { return podspec.ServicePorts(pod, k.Services()) }})
	}
	k.probes.Sync(ctx, k.uid, targets)
}

// was is what the API says about an instance that an earlier agent probed.
func (k *worker) was(pod *corev1.Pod, i *state.Container) probe.Health {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range list {
			if s.ContainerID == k.RuntimeName+"://"+i.ID {
				return probe.Health{Started: s.Started != nil && *s.Started, Ready: s.Ready}
			}
		}
	}
	return probe.Health{}
}

// address is where the pod's ports are.
func (k *worker) address(pod *corev1.Pod) string {
	if podspec.HostNetwork(pod) {
		if ips := k.Node().IPs; len(ips) > 0 {
			return ips[0]
		}
		return "127.0.0.1"
	}
	if s := k.seen.ReadySandbox(); s != nil && len(s.IPs) > 0 {
		return s.IPs[0]
	}
	return ""
}

// finalStatus is the status of the pod when nothing of it runs any more.
func (k *worker) finalStatus(pod *corev1.Pod, last *state.Pod) corev1.PodStatus {
	if k.refused != nil {
		return k.rejected(pod)
	}
	return status.Make(status.Input{Pod: pod, Seen: last, Health: k.statusHealth, Runtime: k.RuntimeName,
		NodeIPs: k.Node().IPs, Ended: true, Now: k.Clock.Now()})
}
