// Package roster remembers the plugins of one sort, on every server, and gives
// them to whoever uses them while this server leads. The next leader compiles
// nothing, and begins with all plugins that were loaded or with what stands in
// for them.
//
// Every term has a consumer of its own (the scheduler, the reconcile manager),
// which is given what there is by [Roster.Begin] and [Term.Run]; what comes
// meanwhile is given at once, by [Roster.Set]. A plugin that the consumer of a
// term refuses is tried again, and whoever keeps the plugins' status is told.
package roster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
)

// Consumer is what plugins are given to while this server leads. Calls for one
// name come one after another, calls for different names at the same time.
type Consumer[T any] interface {
	// Set gives a plugin, or another version of one that was given before. An
	// error leaves the version before in place.
	Set(ctx context.Context, name string, v T) error
	// Expect says that a plugin is not in place: with err nil because it is about
	// to be given, else because of err. It must not block.
	Expect(name string, v T, err error)
	// Remove takes a plugin away, or the expectation of one.
	Remove(name string)
}

// Config is what a Roster is made of.
type Config struct {
	// Refused is told of a plugin that was taken before and that the consumer of
	// a term refuses, and with a nil err once it is in place. ctx is that of who
	// gave it. May be nil.
	Refused func(ctx context.Context, name string, err error)
	Clock   clock.Clock // nil is the real one
}

// Between two tries to give a plugin that was refused.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Roster is the plugins of one sort. It is safe for concurrent use; what is done
// under one name is done in order, whatever hangs under another.
type Roster[T any] struct {
	c Config

	mu    sync.Mutex
	seats map[string]*seat[T] // guarded by mu
	term  *Term[T]            // nil: this server does not lead; guarded by mu
}

// seat is what is known under one name; all but turn is guarded by Roster.mu.
type seat[T any] struct {
	turn sync.Mutex // held while the consumer is told, and what is known changes

	value    *T       // that was taken; nil: none
	given    *Term[T] // that has it in place
	expected *expectation[T]
	refused  bool // by the present term or one before, as Config.Refused was told
}

type expectation[T any] struct {
	value T
	err   error
}

// New makes a Roster without plugins.
func New[T any](c Config) *Roster[T] {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Refused == nil {
		c.Refused = func(context.Context, string, error) {}
	}
	return &Roster[T]{c: c, seats: map[string]*seat[T]{}}
}

// lock is the seat of a name, which it makes if there is none, with its turn held.
func (r *Roster[T]) lock(name string) *seat[T] {
	for {
		r.mu.Lock()
		s := r.seats[name]
		if s == nil {
			s = &seat[T]{}
			r.seats[name] = s
		}
		r.mu.Unlock()
		s.turn.Lock()
		r.mu.Lock()
		same := r.seats[name] == s // else it was removed meanwhile
		r.mu.Unlock()
		if same {
			return s
		}
		s.turn.Unlock()
	}
}

// unlock ends the turn, and forgets a seat of which nothing is known.
func (r *Roster[T]) unlock(name string, s *seat[T]) {
	r.mu.Lock()
	if s.value == nil && s.expected == nil {
		delete(r.seats, name)
	}
	r.mu.Unlock()
	s.turn.Unlock()
}

func (r *Roster[T]) now() *Term[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.term
}

// Set gives a plugin to the consumer, if there is one, and remembers it unless
// that refuses. A term that begins meanwhile is given it too.
func (r *Roster[T]) Set(ctx context.Context, name string, v T) error {
	s := r.lock(name)
	defer r.unlock(name, s)
	for {
		t := r.now()
		if t != nil {
			if err := t.consumer.Set(ctx, name, v); err != nil {
				return err
			}
		}
		if was, done := r.take(s, t, &v); done {
			if was {
				r.c.Refused(ctx, name, nil)
			}
			return nil
		}
	}
}

