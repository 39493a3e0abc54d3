package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/scheduler/cache"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/scheduler/queue"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// cycle makes one decision after another. It does no I/O beyond calling plugins
// and starts no goroutine; time is passed in.
type cycle struct {
	cache     *cache.Cache
	queue     *queue.Queue
	evaluator *evaluate.Evaluator
	// rehearsals are asked beside the evaluator.
	rehearsals   *evaluate.Rehearsals
	objects      *objects.View // what plugins read besides
	explanations *explanations
	// ours tells which spec.schedulerName is ours.
	ours func(name string) bool
	m    *metrics

	flushed time.Time // when unschedulable pods were flushed last
}

// The longest that an unschedulable pod waits without another attempt, and how
// often that is checked, as upstream has it.
const (
	maxUnschedulable = 5 * time.Minute
	flushEvery       = 30 * time.Second
)

// unusedSweeps is how many flushes a count of pods survives that no pod's
// plugins ask for.
const unusedSweeps = 10

// repeatEvent is how often an unchanged refusal is recorded as an event again.
const repeatEvent = 5 * time.Minute

// decision is what became of one pod.
type decision struct {
	pod *queue.Pod
	// node that was chosen, "" when the pod waits on. assumed is the pod as it
	// counts there.
	node    string
	assumed *cache.Pod
	// reserved is what plugins hold for it there; nil for nothing.
	reserved *evaluate.Reserved
	// changed are the objects that were assumed for it.
	changed []objects.Ref
	// message of a refusal. condition: the pod's condition does not say so yet;
	// event: an event should.
	message          string
	condition, event bool
	// failed: a plugin gave no answer.
	failed bool
}

func newCycle(ours func(string) bool, seed rand.Source, m *metrics, log *slog.Logger, remember int) *cycle {
	c, view := cache.New(), objects.New()
	cfg := evaluate.Config{Table: c.Table(), Indexes: c.Indexes(), Objects: view, Seed: seed, Metrics: m.evaluate, Log: log}
	return &cycle{cache: c, objects: view, queue: queue.New(), evaluator: evaluate.New(cfg), rehearsals: evaluate.NewRehearsals(cfg),
		explanations: newExplanations(remember), ours: ours, m: m}
}

// next decides about the next pod that is due; nil when there is none.
func (c *cycle) next(ctx context.Context, now time.Time) *decision {
	if now.Sub(c.flushed) >= flushEvery {
		c.queue.FlushUnschedulable(maxUnschedulable, now)
		c.cache.Indexes().Sweep(unusedSweeps)
		c.flushed = now
	}
	p := c.queue.Pop(now)
	if p == nil {
		return nil
	}
	ctx = plugin.ForNamespace(ctx, p.Key.Namespace)
	pod := evaluate.NewPod(p.Object, &p.Usage)
	out, err := c.evaluator.Decide(ctx, pod, now)
	if ctx.Err() != nil {
		c.queue.Add(p)
		return nil
	}
	beside := c.rehearsals.Ask(ctx, pod, &out, now)
	d := &decision{pod: p}
	attempts := p.Attempts() + 1
	if err == nil && out.Fit == nil {
		d.reserved, d.changed, err = c.evaluator.Reserve(ctx, pod, refOf(p), &out)
	}
	switch {
	case err != nil:
		out = evaluate.Failed(c.cache.Table().Rows(), err)
		d.message, d.failed = err.Error(), true
		c.m.attempts.WithLabelValues("error").Inc()
		c.queue.AddBackoff(p, now)
	case out.Fit != nil:
		d.message = out.Fit.Error()
		c.m.attempts.WithLabelValues("unschedulable").Inc()
		c.queue.AddUnschedulable(p, out.Fit.Events, now, out.Fit.Objects...)
	default:
		d.node = out.Node
		c.m.attempts.WithLabelValues("scheduled").Inc()
		d.assumed = c.cache.Assume(p.Object, &p.Usage, out.Node)
	}
	if d.node == "" {
		c.note(d, now)
	}
	v := verdictOf(&out, c.cache.Table().Rows(), attempts, now)
	v.Rehearsed = beside
	c.explanations.put(p.Key, &v)
	return d
}

// note decides what is told about a pod that waits on.
func (c *cycle) note(d *decision, now time.Time) {
	p := d.pod
	d.condition = p.Message != d.message || !conditionSays(p.Object, d.conditionReason(), d.message)
	d.event = p.Message != d.message || now.Sub(p.RecordedAt) >= repeatEvent
	if d.event {
		p.Message, p.RecordedAt = d.message, now
	}
}

// conditionReason tells, as upstream does, a pod that fits nowhere from one that
// could not be decided about.
func (d *decision) conditionReason() string {
	if d.failed {
		return corev1.PodReasonSchedulerError
	}
	return corev1.PodReasonUnschedulable
}

// rollback takes a pod back whose binding failed. When that was because it is
// gone, or another has bound it, the event that says so comes before its next
// attempt.
// It reports whether the pod waits again.
func (c *cycle) rollback(d *decision, now time.Time) (waits bool) {
	ctx := plugin.ForNamespace(context.Background(), d.pod.Key.Namespace)
	c.queue.Changed(c.evaluator.Unreserve(ctx, d.reserved, d.ref(), d.node), now)
	events, waits := c.cache.Forget(d.assumed)
	c.queue.Event(events, now)
	if waits {
		c.queue.AddBackoff(d.pod, now)
	}
	return waits
}

// refused is the decision that a placement was given up, because of a plugin.
func (c *cycle) refused(d *decision, why error, now time.Time) *decision {
	out := &decision{pod: d.pod, message: why.Error(), failed: true}
	c.note(out, now)
	failed := evaluate.Failed(c.cache.Table().Rows(), why)
	v := verdictOf(&failed, c.cache.Table().Rows(), d.pod.Attempts(), now)
	c.explanations.put(d.pod.Key, &v)
	return out
}

// ref names the pod for plugins.
func (d *decision) ref() schedule.PodRef { return refOf(d.pod) }

func refOf(p *queue.Pod) schedule.PodRef {
	return schedule.PodRef{Namespace: p.Key.Namespace, Name: p.Key.Name, UID: string(p.UID)}
}

// setPlugin puts a plugin where its mode wants it: among those that decide, or
// beside them. A nil instance takes the plugin out.
func (c *cycle) setPlugin(name string, in *evaluate.Instance) error {
	decides, beside := in, (*evaluate.Instance)(nil)
	if in != nil && in.Rehearses() {
		decides, beside = nil, in
	}
	return errors.Join(c.evaluator.Replace(name, decides), c.rehearsals.Replace(name, beside))
}

// conditionSays tells whether the pod's PodScheduled condition has the message
// already.
func conditionSays(o *corev1.Pod, reason, message string) bool {
	for i := range o.Status.Conditions {
		x := &o.Status.Conditions[i]
		if x.Type == corev1.PodScheduled {
			return x.Status == corev1.ConditionFalse && x.Reason == reason && x.Message == message
		}
	}
	return false
}
