package informer

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics show what the running informers do. Nothing is counted per event: the
// numbers are read when they are asked for. A nil Metrics shows nothing. It is
// safe for concurrent use.
type Metrics struct {
	mu      sync.Mutex
	running map[*Informer]struct{} // guarded by mu
}

// NewMetrics makes a collector of the informers that are given it.
func NewMetrics() *Metrics { return &Metrics{running: map[*Informer]struct{}{}} }

// join shows an informer until what it returns is called.
func (m *Metrics) join(i *Informer) (leave func()) {
	if m == nil {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[i] = struct{}{}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.running, i)
	}
}

// series is one metric; those of informers with the same labels are one.
type series struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*Informer) int64
	least bool // of several the smallest, else the sum
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("pintle_informer_"+name, help, []string{"informer", "group", "resource"}, nil)
}

var all = []series{
	{desc("lists_total", "Lists, the first and those because a watch could not be resumed."), prometheus.CounterValue, func(i *Informer) int64 { return i.lists.Load() }, false},
	{desc("watches_total", "Watches begun."), prometheus.CounterValue, func(i *Informer) int64 { return i.watches.Load() }, false},
	{desc("resumes_total", "Watches that ended and were resumed behind what had been read."), prometheus.CounterValue, func(i *Informer) int64 { return i.resume.Load() }, false},
	{desc("failures_total", "Lists and watches that failed, and watches whose revision was gone."), prometheus.CounterValue, func(i *Informer) int64 { return i.failures.Load() }, false},
	{desc("revision", "Revision up to which everything has been told; what it lags is the difference to pintle_watch_cache_revision."), prometheus.GaugeValue, func(i *Informer) int64 { return i.Revision() }, true},
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, s := range all {
		ch <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	type labels struct{ informer, group, resource string }
	m.mu.Lock()
	sums := map[labels][]int64{}
	for i := range m.running {
		l := labels{i.c.Name, i.c.Target.Resource.Group, i.c.Target.Resource.Resource}
		old := sums[l]
		now := make([]int64, len(all))
		for n, s := range all {
			switch now[n] = s.value(i); {
			case old == nil:
			case s.least:
				now[n] = min(now[n], old[n])
			default:
				now[n] += old[n]
			}
		}
		sums[l] = now
	}
	m.mu.Unlock()
	for l, values := range sums {
		for n, s := range all {
			ch <- prometheus.MustNewConstMetric(s.desc, s.kind, float64(values[n]), l.informer, l.group, l.resource)
		}
	}
}

var _ prometheus.Collector = (*Metrics)(nil)
