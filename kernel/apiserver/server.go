package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
)

// Server serves the Kubernetes API of one table. It is an http.Handler and
// safe for concurrent use.
type Server struct {
	Config

	info    request.RequestInfoFactory
	catalog *catalog
	old     deprecated
	openapi *openAPI
	metrics *metrics
	nodes   *nodeTransports
	flow    *flow.Control
	health  singleflight.Group
	chain   http.Handler

	draining atomic.Bool   // readyz fails
	stopping chan struct{} // closed when streams shall end
	stopOnce sync.Once
	// aborted is closed when requests in flight are not to be waited for.
	aborted   chan struct{}
	abortOnce sync.Once
}

// New makes a server. It starts nothing.
func New(c Config) (*Server, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.setDefaults()
	s := &Server{
		Config: c,
		info: request.RequestInfoFactory{
			APIPrefixes:          sets.NewString("api", "apis"),
			GrouplessAPIPrefixes: sets.NewString("api"),
		},
		catalog: newCatalog(c.Table),
		flow: flow.New(flow.Limits{
			Reads: c.Limits.ReadInFlight, Writes: c.Limits.WriteInFlight,
			Bodies: c.Limits.BodiesInFlight, Answers: c.Limits.AnswersInFlight, BodyBytes: c.Limits.BodyBytesInFlight, Frames: c.Limits.WatchBytesInFlight, Decode: c.Limits.DecodeBytesInFlight,
		}),
		nodes:    newNodeTransports(c.NodeTLS, c.Dial),
		stopping: make(chan struct{}),
		aborted:  make(chan struct{}),
	}
	var err error
	if s.old, err = newDeprecated(c.Table, c.Version); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(c.Metrics); err != nil {
		return nil, err
	}
	s.openapi = newOpenAPI(c.Table, s.catalog, c.Version.GitVersion)
	s.chain = s.withRecovery(s.withRequestInfo(s.withMetrics(s.withTimeout(
		s.withAuthentication(s.withFlow(s.withImpersonation(s.withAuthorization(s.withBody(s.withInFlight(
			http.HandlerFunc(s.dispatch)))))))))))
	return s, nil
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.chain.ServeHTTP(w, r)
}

// Run serves connections of l until ctx ends and then shuts down gracefully:
// /readyz fails, watches end, requests in flight are answered. With a TLS
// config it speaks TLS and HTTP/2. It returns nil after a graceful end.
func (s *Server) Run(ctx context.Context, l net.Listener, t *tls.Config) error {
	srv := s.httpServer()
	done := make(chan error, 1)
	go func() {
		if t == nil {
			done <- srv.Serve(l)
			return
		}
		srv.TLSConfig = t.Clone()
		done <- srv.ServeTLS(l, "", "")
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	err := s.shutdown(context.WithoutCancel(ctx), srv)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// Drain makes /readyz fail, so that load balancers turn away; Stop ends
// running watches and logs. Run calls both by itself: they are for callers
// that bring their own http.Server.
func (s *Server) Drain() { s.draining.Store(true) }

// Abort makes Run end without waiting for the requests in flight.
func (s *Server) Abort() { s.abortOnce.Do(func() { close(s.aborted) }) }

// Stop ends all streams that the server is serving.
func (s *Server) Stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

func (s *Server) httpServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 32 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    1 << 20,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) shutdown(ctx context.Context, srv *http.Server) error {
	s.Drain()
	if d := s.Limits.ShutdownDelay; d > 0 {
		time.Sleep(d)
	}
	s.Stop()
	ctx, cancel := context.WithTimeout(ctx, s.Limits.ShutdownTimeout)
	defer cancel()
	go func() {
		select {
		case <-s.aborted:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := srv.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), srv.Close())
	}
	return nil
}

var _ http.Handler = (*Server)(nil)
