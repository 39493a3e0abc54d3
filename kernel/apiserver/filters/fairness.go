package filters

import (
	"net/http"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// withFairness has a request wait until it is its turn, by priority and fairness. As
// upstream, a watch waits until it may begin, and other streams do not wait. It stands
// behind authorization and the intake of bodies, so that what is forbidden, or slow to
// come, takes nobody's seat.
func (s *Chain) withFairness(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := endpoint.Info(r)
		if info.Verb != "watch" && s.Catalog.LongRunning(info) {
			next.ServeHTTP(w, r)
			return
		}
		t := s.Fairness.Begin(r)
		defer t.End()
		t.Tell(w.Header())
		kind := requestKind(info.Verb)
		if !t.Served() {
			s.Metrics.Dropped.WithLabelValues(kind).Inc()
			s.Response.Fail(w, r, response.ComeAgain(t.RetryAfter()))
			return
		}
		flow.From(r.Context()).Hold(t.Release)
		if info.Verb != "watch" {
			gauge := s.Metrics.InFlight.WithLabelValues(kind)
			gauge.Inc()
			defer gauge.Dec()
		}
		next.ServeHTTP(w, r)
	})
}
