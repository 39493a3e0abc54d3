package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

// core makes one decision after another. It does no I/O beyond calling plugins
// and starts no goroutine; time is passed in.
type core struct {
	cluster  *cluster
	engine   *engine
	verdicts *verdicts
	// rehearsals are asked beside the engine.
	rehearsals rehearsals
	m          *metrics
	log        *slog.Logger

	flushed time.Time // when the parked pods were looked through last
}

// The longest that a rejected pod waits without another try, and how often
// that is checked, as upstream has it.
const (
	maxParked  = 5 * time.Minute
	flushEvery = 30 * time.Second
)

// retell is how often an unchanged refusal is recorded as an event again.
const retell = 5 * time.Minute

// decision is what became of one pod.
type decision struct {
	pod  *pod
	node string // chosen; "" when the pod waits on
	// message of a refusal. changed: the pod's condition does not say so yet;
	// noted: an event should.
	message        string
	changed, noted bool
	// failed: a plugin gave no answer.
	failed bool
}

func newCore(table *columns.Table, mine func(string) bool, seed rand.Source, m *metrics, log *slog.Logger, remember int) *core {
	c := newCluster(mine)
	c.table = table
	e := &engine{table: table, rand: rand.New(seed), log: log, m: m, shapes: map[string]*shape{}}
	return &core{cluster: c, m: m, log: log, verdicts: newVerdicts(remember), engine: e, rehearsals: rehearsals{like: e}}
}

// next decides about the next pod that is due; nil when there is none.
func (c *core) next(ctx context.Context, now time.Time) *decision {
	if now.Sub(c.flushed) >= flushEvery {
		c.cluster.queue.flush(maxParked, now)
		c.flushed = now
	}
	p := c.cluster.queue.pop(now)
	if p == nil {
		return nil
	}
	ctx = plugin.ForNamespace(ctx, p.key.Namespace)
	out, err := c.engine.decide(ctx, &p.record, now)
	if ctx.Err() != nil {
		c.cluster.queue.add(p)
		return nil
	}
	beside := c.rehearsals.judge(ctx, &p.record, &out, now)
	d := &decision{pod: p}
	switch {
	case err != nil:
		out = outcome{fit: &fitError{nodes: c.cluster.table.Rows(), preFilter: true, message: err.Error()}}
		d.message, d.failed = err.Error(), true
		c.m.attempts.WithLabelValues("error").Inc()
		c.cluster.queue.retry(p, now)
	case out.fit != nil:
		d.message = out.fit.Error()
		c.m.attempts.WithLabelValues("unschedulable").Inc()
		events := out.fit.events
		if out.fit.empty {
			events = sdk.NodeAdded
		}
		c.cluster.queue.park(p, events, now)
	default:
		d.node = out.node
		c.m.attempts.WithLabelValues("scheduled").Inc()
		c.cluster.assume(p, out.node)
	}
	if d.node == "" {
		d.changed = p.told != d.message || !conditionSays(p.obj, d.conditionReason(), d.message)
		d.noted = p.told != d.message || now.Sub(p.toldAt) >= retell
		if d.noted {
			p.told, p.toldAt = d.message, now
		}
	}
	v := verdictOf(&out, c.cluster.table.Rows(), p.attempts+boolInt(d.node != ""), now)
	v.Rehearsed = beside
	c.verdicts.put(p.key, v)
	return d
}

// conditionReason tells, as upstream does, a pod that fits nowhere from one that
// could not be decided about.
func (d *decision) conditionReason() string {
	if d.failed {
		return corev1.PodReasonSchedulerError
	}
	return corev1.PodReasonUnschedulable
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// unbind takes a pod back whose binding failed. When that was because it is
// gone, or another has bound it, the event that says so comes before its next
// try.
func (c *core) unbind(p *pod, now time.Time) {
	if c.cluster.forget(p, now) {
		c.cluster.queue.retry(p, now)
	}
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
