package health

import (
	"log/slog"
	"sync"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
)

// outages tells the log of failing checks: everybody may ask, as often as they
// like, so it is told of what changes and not of every question. That a server
// is not ready while it starts or shuts down is no warning.
type outages struct {
	log *slog.Logger

	mu      sync.Mutex
	byCheck map[string]*outage // names are those of checks; guarded by mu
}

// outage is what the log knows of one check.
type outage struct {
	passed bool   // at least once
	cause  string // of the failure that was told before it passed
	*backoff.Retry
}

func (o *outages) note(check string, err error, draining bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	x := o.byCheck[check]
	if x == nil {
		x = &outage{Retry: backoff.New(time.Second, time.Second)}
		o.byCheck[check] = x
	}
	switch {
	case err == nil:
		x.passed, x.cause = true, ""
		x.Succeeded(o.log, "check", check)
	case x.passed && !draining:
		x.Failed(o.log, "health check failed", err, "check", check)
	case x.cause != err.Error():
		x.cause = err.Error()
		o.log.Info("health check does not pass yet", "check", check, "error", err)
	}
}
