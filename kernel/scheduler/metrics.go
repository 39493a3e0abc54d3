package scheduler

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
)

// metrics of the scheduler. Names with the prefix scheduler_ are upstream's.
type metrics struct {
	attempts *prometheus.CounterVec
	duration prometheus.Histogram
	pending  *prometheus.GaugeVec
	binds    *prometheus.CounterVec
	dropped  prometheus.Counter
	// preBinds counts placements that were given up, preBinding is how many there are.
	preBinds   *prometheus.CounterVec
	preBinding prometheus.Gauge
	evaluate   *evaluate.Metrics
}

// newMetrics registers with r unless it is nil.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "scheduler_schedule_attempts_total",
			Help: "Decisions about pods by result: scheduled, unschedulable, error."}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "scheduler_scheduling_algorithm_duration_seconds",
			Help: "Time of one decision.", Buckets: prometheus.ExponentialBuckets(5e-6, 2, 18)}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "scheduler_pending_pods",
			Help: "Pods that wait, by queue: active, backoff, unschedulable."}, []string{"queue"}),
		binds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_binds_total",
			Help: "Bindings written, by result: bound, failed."}, []string{"result"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "pintle_scheduler_events_dropped_total",
			Help: "Event objects that were not written because there were too many."}),
		preBinds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_prebinds_total",
			Help: "Placements that plugins prepared before their binding, by result: done, refused."}, []string{"result"}),
		preBinding: prometheus.NewGauge(prometheus.GaugeOpts{Name: "pintle_scheduler_prebinding_pods",
			Help: "Pods that have a node and wait for plugins before they are bound."}),
		evaluate: evaluate.NewMetrics(),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range append(m.evaluate.Collectors(), m.attempts, m.duration, m.pending, m.binds, m.dropped, m.preBinds, m.preBinding) {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
