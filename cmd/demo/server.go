package main

import (
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// maxSlow bounds /slow, maxBurn /burn.
const (
	maxSlow = 10 * time.Minute
	maxBurn = 10 * time.Second
)

// server is the web server's state.
type server struct {
	mux     *http.ServeMux
	log     *slog.Logger
	exit    func(int)
	served  atomic.Int64
	failing atomic.Bool // /fail/health: /healthz answers 500
	unready atomic.Bool // /fail/ready: /readyz answers 503
	ending  atomic.Bool
}

func newServer(log *slog.Logger) *server {
	s := &server{mux: http.NewServeMux(), log: log, exit: os.Exit}
	s.mux.HandleFunc("GET /{$}", s.who)
	s.mux.HandleFunc("GET /version", s.text(version))
	s.mux.HandleFunc("GET /hostname", s.text(podName()))
	s.mux.HandleFunc("GET /healthz", s.check(http.StatusInternalServerError, &s.failing))
	s.mux.HandleFunc("GET /readyz", s.check(http.StatusServiceUnavailable, &s.unready, &s.ending))
	s.mux.HandleFunc("GET /slow", s.slow)
	s.mux.HandleFunc("GET /burn", s.burn)
	s.mux.HandleFunc("/exit", s.exitNow)
	s.mux.HandleFunc("/fail/{what}", s.toggle)
	return s
}

// ServeHTTP counts and dispatches.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mux.ServeHTTP(w, r)
	s.served.Add(1)
	s.log.Info("request", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
}

func (s *server) who(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"pod": podName(), "version": version, "node": os.Getenv("NODE_NAME"), "namespace": os.Getenv("POD_NAMESPACE"),
		"client": r.RemoteAddr, "host": r.Host, "served": s.served.Load(),
	})
}

func (s *server) text(t string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(t + "\n")) }
}

// check answers ok unless one of the flags is set.
func (s *server) check(code int, flags ...*atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range flags {
			if f.Load() {
				http.Error(w, "failing", code)
				return
			}
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

func (s *server) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	d := time.Duration(ms) * time.Millisecond
	if err != nil || d < 0 || d > maxSlow {
		http.Error(w, "want /slow?ms=N, at most 600000", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(d):
		s.who(w, r)
	case <-r.Context().Done():
	}
}

// burn keeps a processor busy for a time, if the pod may have one.
func (s *server) burn(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	d := time.Duration(ms) * time.Millisecond
	if err != nil || d < 0 || d > maxBurn {
		http.Error(w, "want /burn?ms=N, at most 10000", http.StatusBadRequest)
		return
	}
	var sum [sha256.Size]byte
	for end := time.Now().Add(d); time.Now().Before(end) && r.Context().Err() == nil; {
		sum = sha256.Sum256(sum[:])
	}
	_, _ = w.Write([]byte(podName() + "\n"))
}

func (s *server) exitNow(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.URL.Query().Get("code"))
	if err != nil || code < 0 || code > 255 {
		http.Error(w, "want /exit?code=N, 0 to 255", http.StatusBadRequest)
		return
	}
	_, _ = w.Write([]byte("exiting\n"))
	_ = http.NewResponseController(w).Flush()
	s.log.Info("exit asked for", "code", code)
	s.exit(code)
}

// toggle switches a check: POST makes it fail, DELETE mends it.
func (s *server) toggle(w http.ResponseWriter, r *http.Request) {
	flag := map[string]*atomic.Bool{"health": &s.failing, "ready": &s.unready}[r.PathValue("what")]
	switch {
	case flag == nil:
		http.Error(w, "want /fail/health or /fail/ready", http.StatusNotFound)
	case r.Method == http.MethodPost:
		flag.Store(true)
	case r.Method == http.MethodDelete:
		flag.Store(false)
	case r.Method == http.MethodGet:
		_, _ = w.Write([]byte(strconv.FormatBool(flag.Load()) + "\n"))
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}
