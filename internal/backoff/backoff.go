// Package backoff is how everything tries again what failed, the control plane
// and the node agent alike: after pauses that grow up to a longest one, with
// jitter, so that what failed together is not tried together; and with a log
// that tells when trouble begins, has another cause, and is over, rather than of
// every try.
// RATIONALE.md: "Why does a log line tell of a change and not of a try?"
package backoff

import (
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Policy says how long the pauses between tries are.
type Policy struct{ First, Max time.Duration }

// Pause is the pause after the nth failure in a row, counted from 1: First,
// doubled with each failure and bounded by Max, less up to a quarter.
func (p Policy) Pause(n int) time.Duration {
	d := p.Max
	if shift := max(n, 1) - 1; shift < 32 && p.First < p.Max>>shift { // First<<shift may overflow
		d = p.First << shift
	}
	return Jitter(d)
}

// Jitter shortens a pause by up to a quarter.
func Jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return d - rand.N(d/4+1)
}

// Retry counts the failures of one thing that is tried until it succeeds. It
// may be used concurrently.
type Retry struct {
	Policy

	mu     sync.Mutex
	failed int    // in a row; guarded by mu
	cause  string // that was told; guarded by mu
	what   string // that was told; guarded by mu
}

// New makes a Retry with pauses from first to longest.
func New(first, longest time.Duration) *Retry {
	return &Retry{Policy: Policy{First: first, Max: longest}}
}

// Again counts a failure that is told elsewhere, and returns how long to wait.
func (r *Retry) Again() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	return r.Pause(r.failed)
}

// Failed counts a failure and returns how long to wait. It warns of what, with
// err and attrs, if trouble begins or err has another cause than the last one.
func (r *Retry) Failed(log *slog.Logger, what string, err error, attrs ...any) time.Duration {
	pause := r.Again()
	cause := essence(err)
	r.mu.Lock()
	news := r.what != what || r.cause != cause
	r.what, r.cause = what, cause
	n := r.failed
	r.mu.Unlock()
	attrs = append(attrs, "error", err)
	if news {
		log.Warn(what, attrs...)
	} else {
		log.Debug(what, append(attrs, "failures", n)...)
	}
	return pause
}

// Succeeded ends the trouble; a warning is called off in the log.
func (r *Retry) Succeeded(log *slog.Logger, attrs ...any) {
	r.mu.Lock()
	what, n := r.what, r.failed
	r.what, r.cause, r.failed = "", "", 0
	r.mu.Unlock()
	if what != "" {
		log.Info("over: "+what, append(attrs, "failures", n)...)
	}
}

// essence is an error's text without what differs between tries: ids, times
// and ports are made of digits and the letters a to f.
func essence(err error) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			return -1
		}
		return c
	}, err.Error())
}
