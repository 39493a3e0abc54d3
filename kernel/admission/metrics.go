package admission

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of a [Chain], by upstream's names and labels: how long all rules together
// took for a request, and each of those that were asked. A rule's name is the one that
// it has in the chain, where upstream has the names of its built-in plugins.
//
// Reference: k8s.io/apiserver/pkg/admission/metrics
type Metrics struct {
	step        *prometheus.HistogramVec
	stepSummary *prometheus.SummaryVec
	rule        *prometheus.HistogramVec
	steps       [2]series // by phase
}

// NewMetrics makes Metrics; who makes them registers them.
func NewMetrics() *Metrics {
	buckets := []float64{0.005, 0.025, 0.1, 0.5, 1.0, 2.5}
	labels := []string{"type", "operation", "rejected"}
	m := &Metrics{
		step: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_admission_step_admission_duration_seconds", Buckets: buckets,
			Help: "Admission sub-step latency histogram in seconds, broken out for each operation and step type (validate or admit)."}, labels),
		stepSummary: prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "apiserver_admission_step_admission_duration_seconds_summary", MaxAge: 5 * time.Hour,
			Help: "Admission sub-step latency summary in seconds, broken out for each operation and step type (validate or admit)."}, labels),
		rule: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_admission_controller_admission_duration_seconds", Buckets: buckets,
			Help: "Admission rule latency histogram in seconds, identified by name and broken out for each operation and type (validate or admit)."},
			append([]string{"name"}, labels...)),
	}
	for p := range m.steps {
		m.steps[p].find = func(labels ...string) prometheus.Observer {
			return both{m.step.WithLabelValues(labels...), m.stepSummary.WithLabelValues(labels...)}
		}
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.step.Describe(ch)
	m.stepSummary.Describe(ch)
	m.rule.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.step.Collect(ch)
	m.stepSummary.Collect(ch)
	m.rule.Collect(ch)
}

// phase is what rules are asked for.
type phase int

const (
	mutating phase = iota
	validating
)

// String is upstream's name of it.
func (p phase) String() string {
	if p == mutating {
		return "admit"
	}
	return "validate"
}

// stepped notes that all rules were asked.
func (m *Metrics) stepped(p phase, op Operation, took time.Duration, err error) {
	m.steps[p].observe(p, op, took, err)
}

// of are the series of a rule; nil when nobody counts.
func (m *Metrics) of(name string) *[2]series {
	if m == nil {
		return nil
	}
	find := func(labels ...string) prometheus.Observer {
		return m.rule.WithLabelValues(append([]string{name}, labels...)...)
	}
	return &[2]series{{find: find}, {find: find}}
}

// forget takes away the series of a rule that is gone.
func (m *Metrics) forget(name string) {
	if m != nil {
		m.rule.DeletePartialMatch(prometheus.Labels{"name": name})
	}
}

// operations that have series of their own, in the order of a [series].
var operations = [...]Operation{Create, Update, Delete, Connect}

// series are those of one phase, each looked up when it is first needed: looking up
// costs more than observing, and most rules never refuse.
type series struct {
	find  func(labels ...string) prometheus.Observer // type, operation, rejected
	known [2 * len(operations)]atomic.Pointer[prometheus.Observer]
}

func (s *series) observe(p phase, op Operation, took time.Duration, err error) {
	rejected, text := 0, "false"
	if err != nil {
		rejected, text = 1, "true"
	}
	for i := range operations {
		if operations[i] != op {
			continue
		}
		slot := &s.known[2*i+rejected]
		o := slot.Load()
		if o == nil {
			found := s.find(p.String(), string(op), text)
			o = &found
			slot.Store(o)
		}
		(*o).Observe(took.Seconds())
		return
	}
}

// both observe.
type both [2]prometheus.Observer

// Observe implements prometheus.Observer.
func (b both) Observe(v float64) {
	b[0].Observe(v)
	b[1].Observe(v)
}

var _ prometheus.Collector = (*Metrics)(nil)
