package service

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

type metrics struct {
	latency  prometheus.Histogram
	full     prometheus.Histogram
	failed   prometheus.Counter
	services prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pintle_service_programming_duration_seconds",
			Help:    "Time from hearing of a change of a Service or its endpoints to the data path following it.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}),
		full: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pintle_service_resync_duration_seconds",
			Help:    "Time to compare all Services with the data path, at start and after an error.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 2, 14),
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pintle_service_programming_errors_total",
			Help: "Changes that the data path refused; each leads to a resync.",
		}),
		services: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pintle_service_programmed",
			Help: "Services of the API that the data path serves.",
		}),
	}
	if r != nil {
		r.MustRegister(m.latency, m.full, m.failed, m.services)
	}
	return m
}

func (m *metrics) count(written map[types.NamespacedName][]string) {
	m.services.Set(float64(len(written)))
}
