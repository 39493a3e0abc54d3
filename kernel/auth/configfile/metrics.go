package configfile

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those that upstream keeps of a file that it follows, by upstream's
// names. A nil one keeps none.
type Metrics struct {
	server  string // hash of this server's identity
	reloads *prometheus.CounterVec
	last    *prometheus.GaugeVec
	info    *prometheus.GaugeVec
}

// NewMetrics makes the metrics of what is configured (authentication,
// authorization), of a server with an identity.
func NewMetrics(what, identity string) *Metrics {
	subsystem := what + "_config_controller"
	m := &Metrics{
		server: hash([]byte(identity)),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "apiserver", Subsystem: subsystem, Name: "automatic_reloads_total",
			Help: "Total number of automatic reloads of " + what + " configuration split by status and apiserver identity."}, []string{"status", "apiserver_id_hash"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "apiserver", Subsystem: subsystem, Name: "automatic_reload_last_timestamp_seconds",
			Help: "Timestamp of the last automatic reload of " + what + " configuration split by status and apiserver identity."}, []string{"status", "apiserver_id_hash"}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "apiserver", Subsystem: subsystem, Name: "last_config_info",
			Help: "Information about the last applied " + what + " configuration with hash as label, split by apiserver identity."}, []string{"apiserver_id_hash", "hash"}),
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, x := range []prometheus.Collector{m.reloads, m.last, m.info} {
		x.Describe(c)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	for _, x := range []prometheus.Collector{m.reloads, m.last, m.info} {
		x.Collect(c)
	}
}

func (m *Metrics) success(data []byte) {
	m.done("success")
	m.config(data)
}

func (m *Metrics) failure() { m.done("failure") }

func (m *Metrics) done(status string) {
	if m == nil {
		return
	}
	m.reloads.WithLabelValues(status, m.server).Inc()
	m.last.WithLabelValues(status, m.server).Set(float64(time.Now().UnixNano()) / 1e9) //nolint:forbidigo // it is told, and nothing is decided by it
}

// config notes what is in force.
func (m *Metrics) config(data []byte) {
	if m == nil {
		return
	}
	m.info.Reset()
	m.info.WithLabelValues(m.server, hash(data)).Set(1)
}

func hash(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(data))
}

var _ prometheus.Collector = (*Metrics)(nil)
