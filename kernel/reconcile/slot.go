package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/sdk/wire"
)

// slot holds one instance and replaces it after a fault. It is used by one
// goroutine at a time.
type slot struct {
	r        *runner
	inst     plugin.Instance
	failures int
}

// idleGuest is for how long an instance is kept that nothing is asked of. Even a
// small one maps two megabytes of its module's memory, and one that has worked
// on a large cluster keeps what that took, as the memory of a WASM guest never
// shrinks. Another is opened in about two milliseconds.
const idleGuest = 10 * time.Second

func (r *runner) newSlot() *slot { return &slot{r: r} }

// open makes sure that there is an instance, trying until the controller is
// stopped. Each instance has a client of its own, which remembers what that
// instance was told.
//
// # Errors
//   - plugin.ErrQuarantined when the namespace of ctx is left out: others are
//     not kept waiting for it
//   - context.Canceled when the controller is stopped
func (s *slot) open(ctx context.Context) error {
	for s.inst == nil && s.r.intake.Err() == nil {
		inst, err := s.r.c.Open(ctx, hostclient.New(s.r.host).Call)
		if err == nil {
			s.inst = inst
		} else if errors.Is(err, plugin.ErrQuarantined) && plugin.NamespaceOf(ctx) != "" {
			return err
		}
		if s.r.intake.Err() != nil {
			break
		}
		s.r.faults.note(ctx, "open controller", Request{}, err)
		if err == nil {
			break
		}
		s.failures++
		if s.r.c.Called != nil {
			s.r.c.Called(0, err)
		}
		s.pause()
	}
	if s.inst == nil {
		return s.r.intake.Err()
	}
	return nil
}

// pause waits longer with every failure, up to half a minute.
func (s *slot) pause() {
	t := s.r.clock.NewTimer(min(100*time.Millisecond<<min(s.failures, 9), 30*time.Second))
	defer t.Stop()
	select {
	case <-t.C():
	case <-s.r.intake.Done():
	}
}

// call asks the instance. One that faulted is discarded, and the next waits a
// while.
func (s *slot) call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	resp, err := s.inst.Call(ctx, op, req)
	if errors.Is(err, plugin.ErrQuarantined) {
		return nil, err // it was not asked
	}
	if err == nil || !isFault(err) {
		s.failures = 0
		return resp, err
	}
	s.close()
	s.failures++
	s.pause()
	return nil, err
}

// isFault tells that an instance can no longer be used. What is not an error
// of the boundary says nothing good about it either.
func isFault(err error) bool {
	if errors.Is(err, plugin.ErrQuarantined) {
		return false
	}
	e, ok := errors.AsType[*wire.Error](err)
	return !ok || e.Kind.Fault()
}

func (s *slot) close() {
	if s.inst != nil {
		_ = s.inst.Close() // there is nothing more to be had from it
		s.inst = nil
	}
}
