package backend

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// quiet is how long nothing must have been lost before a backend counts as well
// again: one that loses every other event is told of once.
const quiet = 10 * time.Second

// Health knows whether a backend works. It is safe for concurrent use.
type Health struct {
	plugin string
	errors prometheus.Counter
	log    *slog.Logger
	clock  clock.PassiveClock

	mu     sync.Mutex
	failed time.Time // the last failure; zero: it is well
	lost   int       // events, since it was well
}

// NewHealth makes a Health of the backend that metrics call plugin; errors counts
// the events that are lost.
func NewHealth(plugin string, errors *prometheus.CounterVec, log *slog.Logger, c clock.PassiveClock) *Health {
	return &Health{plugin: plugin, errors: errors.WithLabelValues(plugin), log: log, clock: c}
}

// Failed notes a failure, by which events may have been lost.
func (h *Health) Failed(err error, lost int) {
	h.errors.Add(float64(lost))
	h.mu.Lock()
	defer h.mu.Unlock()
	well := h.failed.IsZero()
	h.failed = h.clock.Now()
	h.lost += lost
	if well {
		h.log.Warn("an audit backend does not take events", "backend", h.plugin, "error", err)
	}
}

// Succeeded notes that events were taken.
func (h *Health) Succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed.IsZero() || h.clock.Since(h.failed) < quiet {
		return
	}
	h.log.Info("an audit backend takes events again", "backend", h.plugin, "lost", h.lost)
	h.failed, h.lost = time.Time{}, 0
}
