package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Config of an Evaluator.
type Config struct {
	// Table is the nodes. Others change it between two decisions.
	Table *columns.Table
	// Indexes are the counts of pods over the same table.
	Indexes Indexes
	// Objects is what plugins read besides; nil is nothing.
	Objects *objects.View
	// Seed breaks ties between nodes.
	Seed    rand.Source
	Metrics *Metrics
	Log     *slog.Logger
}

// Evaluator decides where pods go: it asks the plugins about rows and remembers
// what they said by the pods' signature. Make one with New.
type Evaluator struct {
	cfg       Config
	instances []*Instance // by name
	rand      *rand.Rand
	memory    memory
	last      *verdicts // of the last attempt
	current   attempt

	// without are the indices of instances that are left out for the pod at
	// hand.
	without []int
	totals  ranking
	scores  *Scores // of the last decision; nil when nobody asks for them
}

// New makes an evaluator without plugins.
func New(cfg Config) *Evaluator {
	return &Evaluator{cfg: cfg, rand: rand.New(cfg.Seed), memory: newMemory(cfg.Table), scores: &Scores{}}
}

// Outcome of a decision.
type Outcome struct {
	Node string
	Row  int // of Node
	// Score of Node, and how many nodes fit.
	Score    int64
	Feasible int
	// Scores say how Node and the next best came by theirs; nil when nobody
	// scores. They are the evaluator's, until it decides again.
	Scores *Scores
	// Fit says why there is none; nil when Node is set.
	Fit *FitError
	// reserving is who has a say about the pod on Node: members by instance; nil when
	// nobody has.
	reserving []reserving
}

// Decide finds the node for a pod. An error is a fault of a plugin whose
// policy is Fail: it is this pod's alone, the next one is asked about on a new
// instance. ctx carries the pod's namespace (plugin.ForNamespace).
func (e *Evaluator) Decide(ctx context.Context, pod *Pod, now time.Time) (Outcome, error) {
	if e.cfg.Table.Rows() == 0 {
		return Outcome{Fit: &FitError{empty: true, Events: schedule.NodeAdded}}, nil
	}
	e.without = e.without[:0]
	for range maxAttempts + len(e.instances) {
		instances, err := e.ready(ctx, now)
		if err != nil {
			return Outcome{}, err
		}
		out, bad, err := e.attempt(ctx, instances, pod)
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, errMoreColumns):
			continue
		case errors.Is(err, errMoreFields):
			e.Forget()
			continue
		}
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		e.failed(ctx, bad, err)
		if bad.plugin.FailurePolicy != Ignore {
			return Outcome{}, fmt.Errorf("plugin %s: %w", bad.name, err)
		}
		e.leaveOut(bad)
	}
	return Outcome{}, errors.New("plugins keep changing what they look at of the pod")
}

// maxAttempts bounds how often a decision begins anew because plugins looked
// at more of the pod, or at more columns, than before.
const maxAttempts = 32

// attempt is one try with the instances that work. bad is the instance that err
// is about.
func (e *Evaluator) attempt(ctx context.Context, instances []*Instance, pod *Pod) (out Outcome, bad *Instance, err error) {
	v, bad, err := e.memory.find(instances, e.without, pod)
	if err != nil {
		return out, bad, err
	}
	e.last = v
	e.current = attempt{table: e.cfg.Table, indexes: e.cfg.Indexes, objects: e.cfg.Objects, memory: &e.memory, rand: e.rand, totals: &e.totals, instances: instances, verdicts: v, scores: e.scores}
	return e.current.run(ctx, pod)
}

// failed takes note of an instance that gave no answer.
func (e *Evaluator) failed(ctx context.Context, in *Instance, err error) {
	if errors.Is(err, plugin.ErrQuarantined) {
		return // it was not asked
	}
	e.cfg.Log.Warn("scheduling plugin failed", "plugin", in.name, "error", err, "policy", in.plugin.FailurePolicy)
	e.cfg.Metrics.Faults.WithLabelValues(in.name).Inc()
	if isFault(err) {
		if _, ours := errors.AsType[wrongAnswer](err); ours && in.guest != nil {
			plugin.Blame(ctx, in.guest, schedule.OpCycle, err)
		}
		in.discard()
		e.Forget()
	}
}

