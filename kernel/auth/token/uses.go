package token

import "github.com/prometheus/client_golang/prometheus"

// uses count how tokens of Secrets are used; upstream's names.
type uses struct {
	legacy, manual, auto, invalid prometheus.Counter
}

func newUses() uses {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Subsystem: "serviceaccount", Name: name, Help: help})
	}
	return uses{
		legacy:  counter("legacy_tokens_total", "Cumulative legacy service account tokens used"),
		manual:  counter("legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"),
		auto:    counter("legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"),
		invalid: counter("invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"),
	}
}

// Describe implements prometheus.Collector.
func (a *Authority) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range a.uses.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (a *Authority) Collect(ch chan<- prometheus.Metric) {
	for _, c := range a.uses.all() {
		c.Collect(ch)
	}
}

func (u *uses) all() []prometheus.Counter {
	return []prometheus.Counter{u.legacy, u.manual, u.auto, u.invalid}
}
