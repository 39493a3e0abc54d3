package lifecycle

import (
	"log/slog"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/plan"
)

// Pauses between tries of something that failed for another reason than a
// crash or a pull, which have back-offs of their own.
const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// holds are what must wait after a failure, by the name of a task or
// plan.KillHold.
type holds struct {
	log      *slog.Logger
	until    map[string]plan.Hold
	failures map[string]plan.Waiting // that the status tells
	retries  map[string]*backoff.Retry
}

func newHolds(log *slog.Logger) *holds {
	return &holds{log: log, until: map[string]plan.Hold{}, failures: map[string]plan.Waiting{}, retries: map[string]*backoff.Retry{}}
}

func (h *holds) retryOf(name string) *backoff.Retry {
	r := h.retries[name]
	if r == nil {
		r = backoff.New(firstRetry, maxRetry)
		h.retries[name] = r
	}
	return r
}

// retry holds something back after a failure that an event tells, longer each
// time.
func (h *holds) retry(name string, now time.Time, reason, message string) {
	h.hold(name, now.Add(h.retryOf(name).Again()), reason, message)
}

// failed is retry for a failure that only the log tells.
func (h *holds) failed(name string, now time.Time, what string, err error, attrs ...any) {
	h.until[name] = plan.Hold{Until: now.Add(h.retryOf(name).Failed(h.log, what, err, attrs...))}
}

// pause is retry for a failure that is told elsewhere.
func (h *holds) pause(name string, now time.Time) {
	h.until[name] = plan.Hold{Until: now.Add(h.retryOf(name).Again())}
}

func (h *holds) hold(name string, until time.Time, reason, message string) {
	h.until[name] = plan.Hold{Until: until, Reason: reason, Message: message}
	h.failures[name] = plan.Waiting{Reason: reason, Message: message}
}

// held is when something that failed may be tried again; zero for at once.
func (h *holds) held(name string, now time.Time) time.Time {
	if x, ok := h.until[name]; ok && now.Before(x.Until) {
		return x.Until
	}
	return time.Time{}
}

// clear forgets failures, after a success.
func (h *holds) clear(name string) {
	delete(h.until, name)
	delete(h.failures, name)
	if r := h.retries[name]; r != nil {
		r.Succeeded(h.log)
		delete(h.retries, name)
	}
}

// release lets everything that waits for the given reason be tried at once.
func (h *holds) release(reason string) {
	for name, x := range h.until {
		if x.Reason == reason {
			delete(h.until, name)
			delete(h.retries, name)
		}
	}
}
