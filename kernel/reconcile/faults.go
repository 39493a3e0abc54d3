package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/sdk/wire"
)

// What keeps failing is named again after a minute, then ever more rarely. How
// many lines a message may make in all is the log handler's to bound.
const (
	firstReminder = time.Minute
	lastReminder  = time.Hour
)

// faults turns the errors of one controller into log lines that mean
// something: one when a request begins to fail or fails for another reason,
// reminders that count, and one when it succeeds again. What fails without a
// request, such as opening an instance, has one of its own. It is safe for
// concurrent use.
type faults struct {
	log   *slog.Logger
	clock clock.PassiveClock

	mu      sync.Mutex
	failing map[action]*failing // since their last success
}

// action is what is tried: "reconcile", "map event", "open controller".
type action struct {
	what string
	req  Request
}

// failing is an action that has not succeeded for a while.
type failing struct {
	inARow int
	since  time.Time
	kind   wire.Kind
	warned bool      // somebody was told
	remind time.Time // not before
	pause  time.Duration
}

func newFaults(log *slog.Logger, c clock.PassiveClock) *faults {
	return &faults{log: log, clock: c, failing: map[action]*failing{}}
}

// note takes in how an action went, logs what is worth it, and answers how it
// counts.
func (f *faults) note(ctx context.Context, what string, req Request, err error) result {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := action{what, req}
	old := f.failing[a]
	if err == nil {
		delete(f.failing, a)
		if old != nil && old.warned {
			f.log.Info(what+" works again", "namespace", req.Namespace, "name", req.Name, "failures", old.inARow, "after", f.clock.Since(old.since))
		}
		return success
	}
	if old == nil {
		old = &failing{since: f.clock.Now()}
		f.failing[a] = old
	}
	old.inARow++
	out := outcome(err, old.inARow)
	level := slog.LevelDebug
	if out == failed && f.tell(old, wire.KindOf(err)) {
		level = slog.LevelWarn
	}
	f.log.Log(ctx, level, what, "namespace", req.Namespace, "name", req.Name, "failures", old.inARow, "error", err)
	return out
}

// tell decides whether a failure is worth a line. f.mu is held.
func (f *faults) tell(x *failing, kind wire.Kind) bool {
	now := f.clock.Now()
	if x.warned && x.kind == kind && now.Before(x.remind) {
		return false
	}
	if x.kind != kind {
		x.pause = 0
	}
	x.pause = min(max(2*x.pause, firstReminder), lastReminder)
	x.warned, x.kind, x.remind = true, kind, now.Add(x.pause)
	return true
}
