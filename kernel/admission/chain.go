package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Chain holds rules in order. The zero value is an empty chain, ready to use.
//
// A request sees one state of the chain from its beginning to its end
// ([Chain.Begin]); Set and Remove swap the whole list, so that a rule is never
// half there.
type Chain struct {
	// Metrics count what rules take; nil counts nothing. Set before use.
	Metrics *Metrics

	mu      sync.Mutex // serializes writers
	entries atomic.Pointer[[]*entry]
	hold    atomic.Pointer[hold]
	exempts func(*Attributes) bool // set before use
}

type entry struct {
	name  string
	order int
	rule  Rule
	stats counters
	took  *[2]series // by phase; nil: nobody counts
}

type counters struct {
	calls, denied, failed, panicked, ignored atomic.Int64
	nanos                                    atomic.Int64
}

// Stats is what a rule did since it was set.
type Stats struct {
	Name     string
	Order    int
	Calls    int64
	Denied   int64
	Failed   int64 // panics and timeouts included
	Panicked int64
	Ignored  int64 // failures that the policy Ignore let pass
	Took     time.Duration
}

// Set adds the rule or replaces the one of the same name. Policies are named by
// the cluster's people: they and the server's own rules have names apart, and
// none takes the place of the other. Rules are asked by rising order, then by
// name, the server's own first.
func (c *Chain) Set(name string, order int, r Rule) {
	if r.Failure == "" {
		r.Failure = Fail
	}
	c.change(func(old []*entry) []*entry {
		next := without(old, name, r.Policy)
		next = append(next, &entry{name: name, order: order, rule: r, took: c.Metrics.of(name)})
		sort.Slice(next, func(i, j int) bool {
			if next[i].order != next[j].order {
				return next[i].order < next[j].order
			}
			if next[i].name != next[j].name {
				return next[i].name < next[j].name
			}
			return !next[i].rule.Policy && next[j].rule.Policy
		})
		return next
	})
}

// Remove takes one of the server's own rules out; it reports whether there was one.
func (c *Chain) Remove(name string) bool { return c.remove(name, false) }

// RemovePolicy takes a policy out; it reports whether there was one.
func (c *Chain) RemovePolicy(name string) bool { return c.remove(name, true) }

func (c *Chain) remove(name string, policy bool) bool {
	found := false
	c.change(func(old []*entry) []*entry {
		next := without(old, name, policy)
		found = len(next) < len(old)
		if found && !slices.ContainsFunc(next, func(e *entry) bool { return e.name == name }) {
			c.Metrics.forget(name)
		}
		return next
	})
	return found
}

func (c *Chain) change(f func([]*entry) []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := f(c.load())
	c.entries.Store(&next)
}

func (c *Chain) load() []*entry {
	if p := c.entries.Load(); p != nil {
		return *p
	}
	return nil
}

func without(list []*entry, name string, policy bool) []*entry {
	out := make([]*entry, 0, len(list)+1)
	for _, e := range list {
		if e.name != name || e.rule.Policy != policy {
			out = append(out, e)
		}
	}
	return out
}

// Stats lists the rules in order with their counters.
func (c *Chain) Stats() []Stats {
	var out []Stats
	for _, e := range c.load() {
		out = append(out, Stats{
			Name: e.name, Order: e.order,
			Calls: e.stats.calls.Load(), Denied: e.stats.denied.Load(),
			Failed: e.stats.failed.Load(), Panicked: e.stats.panicked.Load(),
			Ignored: e.stats.ignored.Load(), Took: time.Duration(e.stats.nanos.Load()),
		})
	}
	return out
}

// Pass is the state of a chain that one request goes through.
type Pass struct {
	chain   *Chain
	entries []*entry
	held    *held // instead of entries, for a request that began while the chain was held
}

// Begin fixes the rules that a request will be asked by.
func (c *Chain) Begin() Pass {
	// Rules are set before a hold ends: looked at in this order, a request that
	// sees the end sees the rules.
	if h := c.hold.Load(); !h.over() {
		return Pass{chain: c, held: &held{chain: c, hold: h}}
	}
	return Pass{chain: c, entries: c.load()}
}

// Empty reports that no rule can object, so that a caller may save the work
// of preparing Attributes.
func (p Pass) Empty() bool { return p.held == nil && len(p.entries) == 0 }

// Mutates reports that a rule may change an object.
func (p Pass) Mutates() bool {
	if p.held != nil {
		return true
	}
	for _, e := range p.entries {
		if e.rule.Mutate != nil && !e.rule.ReadOnly {
			return true
		}
	}
	return false
}

