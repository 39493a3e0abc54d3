// Package api serves the node's own API, which the API server calls for
// logs, exec, attach, port-forward and connections to pods, and monitoring for figures. The API
// server's identity and cluster administrators, by client certificate, are let
// in; of others, by certificate or token, the API server is asked (package
// access).
package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/api/access"
	"github.com/pintle-io/pintle/node/api/tunnel"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/stats"
)

// Masters is the group of cluster administrators.
const Masters = "system:masters"

// Config of a Server. Every field without a remark is required.
type Config struct {
	// Pods lists the node's pods, with the status that the node gives them.
	Pods func() []*corev1.Pod
	// Runtime is asked for containers and streams.
	Runtime *cri.Client
	// Stats measures the node, its pods and containers.
	Stats *stats.Source
	// Metrics are served at /metrics; nil serves none.
	Metrics prometheus.Gatherer
	// Profiling serves /debug/pprof/; nil answers 404.
	Profiling http.Handler
	// SystemLogs is the folder of the machine's logs, served at /logs/; ""
	// serves none.
	SystemLogs string
	// Healthy says what is wrong with the node; nil is well.
	Healthy func() error
	// Names are common names of client certificates that are let in beside
	// members of Masters.
	Names []string
	// Access decides about all others; nil lets nobody else in.
	Access *access.Reviewer
	// Log may be nil.
	Log *slog.Logger
}

// Server answers the node's API.
type Server struct {
	cfg Config
	mux *http.ServeMux
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /pods", s.pods)
	s.mux.HandleFunc("GET /runningpods/", s.pods)
	s.mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	for _, pattern := range []string{"/{namespace}/{pod}/{container}", "/{namespace}/{pod}/{uid}/{container}"} {
		s.mux.HandleFunc("/exec"+pattern, s.exec)
		s.mux.HandleFunc("/attach"+pattern, s.attach)
	}
	s.mux.HandleFunc("/portForward/{namespace}/{pod}", s.portForward)
	s.mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", s.portForward)
	s.mux.Handle("POST /tunnel", tunnel.New(cfg.Pods))
	s.mux.HandleFunc("GET /stats/summary", s.summary)
	s.mux.Handle("GET /metrics/resource", promhttp.HandlerFor(cfg.Stats.Registry(), promhttp.HandlerOpts{}))
	if cfg.Metrics != nil {
		s.mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}))
	}
	if cfg.SystemLogs != "" {
		s.mux.Handle("GET /logs/", systemLogs{cfg.SystemLogs})
	}
	if cfg.Profiling != nil {
		s.mux.Handle("GET /debug/pprof/", cfg.Profiling)
	}
	return s
}

// Handler serves requests without asking who makes them; for tests, and for
// those who have asked.
func (s *Server) Handler() http.Handler { return s.mux }

// Serve serves on ln over TLS until ctx ends. tlsConfig names the server's
// certificate; clients are the authorities of client certificates.
func (s *Server) Serve(ctx context.Context, ln net.Listener, tlsConfig *tls.Config, clients *x509.CertPool) error {
	tlsConfig = tlsConfig.Clone()
	tlsConfig.ClientCAs, tlsConfig.ClientAuth = clients, tls.VerifyClientCertIfGiven
	tlsConfig.MinVersion = tls.VersionTLS12
	tlsConfig.NextProtos = []string{"http/1.1"} // upgrades need it
	srv := &http.Server{
		Handler: s.authorized(s.mux), ReadHeaderTimeout: 30 * time.Second, MaxHeaderBytes: 1 << 20,
		ErrorLog:    slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	err := srv.Serve(tls.NewListener(ln, tlsConfig))
	if errors.Is(err, http.ErrServerClosed) && ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("node API: %w", err)
}

// authorized lets in whom the configuration names, and whom the API server does.
func (s *Server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.user(r)
		switch {
		case err != nil:
			s.undecided(w, err)
		case who == nil:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case s.trusted(r, who):
			next.ServeHTTP(w, r)
		default:
			s.reviewed(w, r, who, next)
		}
	})
}

// user is who asks: by certificate, else by token; nil if nobody knows.
func (s *Server) user(r *http.Request) (*access.User, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		who := r.TLS.VerifiedChains[0][0].Subject
		return access.OfCertificate(who.CommonName, who.Organization), nil
	}
	if token := access.Bearer(r); token != "" && s.cfg.Access != nil {
		return s.cfg.Access.Authenticate(r.Context(), token)
	}
	return nil, nil
}

// trusted are those who are let in unasked; a token never makes one.
func (s *Server) trusted(r *http.Request, who *access.User) bool {
	return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && (slices.Contains(who.Groups, Masters) || slices.Contains(s.cfg.Names, who.Name))
}

func (s *Server) reviewed(w http.ResponseWriter, r *http.Request, who *access.User, next http.Handler) {
	allowed := false
	if s.cfg.Access != nil {
		var err error
		if allowed, err = s.cfg.Access.Authorize(r.Context(), who, r); err != nil {
			s.undecided(w, err)
			return
		}
	}
	if !allowed {
		verb, sub := access.Attributes(r)
		http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)", who.Name, verb, sub), http.StatusForbidden)
		return
	}
	// Credentials end here.
	r.Header.Del("Authorization")
	next.ServeHTTP(w, r)
}

// undecided answers when the API server could not be asked.
func (s *Server) undecided(w http.ResponseWriter, err error) {
	if errors.Is(err, access.ErrBusy) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	s.cfg.Log.Debug("access cannot be decided", "error", err)
	http.Error(w, "the API server cannot be asked", http.StatusServiceUnavailable)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Healthy != nil {
		if err := s.cfg.Healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	_, _ = w.Write([]byte("ok"))
}

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, p := range s.cfg.Pods() {
		list.Items = append(list.Items, *p)
	}
	writeJSON(w, list)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// find returns the pod that a request names, or answers that there is none.
// The UID comes in the path, as upstream has it, or as a parameter where
// upstream's path has no place for it; without, the newest pod is meant.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *corev1.Pod {
	namespace, name := r.PathValue("namespace"), r.PathValue("pod")
	uid := cmp.Or(r.PathValue("uid"), r.URL.Query().Get("uid"))
	if p := podspec.Named(s.cfg.Pods(), namespace, name, uid); p != nil {
		return p
	}
	http.Error(w, fmt.Sprintf("pod %q not found on this node", strings.Trim(namespace+"/"+name, "/")), http.StatusNotFound)
	return nil
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	sum, err := s.cfg.Stats.Summary(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, sum)
}
