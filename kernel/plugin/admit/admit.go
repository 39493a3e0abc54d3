// Package admit turns plugins that serve admission points into rules of the
// admission chain: it matches requests, writes the fields that policies read,
// and applies what they change. A policy in the mode Monitor refuses nothing
// and warns; in the mode Shadow it is only asked and counted.
package admit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Config configures a Sink.
type Config struct {
	Chain *admission.Chain
	// Instances of each policy, at most; 0 is 4.
	Instances int
	// Calls makes what serves the reads of one instance of a policy; nil
	// refuses them.
	Calls func(name string, p *plugin.Plugin) func() plugin.HostCall
	// Exists makes what tells a policy whether an object is there that it waits
	// for, or that it may not know; nil is never.
	Exists func(name string, p *plugin.Plugin) Exists
	// Around answers what the match rules of a policy ask beside the request, or an
	// error when the policy may not know it; nil asks every policy as if all were
	// given.
	Around func(name string, p *plugin.Plugin) (Around, error)
	// Totals makes what a policy may charge; nil is nothing.
	Totals func(name string, p *plugin.Plugin) Totals
	// Patience is how long a request waits for a policy that is being loaded for
	// the first time; 0 is admission.Patience.
	Patience time.Duration
	Clock    clock.WithTicker      // nil is the real one
	Metrics  prometheus.Registerer // nil is none
	Log      *slog.Logger
}

// Sink keeps the chain's plugin rules. It is safe for concurrent use.
type Sink struct {
	chain     *admission.Chain
	instances int
	calls     func(name string, p *plugin.Plugin) func() plugin.HostCall
	exists    func(name string, p *plugin.Plugin) Exists
	around    func(name string, p *plugin.Plugin) (Around, error)
	totals    func(name string, p *plugin.Plugin) Totals
	clock     clock.WithTicker
	patience  time.Duration
	log       *slog.Logger
	// rehearsed counts what policies said that decide nothing.
	rehearsed *prometheus.CounterVec
	states
}

// New makes a sink.
func New(c Config) *Sink {
	if c.Instances == 0 {
		c.Instances = 4
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Calls == nil {
		c.Calls = func(string, *plugin.Plugin) func() plugin.HostCall { return nil }
	}
	if c.Exists == nil {
		c.Exists = func(string, *plugin.Plugin) Exists { return nil }
	}
	if c.Around == nil {
		c.Around = func(string, *plugin.Plugin) (Around, error) { return nil, nil }
	}
	if c.Totals == nil {
		c.Totals = func(string, *plugin.Plugin) Totals { return nil }
	}
	if c.Patience == 0 {
		c.Patience = admission.Patience
	}
	rehearsed := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_admission_rehearsed_total",
		Help: "Calls of a policy in the mode Shadow or Monitor, by what it said: admits, changes, refuses, failed."}, []string{"plugin", "verdict"})
	if c.Metrics != nil {
		c.Metrics.MustRegister(rehearsed)
	}
	return &Sink{chain: c.Chain, rehearsed: rehearsed, instances: c.Instances, calls: c.Calls, exists: c.Exists, around: c.Around, totals: c.Totals, clock: c.Clock, patience: c.Patience, log: c.Log,
		states: states{byName: map[string]state{}}}
}

// ruleName is the name of a plugin's rule in the chain, which is what a
// refusal names.
func ruleName(plugin string) string { return plugin }

// Set implements plugin.Sink.
func (s *Sink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	match, err := newMatcher(p.Manifest.Match, p.Spec.Match)
	if err != nil {
		return err
	}
	if match.around, err = s.around(name, p); err != nil {
		return err
	}
	fields, err := projection.Of(p.Manifest.Fields)
	if err != nil {
		return err
	}
	pool := plugin.NewPool(p, s.instances, s.calls(name, p))
	if err := pool.Warm(ctx); err != nil {
		return errors.Join(err, pool.Close())
	}
	r := &rule{name: name, mode: p.Spec.Mode, points: p.Manifest.Points, match: match, fields: fields, pool: pool, waits: newWaits(s.exists(name, p), s.clock), totals: s.totals(name, p), log: s.log, rehearsed: s.rehearsed}
	entry := admission.Rule{Match: match.coarse(), Policy: true, Failure: admission.FailurePolicy(p.Spec.FailurePolicy), Timeout: waitFor(p.Timeout())}
	if p.Manifest.Points.Has(wire.PointMutate) {
		entry.Mutate = admission.MutatorFunc(r.mutate)
		entry.ReadOnly = p.Spec.Mode.Rehearses()
	}
	if p.Manifest.Points.Has(wire.PointValidate) {
		entry.Validate = admission.ValidatorFunc(r.validate)
	}
	s.put(name, state{rule: r}, func() { s.chain.Set(ruleName(name), admission.PolicyOrder(p.Spec.Order), entry) })
	return nil
}

// waitFor is the time for one rule: two calls, the wait for an instance, and in
// between the wait for an object.
func waitFor(call time.Duration) time.Duration { return 2*call + time.Second + maxAwait }

// put makes next the state of a policy. The version before is asked by those
// requests to the end that began with it.
func (s *Sink) put(name string, next state, change func()) {
	old := s.swap(name, next, change)
	if old.rule == nil {
		return
	}
	if err := old.rule.pool.Retire(); err != nil {
		s.log.Warn("closing a replaced policy", "plugin", name, "error", err)
	}
}

