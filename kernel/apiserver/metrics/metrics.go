// Package metrics measures requests, under upstream's names, so that its
// dashboards and alerts work. Labels are bounded: what does not exist is no
// label. Everything is safe for concurrent use.
package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Metrics of one server. The exported ones are counted where the event is.
type Metrics struct {
	requests       *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	responseSize   *prometheus.HistogramVec
	InFlight       *prometheus.GaugeVec
	Dropped        *prometheus.CounterVec
	longRunning    *prometheus.GaugeVec
	WatchEvents    *prometheus.CounterVec
	Authentication *prometheus.CounterVec
	Panics         prometheus.Counter
	handler        http.Handler
}

// New registers the metrics.
func New(reg *prometheus.Registry) (*Metrics, error) {
	res := []string{"verb", "group", "version", "resource", "subresource", "scope"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_request_total",
			Help: "Requests by verb, resource and HTTP code."}, append(res, "code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_request_duration_seconds",
			Help:    "Latency of requests that do not stream, by verb and resource.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, res),
		responseSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_response_sizes",
			Help: "Bytes of answers to get and list.", Buckets: prometheus.ExponentialBuckets(1000, 10, 7)}, []string{"verb", "group", "version", "resource"}),
		InFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_current_inflight_requests",
			Help: "Short requests being served."}, []string{"request_kind"}),
		Dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_dropped_requests_total",
			Help: "Requests refused with 429."}, []string{"request_kind"}),
		longRunning: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_longrunning_requests",
			Help: "Watches, logs and other streams being served."}, res),
		WatchEvents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_watch_events_total",
			Help: "Events sent to watching clients."}, []string{"group", "version", "resource"}),
		Authentication: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_authentication_requests_total",
			Help: "Requests by outcome of authentication."}, []string{"result"}),
		Panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "apiserver_panics_total",
			Help: "Panics recovered while serving."}),
	}
	m.handler = promhttp.HandlerFor(prometheus.Gatherers{reg, libraries}, promhttp.HandlerOpts{})
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.responseSize, m.InFlight, m.Dropped, m.longRunning, m.WatchEvents, m.Authentication, m.Panics} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// ServeHTTP shows all metrics of the registry, and those of upstream's libraries.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Measure measures every request. Only resources and paths that exist become
// labels: a scanner must not fill the server's memory.
func (m *Metrics) Measure(catalog *endpoint.Catalog, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := endpoint.Info(r)
		labels := labelsOf(catalog, info)
		rec := &recorder{ResponseWriter: w}
		if catalog.LongRunning(info) {
			g := m.longRunning.WithLabelValues(labels...)
			g.Inc()
			defer g.Dec()
		}
		start := time.Now()
		defer func() {
			code := rec.code
			if code == 0 {
				code = http.StatusOK
			}
			m.requests.WithLabelValues(append(labels, strconv.Itoa(code))...).Inc()
			if !catalog.LongRunning(info) {
				m.duration.WithLabelValues(labels...).Observe(time.Since(start).Seconds())
			}
			if info.IsResourceRequest && (info.Verb == "get" || info.Verb == "list") {
				m.responseSize.WithLabelValues(labels[0], labels[1], labels[2], labels[3]).Observe(float64(rec.size))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func labelsOf(catalog *endpoint.Catalog, info *request.RequestInfo) []string {
	labels := make([]string, 6, 7) // one more for the code
	verb := map[string]string{"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT",
		"patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT"}[info.Verb]
	if verb == "" {
		verb = "other"
	}
	labels[0] = verb
	res := catalog.Find(info)
	if res == nil {
		return labels
	}
	labels[1], labels[2], labels[3] = res.Def.Group, res.Version, res.Def.Resource
	if res.Sub != nil {
		labels[4] = res.Sub.Name
	}
	switch {
	case info.Name != "":
		labels[5] = "resource"
	case info.Namespace != "":
		labels[5] = "namespace"
	default:
		labels[5] = "cluster"
	}
	return labels
}

// recorder notes code and size of an answer.
type recorder struct {
	http.ResponseWriter
	code int
	size int64
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && !response.Informational(code) {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.size += int64(n)
	return n, err
}

// Flush and Hijack make streams and upgrades work through the recorder.
func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := r.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	r.code = http.StatusSwitchingProtocols
	return h.Hijack()
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

var (
	_ http.Flusher  = (*recorder)(nil)
	_ http.Hijacker = (*recorder)(nil)
)
