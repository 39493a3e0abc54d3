package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
)

// servePath serves what is not a resource.
func (s *Server) servePath(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if h := s.Paths[path]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	switch {
	case path == "/":
		s.serveIndex(w, r)
	case path == "/version" || path == "/version/":
		s.serveVersion(w, r)
	case flow.IsHealthPath(path):
		s.serveHealth(w, r)
	case path == "/metrics":
		s.metrics.handler.ServeHTTP(w, r)
	case isProfiling(path) && s.Profiling != nil:
		s.Profiling.ServeHTTP(w, r)
	case path == "/openapi/v2":
		s.openapi.serveV2(w, r)
	case path == "/openapi/v3" || path == "/openapi/v3/":
		s.openapi.serveIndex(w, r)
	case strings.HasPrefix(path, "/openapi/v3/"):
		s.openapi.serveV3(w, r)
	case path == "/.well-known/openid-configuration":
		s.serveDocument(w, r, "application/json", s.OIDCDiscovery)
	case path == "/openid/v1/jwks" || path == "/openid/v1/jwks/":
		s.serveDocument(w, r, "application/jwk-set+json", s.JWKS)
	case s.serveDiscovery(w, r):
	default:
		http.NotFound(w, r)
	}
}

// isProfiling tells that a path is of the process's profiles.
func isProfiling(path string) bool {
	return path == "/debug/pprof" || strings.HasPrefix(path, "/debug/pprof/")
}

func (s *Server) serveIndex(w http.ResponseWriter, r *http.Request) {
	paths := []string{"/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/metrics",
		"/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"}
	for _, g := range s.catalog.groups {
		if g.name != "" {
			paths = append(paths, "/apis/"+g.name)
		}
		for _, v := range g.versions {
			if g.name == "" {
				paths = append(paths, "/api/"+v)
			} else {
				paths = append(paths, "/apis/"+g.name+"/"+v)
			}
		}
	}
	for _, c := range s.Checks {
		paths = append(paths, "/readyz/"+c.Name)
		if !c.ReadyOnly {
			paths = append(paths, "/healthz/"+c.Name, "/livez/"+c.Name)
		}
	}
	sort.Strings(paths)
	s.writeJSON(w, r, map[string][]string{"paths": paths})
}

func (s *Server) serveVersion(w http.ResponseWriter, r *http.Request) {
	v := s.Version
	setDefault(&v.GoVersion, runtime.Version())
	setDefault(&v.Compiler, runtime.Compiler)
	setDefault(&v.Platform, runtime.GOOS+"/"+runtime.GOARCH)
	s.writeJSON(w, r, v)
}

func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeBytes(w, r, http.StatusOK, mediaJSON, b)
}

func (s *Server) serveDocument(w http.ResponseWriter, r *http.Request, media string, make func() ([]byte, error)) {
	if make == nil {
		http.NotFound(w, r)
		return
	}
	b, err := make()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	writeBytes(w, r, http.StatusOK, media, b)
}

// checkTimeout bounds each health check.
const checkTimeout = 5 * time.Second

// serveHealth answers /healthz, /livez and /readyz, all checks or one.
func (s *Server) serveHealth(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.Trim(r.URL.Path, "/"), "/", 2)
	endpoint := parts[0]
	q := r.URL.Query()
	_, verbose := q["verbose"]
	var checks []Check
	for _, c := range s.checks(endpoint == "readyz") {
		if len(parts) == 1 || parts[1] == c.Name {
			checks = append(checks, c)
		}
	}
	if len(parts) == 2 && len(checks) == 0 {
		http.NotFound(w, r)
		return
	}
	var report strings.Builder
	failed := false
	for _, c := range checks {
		if slices.Contains(q["exclude"], c.Name) {
			fmt.Fprintf(&report, "[+]%s excluded: ok\n", c.Name)
			continue
		}
		if err := s.runCheck(r.Context(), c); err != nil {
			// The reason stays in the log: this path is open to everybody.
			s.Log.Warn("health check failed", "check", c.Name, "error", err)
			fmt.Fprintf(&report, "[-]%s failed: reason withheld\n", c.Name)
			failed = true
			continue
		}
		fmt.Fprintf(&report, "[+]%s ok\n", c.Name)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case failed:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", report.String(), endpoint)
	case verbose && len(parts) == 1:
		fmt.Fprintf(w, "%s%s check passed\n", report.String(), endpoint)
	default:
		fmt.Fprint(w, "ok")
	}
}

// runCheck runs a check, or waits for the one that runs: everybody may ask, and
// a check may be a question to the store.
func (s *Server) runCheck(ctx context.Context, c Check) error {
	result := s.health.DoChan(c.Name, func() (_ any, err error) {
		defer func() { // it has a goroutine of its own
			if p := recover(); p != nil {
				s.metrics.panics.Inc()
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer cancel()
		return nil, c.Check(ctx)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checks are the configured ones between two of the server's own.
func (s *Server) checks(ready bool) []Check {
	out := []Check{{Name: "ping", Check: func(context.Context) error { return nil }}}
	for _, c := range s.Checks {
		if ready || !c.ReadyOnly {
			out = append(out, c)
		}
	}
	if ready {
		out = append(out, Check{Name: "shutdown", Check: func(context.Context) error {
			if s.draining.Load() {
				return fmt.Errorf("process is shutting down")
			}
			return nil
		}})
	}
	return out
}
