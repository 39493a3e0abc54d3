package admit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// standIn is in the chain for a policy that is not there. While the policy is
// being loaded requests wait for it; when it cannot be loaded, and when it
// takes too long, its failure policy decides.
// RATIONALE.md: "Why do requests wait for policies?"
type standIn struct {
	name  string
	mode  v1alpha1.Mode
	match *matcher
	sink  *Sink
	err   error         // why it cannot be loaded; nil while it is being loaded
	over  chan struct{} // closed when something else takes its place
}

// Expect implements plugin.Expecter.
func (s *Sink) Expect(name string, e plugin.Expected) error {
	if !e.Points.Has(wire.Admission) {
		s.Remove(name)
		return nil
	}
	match, err := newMatcher(e.Match, e.Spec.Match)
	if err != nil {
		// Nobody knows what it would have matched: it is a policy all the same.
		match, e.Err = &matcher{own: []matchRule{{}}}, errors.Join(e.Err, err)
	}
	in := &standIn{name: name, mode: e.Spec.Mode, match: match, sink: s, err: e.Err, over: make(chan struct{})}
	entry := admission.Rule{Match: match.coarse(), Policy: true, ReadOnly: e.Spec.Mode.Rehearses(),
		Failure: admission.FailurePolicy(e.Spec.FailurePolicy), Timeout: s.patience + waitFor(plugin.CallTimeout(e.Spec, e.Points))}
	// A point that is known not to be served is not waited for.
	if e.Points.Has(wire.PointMutate) {
		entry.Mutate = admission.MutatorFunc(in.mutate)
	}
	if e.Points.Has(wire.PointValidate) {
		entry.Validate = admission.ValidatorFunc(in.validate)
	}
	s.put(name, state{standIn: in}, func() { s.chain.Set(ruleName(name), admission.PolicyOrder(e.Spec.Order), entry) })
	return nil
}

func (x *standIn) mutate(ctx context.Context, a *admission.Attributes) error {
	r, err := x.wait(ctx, a)
	if err != nil || r == nil || !r.points.Has(wire.PointMutate) {
		return err
	}
	return r.mutate(ctx, a)
}

func (x *standIn) validate(ctx context.Context, a *admission.Attributes) error {
	r, err := x.wait(ctx, a)
	if err != nil || r == nil || !r.points.Has(wire.PointValidate) {
		return err
	}
	return r.validate(ctx, a)
}

// wait returns the policy when it is there, and neither it nor an error when
// the request is none of its business: it does not match, or there is no such
// policy any more.
func (x *standIn) wait(ctx context.Context, a *admission.Attributes) (*rule, error) {
	if !x.match.matches(ctx, a) {
		return nil, nil
	}
	if x.mode.Rehearses() {
		return nil, nil // it may not hold anybody up
	}
	ctx, cancel := context.WithTimeout(ctx, x.sink.patience)
	defer cancel()
	for {
		switch {
		case x.err != nil:
			return nil, x.missing(x.err)
		case ctx.Err() != nil:
			return nil, x.missing(fmt.Errorf("it has been loading for longer than %s", x.sink.patience))
		}
		select {
		case <-x.over:
		case <-ctx.Done():
			continue
		}
		now := x.sink.now(x.name)
		if now.standIn == nil {
			return now.rule, nil
		}
		x = now.standIn
	}
}

// missing says what to do about a policy that is not there.
func (x *standIn) missing(why error) error {
	return fmt.Errorf("%w: it is not loaded: %w. Mend the Plugin %q or delete it (no policy is asked about Plugins), or start the server with --disable-plugin %s",
		admission.ErrFailed, why, x.name, x.name)
}

// state is what the chain has of one policy: nothing, the policy, or what
// stands in for it.
type state struct {
	rule    *rule
	standIn *standIn
}

// states is the state of every policy that there is.
type states struct {
	mu     sync.Mutex
	byName map[string]state // guarded by mu
}

func (s *states) now(name string) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}

// swap changes the chain and then what is known of it, and returns what was
// before. Whoever waits at what stood in is told.
func (s *states) swap(name string, next state, change func()) (old state) {
	s.mu.Lock()
	old = s.byName[name]
	change()
	if next == (state{}) {
		delete(s.byName, name)
	} else {
		s.byName[name] = next
	}
	s.mu.Unlock()
	if old.standIn != nil {
		close(old.standIn.over)
	}
	return old
}
