package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
)

// minGrace is what a container gets between SIGTERM and SIGKILL whatever was
// used up before, as upstream.
const minGrace = 2 * time.Second

// Stopper ends instances.
type Stopper struct {
	Runtime interface {
		StopContainer(ctx context.Context, id string, grace time.Duration) error
	}
	Hooks  *Hooks
	Events Events
	Clock  clock.WithTicker
}

// Stop ends one of the instances that take turns.
func (s *Stopper) Stop(ctx context.Context, a lifecycle.StopContainer, turns Turns) error {
	return s.stop(ctx, a.Pod, a.Kill, a.IPs, NewPeriod(s.Clock, a.Until), turns)
}

// all ends instances, all within one period, and returns when it is done.
func (s *Stopper) all(ctx context.Context, pod *corev1.Pod, kills []plan.Kill, ips []string, within *Period) error {
	var (
		turns = newTurns(kills)
		errs  = make([]error, len(kills))
		group sync.WaitGroup
	)
	for i, kill := range kills {
		group.Go(func() { errs[i] = s.stop(ctx, pod, kill, ips, within, turns) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// stop runs the preStop hook, waits for the instance's turn, and
// stops it, all within the period but for the last two seconds, which it always
// gets.
func (s *Stopper) stop(ctx context.Context, pod *corev1.Pod, kill plan.Kill, ips []string, within *Period, turns Turns) error {
	s.Events.Tell(pod, kill.Name, corev1.EventTypeNormal, "Killing", kill.Message)
	c := podspec.Find(pod, kill.Name)
	timed, cancel := within.context(ctx)
	defer cancel()
	if left, _ := within.left(); left > 0 && kill.Running && c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		err := s.Hooks.run(timed, pod, c, kill.ID, c.Lifecycle.PreStop, ips)
		if err != nil && timed.Err() != nil {
			err = errors.New("it did not end within the grace period")
		}
		if err != nil && ctx.Err() == nil {
			s.Events.Tell(pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: "+err.Error())
		}
	}
	err := turns.wait(timed, kill)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = s.inTime(ctx, kill.ID, within)
	}
	turns.end(kill, err)
	return err
}

// inTime sends the stop signal, and SIGKILL at the end of the period, also
// if that comes nearer meanwhile.
func (s *Stopper) inTime(ctx context.Context, id string, within *Period) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error)
	for calls := 0; ; {
		left, nearer := within.left()
		calls++
		go func() {
			err := s.Runtime.StopContainer(ctx, id, max(left, minGrace))
			select {
			case results <- err:
			case <-ctx.Done():
			}
		}()
		for shortened := false; !shortened; {
			select {
			case <-nearer:
				shortened = true
			case err := <-results:
				if calls--; err == nil || calls == 0 {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// Turns lets instances end in an order: by id, what tells that one has.
type Turns map[string]*turn

type turn struct {
	over chan struct{} // closed when it was tried
	err  error         // why it has not ended; read after over
}

// NewTurns are the turns of tasks that were asked for together.
func NewTurns(stops lifecycle.StopContainers) Turns {
	kills := make([]plan.Kill, len(stops))
	for i := range stops {
		kills[i] = stops[i].Kill
	}
	return newTurns(kills)
}

func newTurns(kills []plan.Kill) Turns {
	t := Turns{}
	for _, k := range kills {
		t[k.ID] = &turn{over: make(chan struct{})}
	}
	return t
}

// wait returns when it is the instance's turn: those before it have ended, or
// ctx has. It fails when one of them could not be stopped.
func (t Turns) wait(ctx context.Context, kill plan.Kill) error {
	for _, id := range kill.After {
		before := t[id]
		if before == nil {
			continue
		}
		select {
		case <-before.over:
			if before.err != nil && ctx.Err() == nil {
				return fmt.Errorf("its turn is after a container that is not stopped: %w", before.err)
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (t Turns) end(kill plan.Kill, err error) {
	t[kill.ID].err = err
	close(t[kill.ID].over)
}
