package evaluate

import "github.com/prometheus/client_golang/prometheus"

// Metrics of evaluators.
type Metrics struct {
	// Faults counts calls of plugins that failed.
	Faults *prometheus.CounterVec
	// Rehearsed counts what plugins said that decide nothing.
	Rehearsed *prometheus.CounterVec
}

// NewMetrics makes the metrics; the caller registers them.
func NewMetrics() *Metrics {
	return &Metrics{
		Faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_plugin_faults_total",
			Help: "Calls of plugins that failed, by plugin."}, []string{"plugin"}),
		Rehearsed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_scheduler_rehearsed_total",
			Help: "Decisions that a plugin in the mode Shadow or Monitor was asked about, by what it said: agrees, refuses, failed."}, []string{"plugin", "verdict"}),
	}
}

// Collectors lists all.
func (m *Metrics) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.Faults, m.Rehearsed}
}
