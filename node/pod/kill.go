package pod

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
)

// minGrace is what a container gets between SIGTERM and SIGKILL whatever was
// used up before, as upstream.
const minGrace = 2 * time.Second

// kill ends instances whose pod lives on, or has ended by itself, each in an
// action of its own.
func (k *worker) kill(ctx context.Context, pod *corev1.Pod, kills []plan.Kill) {
	order, ips := newTurns(kills), k.ips()
	for _, kill := range kills {
		if kill.Owed {
			k.owed[kill.ID] = true
		}
		grace := podspec.Grace(pod)
		if kill.Grace != nil {
			grace = *kill.Grace
		}
		within := newPeriod(k.Clock, time.Duration(grace)*time.Second)
		k.do(ctx, kill.Name, func(ctx context.Context) func() {
			err := k.stopContainer(ctx, pod, kill, ips, within, order)
			return func() {
				switch name := plan.KillHold(kill.Name); {
				case err == nil:
					k.clear(name)
				case !errors.Is(err, context.Canceled):
					k.failed(name, "container not stopped", err, "container", kill.Name)
				}
			}
		})
	}
}

// stopAll ends instances, all within one period, and returns when it is done.
func (k *worker) stopAll(ctx context.Context, pod *corev1.Pod, kills []plan.Kill, ips []string, within *period) error {
	var (
		order = newTurns(kills)
		errs  = make([]error, len(kills))
		group sync.WaitGroup
	)
	for i, kill := range kills {
		group.Go(func() { errs[i] = k.stopContainer(ctx, pod, kill, ips, within, order) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (k *worker) ips() []string {
	if s := k.seen.ReadySandbox(); s != nil {
		return s.IPs
	}
	return nil
}

// stopContainer runs the preStop hook, waits for the instance's turn, and
// stops it, all within the period but for the last two seconds, which it always
// gets.
func (k *worker) stopContainer(ctx context.Context, pod *corev1.Pod, kill plan.Kill, ips []string, within *period, order turns) error {
	k.event(pod, kill.Name, corev1.EventTypeNormal, "Killing", kill.Message)
	c := podspec.Find(pod, kill.Name)
	timed, cancel := within.context(ctx)
	defer cancel()
	if left, _ := within.left(); left > 0 && kill.Running && c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
		err := k.hook(timed, pod, c, kill.ID, c.Lifecycle.PreStop, ips)
		if err != nil && timed.Err() != nil {
			err = errors.New("it did not end within the grace period")
		}
		if err != nil && ctx.Err() == nil {
			k.event(pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: "+err.Error())
		}
	}
	err := order.wait(timed, kill)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = k.stopInTime(ctx, kill.ID, within)
	}
	order.end(kill, err)
	return err
}

// stopInTime sends the stop signal, and SIGKILL at the end of the period, also
// if that comes nearer meanwhile.
func (k *worker) stopInTime(ctx context.Context, id string, within *period) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error)
	for calls := 0; ; {
		left, nearer := within.left()
		calls++
		go func() {
			err := k.Runtime.StopContainer(ctx, id, max(left, minGrace))
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

// turns lets instances end in an order: by id, what tells that one has.
type turns map[string]*turn

type turn struct {
	over chan struct{} // closed when it was tried
	err  error         // why it has not ended; read after over
}

func newTurns(kills []plan.Kill) turns {
	t := turns{}
	for _, k := range kills {
		t[k.ID] = &turn{over: make(chan struct{})}
	}
	return t
}

// wait returns when it is the instance's turn: those before it have ended, or
// ctx has. It fails when one of them could not be stopped.
func (t turns) wait(ctx context.Context, kill plan.Kill) error {
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

func (t turns) end(kill plan.Kill, err error) {
	t[kill.ID].err = err
	close(t[kill.ID].over)
}