// leaveOut decides about the pod at hand without an instance.
func (e *Evaluator) leaveOut(in *Instance) {
	if i := slices.Index(e.instances, in); !slices.Contains(e.without, i) {
		e.without = append(e.without, i)
	}
}

// ready returns the instances to ask about the pod at hand, opening those that
// were closed by a fault.
func (e *Evaluator) ready(ctx context.Context, now time.Time) ([]*Instance, error) {
	for i, in := range e.instances {
		if in.guest != nil || slices.Contains(e.without, i) {
			continue
		}
		if err := in.reopen(ctx, now); err != nil {
			if in.plugin.FailurePolicy != Ignore {
				return nil, fmt.Errorf("plugin %s: %w", in.name, err)
			}
			e.leaveOut(in)
			continue
		}
		e.Forget()
	}
	if len(e.without) == 0 {
		return e.instances, nil
	}
	slices.Sort(e.without)
	list := make([]*Instance, 0, len(e.instances))
	for i, in := range e.instances {
		if !slices.Contains(e.without, i) {
			list = append(list, in)
		}
	}
	return list, nil
}

// Forget drops all remembered verdicts.
func (e *Evaluator) Forget() {
	e.memory.forget()
	for _, in := range e.instances {
		in.loaded = nil
	}
}

// Replace puts an instance in the place of the one of that name, or takes that
// one out when in is nil. It closes the old one. Instances are asked in the
// order of their names.
func (e *Evaluator) Replace(name string, in *Instance) error {
	e.Forget()
	for i, old := range e.instances {
		if old.name != name {
			continue
		}
		if in != nil {
			e.instances[i] = in
		} else {
			e.instances = slices.Delete(e.instances, i, i+1)
		}
		return old.Close()
	}
	if in != nil {
		at, _ := slices.BinarySearchFunc(e.instances, name, func(x *Instance, name string) int { return strings.Compare(x.name, name) })
		e.instances = slices.Insert(e.instances, at, in)
	}
	return nil
}

// Len is the number of plugins.
func (e *Evaluator) Len() int { return len(e.instances) }

// Close closes all instances.
func (e *Evaluator) Close() error {
	var errs []error
	for _, in := range e.instances {
		errs = append(errs, in.Close())
	}
	e.instances = nil
	return errors.Join(errs...)
}

// refusal tells whether the pod decided about last was refused on a row.
func (e *Evaluator) refusal(row int) (text string, refused bool) {
	v := e.last
	if v == nil {
		return "", false
	}
	if row < len(v.row) && v.row[row] != 0 {
		return strings.Join(v.reasons[v.row[row]-1].texts, ", "), true
	}
	if v.needsAllRows(e.instances) && row < len(e.totals.scores) && e.totals.scores[row] == absent {
		return "it looks at other nodes, too", true
	}
	return "", false
}

// Metrics of evaluators.
type Metrics struct {
	// Faults counts calls of plugins that failed.
	Faults *prometheus.CounterVec
	// Rehearsed counts what plugins said that decide nothing.
	Rehearsed *prometheus.CounterVec
}

// NewMetrics makes the metrics; the caller registers them.
func NewMetrics() *Metrics {
	return &Metrics{
		Faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_plugin_faults_total",
			Help: "Calls of plugins that failed, by plugin."}, []string{"plugin"}),
		Rehearsed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_rehearsed_total",
			Help: "Decisions that a plugin in the mode Shadow or Monitor was asked about, by what it said: agrees, refuses, failed."}, []string{"plugin", "verdict"}),
	}
}

// Collectors lists all.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.Faults, m.Rehearsed}
}
