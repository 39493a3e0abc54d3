package apiserver

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
)

// metrics are named as upstream's, so that its dashboards and alerts work.
type metrics struct {
	requests       *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	responseSize   *prometheus.HistogramVec
	inFlight       *prometheus.GaugeVec
	dropped        *prometheus.CounterVec
	longRunning    *prometheus.GaugeVec
	watchEvents    *prometheus.CounterVec
	authentication *prometheus.CounterVec
	panics         prometheus.Counter
	handler        http.Handler
}

func newMetrics(reg *prometheus.Registry) (*metrics, error) {
	res := []string{"verb", "group", "version", "resource", "subresource", "scope"}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_request_total",
			Help: "Requests by verb, resource and HTTP code."}, append(res, "code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_request_duration_seconds",
			Help:    "Latency of requests that do not stream, by verb and resource.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, res),
		responseSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "apiserver_response_sizes",
			Help: "Bytes of answers to get and list.", Buckets: prometheus.ExponentialBuckets(1000, 10, 7)}, []string{"verb", "group", "version", "resource"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_current_inflight_requests",
			Help: "Short requests being served."}, []string{"request_kind"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_dropped_requests_total",
			Help: "Requests refused with 429."}, []string{"request_kind"}),
		longRunning: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "apiserver_longrunning_requests",
			Help: "Watches, logs and other streams being served."}, res),
		watchEvents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_watch_events_total",
			Help: "Events sent to watching clients."}, []string{"group", "version", "resource"}),
		authentication: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "apiserver_authentication_requests_total",
			Help: "Requests by outcome of authentication."}, []string{"result"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "apiserver_panics_total",
			Help: "Panics recovered while serving."}),
	}
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.responseSize, m.inFlight, m.dropped, m.longRunning, m.watchEvents, m.authentication, m.panics} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// withMetrics measures every request. Only resources and paths that exist
// become labels: a scanner must not fill the server's memory.
func (s *Server) withMetrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := requestInfo(r)
		labels := s.metricLabels(info)
		rec := &recorder{ResponseWriter: w}
		if s.longRunning(info) {
			g := s.metrics.longRunning.WithLabelValues(labels...)
			g.Inc()
			defer g.Dec()
		}
		start := time.Now()
		defer func() {
			code := rec.code
			if code == 0 {
				code = http.StatusOK
			}
			s.metrics.requests.WithLabelValues(append(labels, strconv.Itoa(code))...).Inc()
			if !s.longRunning(info) {
				s.metrics.duration.WithLabelValues(labels...).Observe(time.Since(start).Seconds())
			}
			if info.IsResourceRequest && (info.Verb == "get" || info.Verb == "list") {
				s.metrics.responseSize.WithLabelValues(labels[0], labels[1], labels[2], labels[3]).Observe(float64(rec.size))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) metricLabels(info *request.RequestInfo) []string {
	labels := make([]string, 6, 7) // one more for the code
	verb := map[string]string{"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT",
		"patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "post": "POST", "put": "PUT"}[info.Verb]
	if verb == "" {
		verb = "other"
	}
	labels[0] = verb
	res := s.catalog.find(info)
	if res == nil {
		return labels
	}
	labels[1], labels[2], labels[3] = res.def.Group, res.version, res.def.Resource
	if res.sub != nil {
		labels[4] = res.sub.Name
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
	if r.code == 0 {
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