// rules are those that the request is asked by.
func (p Pass) rules(ctx context.Context, a *Attributes) ([]*entry, error) {
	if p.held != nil {
		return p.held.rules(ctx, a)
	}
	return p.entries, nil
}

// asks tells whether a rule is to be asked about a request.
func (p Pass) asks(ctx context.Context, e *entry, a *Attributes) bool {
	return e.rule.Match.Matches(a) && (!e.rule.Policy || !p.chain.exempt(ctx, a))
}

// Mutate asks every matching mutator in order, and a second time if one of them
// wants that ([Attributes.Reinvocation]). a.Object may be replaced.
func (p Pass) Mutate(ctx context.Context, a *Attributes) error {
	return p.step(mutating, a, func() error {
		entries, err := p.rules(ctx, a)
		if err != nil {
			return err
		}
		if err := p.mutate(ctx, entries, a); err != nil || !a.again() {
			return err
		}
		return p.mutate(ctx, entries, a)
	})
}

// step does what a phase does, and notes how long it took.
func (p Pass) step(ph phase, a *Attributes, do func() error) error {
	if p.chain == nil || p.chain.Metrics == nil {
		return do()
	}
	began := time.Now() //nolint:forbidigo // what rules took is told, and nothing is decided by it
	err := do()
	p.chain.Metrics.stepped(ph, a.Operation, time.Since(began), err)
	return err
}

func (p Pass) mutate(ctx context.Context, entries []*entry, a *Attributes) error {
	for _, e := range entries {
		if e.rule.Mutate == nil || !p.asks(ctx, e, a) {
			continue
		}
		undo := a.Object
		if !e.rule.ReadOnly {
			a.mutated = true
			if e.rule.Failure == Ignore && a.Object != nil {
				// A rule that fails half way must not leave its traces.
				a.Object = a.Object.DeepCopyObject()
			}
		}
		passed, err := e.ask(ctx, mutating, a, e.rule.Mutate.Mutate)
		if err != nil {
			return err
		}
		if !passed {
			a.Object = undo
		}
	}
	return nil
}

// Validate asks every matching validator in order and returns the first
// refusal.
func (p Pass) Validate(ctx context.Context, a *Attributes) error {
	return p.step(validating, a, func() error {
		entries, err := p.rules(ctx, a)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.rule.Validate == nil || !p.asks(ctx, e, a) {
				continue
			}
			if _, err := e.ask(ctx, validating, a, e.rule.Validate.Validate); err != nil {
				return err
			}
		}
		return nil
	})
}

// Mutate is Begin().Mutate.
func (c *Chain) Mutate(ctx context.Context, a *Attributes) error { return c.Begin().Mutate(ctx, a) }

// Validate is Begin().Validate.
func (c *Chain) Validate(ctx context.Context, a *Attributes) error {
	return c.Begin().Validate(ctx, a)
}

// ask calls a rule and applies its failure policy. passed is false when the
// rule failed and was ignored.
func (e *entry) ask(ctx context.Context, ph phase, a *Attributes, f func(context.Context, *Attributes) error) (passed bool, err error) {
	start := time.Now() //nolint:forbidigo // what a rule took is told, and nothing is decided by it
	e.stats.calls.Add(1)
	err = e.call(ctx, a, f)
	took := time.Since(start)
	e.stats.nanos.Add(int64(took))
	passed, err = e.judge(ctx, a, err)
	if e.took != nil {
		e.took[ph].observe(ph, a.Operation, took, err)
	}
	return passed, err
}

// judge is what comes of a rule's answer.
func (e *entry) judge(ctx context.Context, a *Attributes, err error) (passed bool, _ error) {
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil: // the request's own deadline, not the rule's
		return false, ctx.Err()
	case !errors.Is(err, ErrFailed) && !errors.Is(err, context.DeadlineExceeded):
		e.stats.denied.Add(1)
		return false, status(e.name, a, err)
	}
	e.stats.failed.Add(1)
	if e.rule.Failure == Ignore {
		e.stats.ignored.Add(1)
		a.Warn(fmt.Sprintf("admission policy %q failed and was ignored: %v", e.name, err))
		return false, nil
	}
	return false, failed(e.name, err)
}

func (e *entry) call(ctx context.Context, a *Attributes, f func(context.Context, *Attributes) error) (err error) {
	if e.rule.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.rule.Timeout)
		defer cancel()
	}
	defer func() {
		if r := recover(); r != nil {
			e.stats.panicked.Add(1)
			err = fmt.Errorf("%w: panic: %v", ErrFailed, r)
		}
	}()
	return f(ctx, a)
}
