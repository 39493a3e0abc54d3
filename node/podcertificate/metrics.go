package podcertificate

import "github.com/prometheus/client_golang/prometheus"

// statesDesc is upstream's.
var statesDesc = prometheus.NewDesc("kubelet_podcertificate_states",
	"Gauge vector reporting the number of pod certificate projected volume sources, faceted by signer_name and state.", []string{"signer_name", "state"}, nil)

// Describe implements prometheus.Collector.
func (*Manager) Describe(ch chan<- *prometheus.Desc) { ch <- statesDesc }

// Collect counts the sources of the node's pods by signer and state.
func (m *Manager) Collect(ch chan<- prometheus.Metric) {
	type group struct{ signer, state string }
	count := map[group]int{}
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	for _, p := range m.pods {
		for _, s := range p.sources {
			s.mu.Lock()
			count[group{s.spec.SignerName, s.state.name(now)}]++
			s.mu.Unlock()
		}
	}
	m.mu.Unlock()
	for g, n := range count {
		ch <- prometheus.MustNewConstMetric(statesDesc, prometheus.GaugeValue, float64(n), g.signer, g.state)
	}
}

var _ prometheus.Collector = (*Manager)(nil)