// take notes that t has v in place; done is false when another term has begun
// meanwhile. It reports whether a term had refused the plugin.
func (r *Roster[T]) take(s *seat[T], t *Term[T], v *T) (refused, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term != t {
		return false, false
	}
	refused = s.refused
	s.value, s.given, s.expected, s.refused = v, t, nil, false
	return refused, true
}

// Expect notes that a plugin is not there, in the place of what was: because it
// is being loaded, or for the reason err.
func (r *Roster[T]) Expect(name string, v T, err error) {
	s := r.lock(name)
	defer r.unlock(name, s)
	r.mu.Lock()
	s.value, s.expected, s.refused = nil, &expectation[T]{v, err}, false
	t := r.term
	r.mu.Unlock()
	if t != nil {
		t.consumer.Expect(name, v, err)
	}
}

// Remove forgets a plugin, or the expectation of one, and takes it from the
// consumer.
func (r *Roster[T]) Remove(name string) {
	s := r.lock(name)
	defer r.unlock(name, s)
	r.mu.Lock()
	known := s.value != nil || s.expected != nil
	s.value, s.expected, s.refused = nil, nil, false
	t := r.term
	r.mu.Unlock()
	if known && t != nil {
		t.consumer.Remove(name)
	}
}

// Begin begins a term: from now on c is given what comes, and it is told at once
// what it may expect. [Term.Run] gives it what there is. The term before must
// have ended.
func (r *Roster[T]) Begin(c Consumer[T]) *Term[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &Term[T]{roster: r, consumer: c, names: slices.Collect(maps.Keys(r.seats)), placed: make(chan struct{})}
	r.term = t
	for name, s := range r.seats {
		switch {
		case s.value != nil:
			c.Expect(name, *s.value, nil)
		case s.expected != nil:
			c.Expect(name, s.expected.value, s.expected.err)
		}
	}
	return t
}

// Term is the time in which one consumer is given the plugins.
type Term[T any] struct {
	roster   *Roster[T]
	consumer Consumer[T]
	names    []string // that were known at the beginning
	placed   chan struct{}
}

// Run gives the consumer all plugins that there were at the beginning, all at the
// same time, and tries again those that it refuses, until ctx ends.
func (t *Term[T]) Run(ctx context.Context) {
	var first, all sync.WaitGroup
	for _, name := range t.names {
		first.Add(1)
		all.Go(func() {
			done := t.try(ctx, name)
			first.Done()
			for retry := backoff.New(firstRetry, lastRetry); !done && t.wait(ctx, retry.Again()); {
				done = t.try(ctx, name)
			}
		})
	}
	first.Wait()
	close(t.placed)
	all.Wait()
}

func (t *Term[T]) wait(ctx context.Context, pause time.Duration) bool {
	select {
	case <-t.roster.c.Clock.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// try gives the consumer one plugin; done: there is nothing left to try.
func (t *Term[T]) try(ctx context.Context, name string) (done bool) {
	r := t.roster
	s := r.lock(name)
	defer r.unlock(name, s)
	r.mu.Lock()
	value := s.value
	done = value == nil || s.given == t || r.term != t || ctx.Err() != nil
	r.mu.Unlock()
	if done {
		return true
	}
	err := t.consumer.Set(ctx, name, *value)
	if err == nil {
		if refused, _ := r.take(s, t, value); refused {
			r.c.Refused(ctx, name, nil)
		}
		return true
	}
	if ctx.Err() != nil {
		return true
	}
	r.mu.Lock()
	s.refused = true
	r.mu.Unlock()
	t.consumer.Expect(name, *value, err)
	r.c.Refused(ctx, name, err)
	return false
}

// Placed is closed when the consumer has taken or refused all plugins that there
// were at the beginning, and Config.Refused has been told.
func (t *Term[T]) Placed() <-chan struct{} { return t.placed }

// End takes the consumer away; what it was given ends with it. Run must have
// returned.
func (t *Term[T]) End() {
	r := t.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term == t {
		r.term = nil
	}
}
