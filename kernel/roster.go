package kernel

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// consumer is what plugins of one sort are given to while this server leads.
type consumer[T any] interface {
	Set(ctx context.Context, name string, v T) error
	Remove(name string)
}

// roster remembers the plugins of one sort, and gives them to whoever uses them
// while this server leads. It is safe for concurrent use; what is done under one
// name is done in order, whatever hangs under another.
type roster[T any] struct {
	mu    sync.Mutex
	seats map[string]*seat[T] // guarded by mu
	user  consumer[T]         // nil: this server does not lead; guarded by mu
}

type seat[T any] struct {
	mu    sync.Mutex // held while the consumer is told
	value *T         // nil: removed
}

func newRoster[T any]() *roster[T] { return &roster[T]{seats: map[string]*seat[T]{}} }

func (r *roster[T]) seat(name string) *seat[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seats[name]
	if s == nil {
		s = &seat[T]{}
		r.seats[name] = s
	}
	return s
}

func (r *roster[T]) current() consumer[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.user
}

// set gives a plugin to the consumer, and remembers it unless that refuses.
func (r *roster[T]) set(ctx context.Context, name string, v T) error {
	s := r.seat(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := r.current(); c != nil {
		if err := c.Set(ctx, name, v); err != nil {
			return err
		}
	}
	s.value = &v
	return nil
}

func (r *roster[T]) remove(name string) {
	s := r.seat(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := r.current(); c != nil {
		c.Remove(name)
	}
	s.value = nil
}

// begin gives all plugins to a consumer; failed is told of those that it does
// not take. It returns when all have been told.
func (r *roster[T]) begin(ctx context.Context, c consumer[T], failed func(name string, err error)) {
	r.mu.Lock()
	r.user = c
	names := slices.Collect(maps.Keys(r.seats))
	r.mu.Unlock()
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			s := r.seat(name)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.value == nil || ctx.Err() != nil {
				return
			}
			if err := c.Set(ctx, name, *s.value); err != nil && ctx.Err() == nil {
				failed(name, err)
			}
		})
	}
	group.Wait()
}

// end takes the consumer away; what it was given ends with it.
func (r *roster[T]) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.user = nil
}