// Remove implements plugin.Sink.
func (s *Sink) Remove(name string) {
	s.put(name, state{}, func() { s.chain.RemovePolicy(ruleName(name)) })
}

// Close releases all policies, once nothing is asked any more. The rules stay: what
// asks one of them now is answered by its failure policy.
func (s *Sink) Close() error {
	var err error
	for _, pool := range s.pools() {
		err = errors.Join(err, pool.Close())
	}
	return err
}

// Trim gives up the instances that a storm needed and nobody has since. It is
// called every few seconds.
func (s *Sink) Trim() {
	for name, pool := range s.pools() {
		if err := pool.Trim(); err != nil {
			s.log.Warn("closing an instance of a policy", "plugin", name, "error", err)
		}
	}
}

// pools are those of the policies that are there.
func (s *states) pools() map[string]*plugin.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]*plugin.Pool, len(s.byName))
	for name, x := range s.byName {
		if x.rule != nil {
			out[name] = x.rule.pool
		}
	}
	return out
}

// rule is one plugin in the chain.
type rule struct {
	name   string
	mode   v1alpha1.Mode
	points wire.Point
	match  *matcher
	fields *record.Plan
	pool   *plugin.Pool
	waits  *waits
	totals Totals // nil: none may be charged
	log    *slog.Logger

	rehearsed *prometheus.CounterVec
}

func (r *rule) mutate(ctx context.Context, a *admission.Attributes) error {
	v, asked, err := r.ask(ctx, a, wire.OpMutate)
	if err != nil || !asked {
		return err
	}
	if r.lenient() {
		switch {
		case v.Denied: // has been counted
		case len(v.Patch) == 0:
			r.count("admits")
		default:
			r.count("changes")
			r.note(a, fmt.Sprintf("would change %d fields", len(v.Patch)))
		}
		return nil
	}
	if len(v.Patch) == 0 || a.Object == nil {
		return nil
	}
	changed, err := apply(a.Object, v.Patch)
	if err != nil {
		return fmt.Errorf("%w: %w", admission.ErrFailed, err)
	}
	a.Object = changed
	return nil
}

func (r *rule) validate(ctx context.Context, a *admission.Attributes) error {
	v, asked, err := r.ask(ctx, a, wire.OpValidate)
	if asked && r.lenient() && !v.Denied {
		r.count("admits")
	}
	return err
}

// consider puts a review to the policy until its verdict stands.
func (r *rule) consider(ctx context.Context, op wire.Op, req []byte) (v verdict, err error) {
	if v, err = r.call(ctx, op, req); err == nil && len(v.Await) > 0 {
		var there bool
		if there, err = r.waits.until(ctx, v.Await); there {
			v, err = r.call(ctx, op, req)
		}
	}
	if err == nil && v.Denied && len(v.Charges) > 0 && r.totals != nil && op == wire.OpValidate && !r.lenient() {
		// Refused because of totals: what another server changed of them counts.
		if err = r.totals.CatchUp(ctx); err == nil {
			v, err = r.call(ctx, op, req)
		}
	}
	return v, err
}

// lenient policies refuse and change nothing.
func (r *rule) lenient() bool { return r.mode.Rehearses() }

// count counts what a policy said that decides nothing.
func (r *rule) count(verdict string) { r.rehearsed.WithLabelValues(r.name, verdict).Inc() }

// note tells the client what a policy would have done.
func (r *rule) note(a *admission.Attributes, what string) {
	if r.mode == v1alpha1.Monitor {
		a.Warn(fmt.Sprintf("admission policy %q (monitor): %s", r.name, what))
	}
}

// ask puts a request to the policy. A refusal is an error.
func (r *rule) ask(ctx context.Context, a *admission.Attributes, op wire.Op) (v verdict, asked bool, err error) {
	if !r.match.matches(ctx, a) {
		return v, false, nil
	}
	ctx = plugin.ForNamespace(ctx, namespaceOf(a))
	req, err := review(a, op, r.fields)
	if err != nil {
		return v, false, r.failure(a, err)
	}
	if v, err = r.consider(ctx, op, req); err != nil {
		return v, false, r.failure(a, err)
	}
	if r.mode != v1alpha1.Shadow { // which nobody notices
		v.tell(ctx, a, r.name)
	}
	if !v.Denied {
		if r.lenient() {
			return v, true, nil
		}
		if err := r.charge(a, op, v.Charges); err != nil {
			return v, false, r.failure(a, err)
		}
		return v, true, nil
	}
	if r.lenient() {
		r.count("refuses")
		r.note(a, v.why())
		return v, true, nil
	}
	return v, true, v.refusal(a)
}

// call puts a review to one instance.
func (r *rule) call(ctx context.Context, op wire.Op, req []byte) (v verdict, err error) {
	err = r.pool.Do(ctx, func(in plugin.Instance) error {
		resp, err := in.Call(ctx, op, req)
		if err != nil {
			return err
		}
		reader := wire.NewReader(resp)
		v = verdict{reader.Verdict(), reader.Findings()}
		for i := range v.Patch {
			v.Patch[i].Value = append([]byte(nil), v.Patch[i].Value...)
		}
		return reader.Err()
	})
	return v, err
}

// failure is the answer when the policy could not be asked. Only a policy
// that is enforced may hold a request up.
func (r *rule) failure(a *admission.Attributes, err error) error {
	if r.lenient() {
		r.count("failed")
		r.note(a, err.Error())
		return nil
	}
	return fmt.Errorf("%w: %w", admission.ErrFailed, err)
}

var _ plugin.Expecter = (*Sink)(nil)
