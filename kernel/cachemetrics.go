package kernel

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pintle-io/pintle/kernel/watch"
)

// cacheMetrics show the watch cache's present numbers. The name of the first is
// upstream's.
type cacheMetrics struct{ cache *watch.Cache }

var (
	objectsDesc = prometheus.NewDesc("apiserver_resource_objects", "Objects stored, by resource.", []string{"group", "resource"}, nil)
	cacheDescs  = map[*prometheus.Desc]func(watch.Stats) float64{
		prometheus.NewDesc("pintle_watch_cache_watchers", "Watchers registered with the watch cache.", nil, nil):                          func(s watch.Stats) float64 { return float64(s.Watchers) },
		prometheus.NewDesc("pintle_watch_cache_revision", "Revision of the store that the watch cache has come to.", nil, nil):            func(s watch.Stats) float64 { return float64(s.Revision) },
		prometheus.NewDesc("pintle_watch_cache_undecodable", "Stored values that cannot be decoded.", nil, nil):                           func(s watch.Stats) float64 { return float64(s.Undecodable) },
		prometheus.NewDesc("pintle_watch_cache_slow_watchers_total", "Watchers cut off because they were slow.", nil, nil):                func(s watch.Stats) float64 { return float64(s.Slow) },
		prometheus.NewDesc("pintle_watch_cache_waiting_bytes", "What the events that wait for watchers keep in memory, about.", nil, nil): func(s watch.Stats) float64 { return float64(s.WaitingBytes) },
	}
)

// Describe implements prometheus.Collector.
func (m cacheMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- objectsDesc
	for d := range cacheDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m cacheMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.cache.Stats()
	for gr, n := range s.Objects {
		ch <- prometheus.MustNewConstMetric(objectsDesc, prometheus.GaugeValue, float64(n), gr.Group, gr.Resource)
	}
	for d, value := range cacheDescs {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value(s))
	}
}
