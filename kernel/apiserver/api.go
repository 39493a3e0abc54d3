package apiserver

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/kernel/apiserver/discovery"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/handlers"
	"github.com/pintle-io/pintle/kernel/apiserver/health"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/apiserver/openapi"
	"github.com/pintle-io/pintle/kernel/apiserver/proxy"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/apiserver/stream"
)

// api serves requests that have passed the filters: resources, and paths that
// are none.
type api struct {
	c         *Config
	catalog   *endpoint.Catalog
	response  response.Writer
	handlers  *handlers.Handlers
	discovery *discovery.Discovery
	openapi   *openapi.Documents
	lifetime  *stream.Lifetime
	checks    *health.Checks
	metrics   *metrics.Metrics
}

func newAPI(c *Config, m *metrics.Metrics, checks *health.Checks, lifetime *stream.Lifetime) (*api, error) {
	old, err := endpoint.NewDeprecated(c.Catalog.Snapshot(), c.Version)
	if err != nil {
		return nil, err
	}
	catalog, answers, authorize := endpoint.NewCatalog(c.Catalog), response.Writer{Log: c.Log}, c.authorization().Check
	r := &render.Renderer{Catalog: c.Catalog, Codec: c.Codec}
	a := &api{
		c: c, catalog: catalog, response: answers, checks: checks, metrics: m, lifetime: lifetime,
		discovery: &discovery.Discovery{Catalog: catalog, Response: answers},
		openapi:   openapi.New(catalog, c.Version.GitVersion, c.Log),
		handlers: &handlers.Handlers{
			Registry: c.Registry, Codec: c.Codec, Render: r, Deprecated: old, Authorize: authorize,
			Stream: &stream.Watches{Registry: c.Registry, Render: r, Metrics: m, Lifetime: lifetime, Log: c.Log, MinTimeout: c.Limits.MinWatchTimeout},
			Proxy: proxy.New(proxy.Config{
				Registry: c.Registry, Reader: c.Reader, Admit: c.AdmitConnect, Authorize: authorize,
				Lifetime: lifetime, Response: answers, NodeTLS: c.NodeTLS, Dial: c.Dial,
			}),
		},
	}
	if c.Aggregation != nil {
		a.discovery.Others = c.Aggregation.Registrations
		a.openapi.Others(c.Aggregation.OpenAPI)
		a.openapi.Extensions(c.Aggregation.OpenAPIV2)
	}
	return a, nil
}

func (s *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info := endpoint.Info(r)
	if s.aggregated(w, r) {
		return
	}
	if !info.IsResourceRequest {
		s.servePath(w, r)
		return
	}
	q, err := s.catalog.Route(w, r, info)
	if (err != nil || q.Refused() != nil) && s.catalog.Find(info) == nil && s.catchUp(r) {
		q, err = s.catalog.Route(w, r, info)
	}
	if errors.Is(err, endpoint.ErrNoPath) {
		http.NotFound(w, r)
		return
	}
	if err == nil {
		err = s.handlers.Serve(q, info.Verb)
	}
	if err != nil {
		s.response.Fail(w, r, err)
	}
}

// aggregated serves what another server has; false: this one does.
func (s *api) aggregated(w http.ResponseWriter, r *http.Request) bool {
	if s.c.Aggregation == nil {
		return false
	}
	path := r.URL.Path
	if doc, ok := strings.CutPrefix(path, "/openapi/v3"); ok {
		path = doc
	}
	p := s.c.Aggregation.Find(path)
	if p == nil {
		return false
	}
	p.LongRunning, p.Response = s.catalog.LongRunning(endpoint.Info(r)), s.response
	p.Context = func(ctx context.Context) (context.Context, context.CancelFunc) { return s.lifetime.Context(ctx, 0) }
	p.ServeHTTP(w, r)
	return true
}

// catchUp waits until kinds that were defined before the request are there. It tells
// whether there may be any.
func (s *api) catchUp(r *http.Request) bool {
	if s.c.CatchUp == nil {
		return false
	}
	if err := s.c.CatchUp(r.Context()); err != nil {
		s.c.Log.Debug("kinds may be missing", "path", r.URL.Path, "error", err)
	}
	return true
}

// servePath serves what is not a resource.
func (s *api) servePath(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if strings.HasPrefix(path, "/apis") || strings.HasPrefix(path, "/openapi/") {
		s.catchUp(r)
	}
	if h := s.c.Paths[path]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	switch {
	case path == "/" || path == "/index.html":
		s.serveIndex(w, r)
	case path == "/version" || path == "/version/":
		s.serveVersion(w, r)
	case flow.IsHealthPath(path):
		s.checks.ServeHTTP(w, r)
	case path == "/metrics":
		s.metrics.ServeHTTP(w, r)
	case endpoint.IsProfiling(path) && s.c.Profiling != nil:
		s.c.Profiling.ServeHTTP(w, r)
	case path == "/openapi/v2":
		s.openapi.ServeV2(w, r)
	case path == "/openapi/v3":
		s.openapi.ServeIndex(w, r)
	case strings.HasPrefix(path, "/openapi/v3/"):
		s.openapi.ServeV3(w, r)
	case path == "/.well-known/openid-configuration":
		s.response.Document(w, r, "application/json", s.c.OIDCDiscovery)
	case path == "/openid/v1/jwks" || path == "/openid/v1/jwks/":
		s.response.Document(w, r, "application/jwk-set+json", s.c.JWKS)
	case s.discovery.Serve(w, r):
	default:
		http.NotFound(w, r)
	}
}

func (s *api) serveIndex(w http.ResponseWriter, r *http.Request) {
	paths := []string{"/.well-known/openid-configuration", "/api", "/apis", "/healthz", "/livez", "/metrics",
		"/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"}
	for _, g := range s.catalog.Snapshot().Groups() {
		if g.Name != "" {
			paths = append(paths, "/apis/"+g.Name)
		}
		for _, v := range g.Versions {
			if g.Name == "" {
				paths = append(paths, "/api/"+v.Version)
			} else {
				paths = append(paths, "/apis/"+g.Name+"/"+v.Version)
			}
		}
	}
	for _, c := range s.c.Checks {
		paths = append(paths, "/readyz/"+c.Name)
		if !c.ReadyOnly {
			paths = append(paths, "/healthz/"+c.Name)
		}
		if !c.ReadyOnly && !c.NotLive {
			paths = append(paths, "/livez/"+c.Name)
		}
	}
	sort.Strings(paths)
	s.response.JSON(w, r, map[string][]string{"paths": paths})
}

func (s *api) serveVersion(w http.ResponseWriter, r *http.Request) {
	v := s.c.Version
	setDefault(&v.GoVersion, runtime.Version())
	setDefault(&v.Compiler, runtime.Compiler)
	setDefault(&v.Platform, runtime.GOOS+"/"+runtime.GOARCH)
	s.response.RoutedJSON(w, r, v)
}
