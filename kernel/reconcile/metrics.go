package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	total *prometheus.CounterVec
	took  *prometheus.HistogramVec
	wait  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pintle_reconcile_total", Help: "Reconciles by controller and result: success, retry after a lost race (the object changed or went meanwhile), error."}, []string{"plugin", "result"}),
		took:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pintle_reconcile_duration_seconds", Help: "Time of one reconcile.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"plugin"}),
		wait:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pintle_reconcile_wait_seconds", Help: "Time a request waited in the queue.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"plugin"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.total, m.took, m.wait} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(name string, took time.Duration, out result) {
	m.total.WithLabelValues(name, string(out)).Inc()
	m.took.WithLabelValues(name).Observe(took.Seconds())
}

// depths shows how many requests are ready in each controller's queue, under
// upstream's name.
type depths struct{ m *Manager }

var depthDesc = prometheus.NewDesc("workqueue_depth", "Requests that are ready to be reconciled, by controller.", []string{"name"}, nil)

// Describe implements prometheus.Collector.
func (d depths) Describe(ch chan<- *prometheus.Desc) { ch <- depthDesc }

// Collect implements prometheus.Collector.
func (d depths) Collect(ch chan<- prometheus.Metric) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	for name, r := range d.m.running {
		ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(r.queue.Len()), name)
	}
}
