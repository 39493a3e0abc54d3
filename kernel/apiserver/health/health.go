// Package health answers /healthz, /livez and /readyz. A check is run once at a
// time, however many ask: everybody may ask, and a check may be a question to
// the store.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// Check is one health check. It shows up as /livez/<name> and /readyz/<name>.
type Check struct {
	Name string
	// ReadyOnly keeps the check out of /livez and /healthz: a failure means
	// "send no requests", not "restart me".
	ReadyOnly bool
	// NotLive keeps the check out of /livez only.
	NotLive bool
	Check   func(ctx context.Context) error
}

// Checks of one server. It is safe for concurrent use.
type Checks struct {
	list     []Check
	told     outages
	panics   prometheus.Counter
	running  singleflight.Group
	draining atomic.Bool
}

// New makes the checks of a server; panics counts those of checks.
func New(list []Check, panics prometheus.Counter, log *slog.Logger) *Checks {
	return &Checks{list: list, panics: panics, told: outages{log: log, byCheck: map[string]*outage{}}}
}

// Drain makes /readyz fail from now on.
func (s *Checks) Drain() { s.draining.Store(true) }

// checkTimeout bounds each health check.
const checkTimeout = 5 * time.Second

// ServeHTTP answers /healthz, /livez and /readyz, all checks or one.
func (s *Checks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.Trim(r.URL.Path, "/"), "/", 2)
	endpoint := parts[0]
	q := r.URL.Query()
	_, verbose := q["verbose"]
	var checks []Check
	for _, c := range s.checks(endpoint) {
		if len(parts) == 1 || parts[1] == c.Name {
			checks = append(checks, c)
		}
	}
	if len(parts) == 2 && len(checks) == 0 {
		http.NotFound(w, r)
		return
	}
	var report strings.Builder
	failed := false
	for _, c := range checks {
		if slices.Contains(q["exclude"], c.Name) {
			fmt.Fprintf(&report, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		err := s.runCheck(r.Context(), c)
		if r.Context().Err() == nil { // whoever goes away ends no check
			s.told.note(c.Name, err, s.draining.Load())
		}
		if err != nil {
			// The reason stays in the log: this path is open to everybody.
			fmt.Fprintf(&report, "[-]%s failed: reason withheld\n", c.Name)
			failed = true
			continue
		}
		fmt.Fprintf(&report, "[+]%s ok\n", c.Name)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case failed:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", report.String(), endpoint)
	case verbose && len(parts) == 1:
		fmt.Fprintf(w, "%s%s check passed\n", report.String(), endpoint)
	default:
		fmt.Fprint(w, "ok")
	}
}

// runCheck runs a check, or waits for the one that runs: everybody may ask, and
// a check may be a question to the store.
func (s *Checks) runCheck(ctx context.Context, c Check) error {
	result := s.running.DoChan(c.Name, func() (_ any, err error) {
		defer func() { // it has a goroutine of its own
			if p := recover(); p != nil {
				s.panics.Inc()
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer cancel()
		return nil, c.Check(ctx)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checks are the configured ones between two of the server's own.
func (s *Checks) checks(endpoint string) []Check {
	ready := endpoint == "readyz"
	out := []Check{{Name: "ping", Check: func(context.Context) error { return nil }}}
	for _, c := range s.list {
		if ready || !c.ReadyOnly && !(c.NotLive && endpoint == "livez") {
			out = append(out, c)
		}
	}
	if ready {
		out = append(out, Check{Name: "shutdown", Check: func(context.Context) error {
			if s.draining.Load() {
				return fmt.Errorf("process is shutting down")
			}
			return nil
		}})
	}
	return out
}
