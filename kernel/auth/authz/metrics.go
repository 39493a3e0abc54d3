package authz

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
)

// Metrics are upstream's of decisions, webhooks and their conditions, by upstream's
// names.
type Metrics struct {
	metrics.NoopRequestMetrics // as upstream's API server has none
	decisions                  *prometheus.CounterVec
	evaluations                *prometheus.CounterVec
	durations                  *prometheus.HistogramVec
	failOpen                   *prometheus.CounterVec
	conditions                 *prometheus.HistogramVec
	conditionErrors            *prometheus.CounterVec
	exclusions                 *prometheus.CounterVec
}

// NewMetrics makes Metrics.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "apiserver", Subsystem: "authorization", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "apiserver", Subsystem: "authorization", Name: name, Help: help, Buckets: buckets}, labels)
	}
	return &Metrics{
		decisions:       counter("decisions_total", "Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.", "type", "name", "decision"),
		evaluations:     counter("webhook_evaluations_total", "Round-trips to authorization webhooks.", "name", "result"),
		durations:       histogram("webhook_duration_seconds", "Request latency in seconds.", prometheus.DefBuckets, "name", "result"),
		failOpen:        counter("webhook_evaluations_fail_open_total", "NoOpinion results due to webhook timeout or error.", "name", "result"),
		conditions:      histogram("match_condition_evaluation_seconds", "Authorization match condition evaluation time in seconds, split by authorizer type and name.", []float64{.001, .005, .01, .025, .1, .2, .25}, "type", "name"),
		conditionErrors: counter("match_condition_evaluation_errors_total", "Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.", "type", "name"),
		exclusions:      counter("match_condition_exclusions_total", "Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.", "type", "name"),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.decisions, m.evaluations, m.durations, m.failOpen, m.conditions, m.conditionErrors, m.exclusions}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, x := range m.all() {
		x.Describe(c)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	for _, x := range m.all() {
		x.Collect(c)
	}
}

// RecordWebhookEvaluation implements metrics.WebhookMetrics.
func (m *Metrics) RecordWebhookEvaluation(_ context.Context, name, result string) {
	m.evaluations.WithLabelValues(name, result).Inc()
}

// RecordWebhookDuration implements metrics.WebhookMetrics; duration is in seconds.
func (m *Metrics) RecordWebhookDuration(_ context.Context, name, result string, duration float64) {
	m.durations.WithLabelValues(name, result).Observe(duration)
}

// RecordWebhookFailOpen implements metrics.WebhookMetrics.
func (m *Metrics) RecordWebhookFailOpen(_ context.Context, name, result string) {
	m.failOpen.WithLabelValues(name, result).Inc()
}

// RecordAuthorizationMatchConditionEvaluation implements cel.MatcherMetrics.
func (m *Metrics) RecordAuthorizationMatchConditionEvaluation(_ context.Context, kind, name string, elapsed time.Duration) {
	m.conditions.WithLabelValues(kind, name).Observe(elapsed.Seconds())
}

// RecordAuthorizationMatchConditionEvaluationFailure implements cel.MatcherMetrics.
func (m *Metrics) RecordAuthorizationMatchConditionEvaluationFailure(_ context.Context, kind, name string) {
	m.conditionErrors.WithLabelValues(kind, name).Inc()
}

// RecordAuthorizationMatchConditionExclusion implements cel.MatcherMetrics.
func (m *Metrics) RecordAuthorizationMatchConditionExclusion(_ context.Context, kind, name string) {
	m.exclusions.WithLabelValues(kind, name).Inc()
}

// counted counts the decisions of one authorizer.
type counted struct {
	next            authorizer.UnconditionalAuthorizer
	allowed, denied prometheus.Counter
}

func (m *Metrics) count(a authorizer.UnconditionalAuthorizer, kind, name string) counted {
	return counted{a, m.decisions.WithLabelValues(kind, name, "allowed"), m.decisions.WithLabelValues(kind, name, "denied")}
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (c counted) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	d, reason, err := c.next.Authorize(ctx, a)
	switch d {
	case authorizer.DecisionAllow:
		c.allowed.Inc()
	case authorizer.DecisionDeny:
		c.denied.Inc()
	}
	return d, reason, err
}

var (
	_ prometheus.Collector      = (*Metrics)(nil)
	_ metrics.AuthorizerMetrics = (*Metrics)(nil)
)
