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
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/apiserver/filters"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/health"
	"github.com/pintle-io/pintle/kernel/apiserver/metrics"
	"github.com/pintle-io/pintle/kernel/apiserver/stream"
)

// Server serves the Kubernetes API of one table. It is an http.Handler and
// safe for concurrent use.
type Server struct {
	c        Config
	chain    http.Handler
	api      *api
	checks   *health.Checks
	lifetime *stream.Lifetime

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
	m, err := metrics.New(c.Metrics)
	if err != nil {
		return nil, err
	}
	s := &Server{c: c, checks: health.New(c.Checks, m.Panics, c.Log), lifetime: stream.NewLifetime(), aborted: make(chan struct{})}
	if s.api, err = newAPI(&c, m, s.checks, s.lifetime); err != nil {
		return nil, err
	}
	chain := filters.Chain{
		Catalog: s.api.catalog, Response: s.api.response, Metrics: m,
		Flow: flow.New(flow.Limits{
			Reads: c.Limits.ReadInFlight, Writes: c.Limits.WriteInFlight,
			Bodies: c.Limits.BodiesInFlight, Answers: c.Limits.AnswersInFlight, BodyBytes: c.Limits.BodyBytesInFlight, Frames: c.Limits.WatchBytesInFlight, Decode: c.Limits.DecodeBytesInFlight,
		}),
		Fairness:      c.Fairness,
		Bodies:        body.Receiver{Bytes: c.Limits.BodyBytes, Timeout: c.Limits.BodyTimeout},
		Timeout:       c.Limits.RequestTimeout,
		Authenticator: c.Authenticator, Audiences: c.Audiences, Authorization: c.authorization(), Audit: c.Audit,
	}
	s.chain = chain.Handler(s.api)
	return s, nil
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.chain.ServeHTTP(w, r)
}

// ServeAs serves a request of somebody in this process, who is known and for whom allow
// says what he may: by an API status, if not. It passes what requests of clients pass: audit, fairness, metrics.
// A handler that gives up panics with http.ErrAbortHandler, as those of net/http do.
func (s *Server) ServeAs(w http.ResponseWriter, r *http.Request, u user.Info, allow func(authorizer.Attributes) error) {
	s.chain.ServeHTTP(w, r.WithContext(filters.WithOwn(r.Context(), u, allow)))
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
func (s *Server) Drain() { s.checks.Drain() }

// Abort makes Run end without waiting for the requests in flight.
func (s *Server) Abort() { s.abortOnce.Do(func() { close(s.aborted) }) }

// Stop ends all streams that the server is serving.
func (s *Server) Stop() { s.lifetime.Stop() }

// maxStreams is how many requests one HTTP/2 connection carries at once; upstream's.
// A client that has more opens another connection, which spreads them over the
// locks and windows of several.
const maxStreams = 100

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
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) shutdown(ctx context.Context, srv *http.Server) error {
	s.Drain()
	if d := s.c.Limits.ShutdownDelay; d > 0 {
		time.Sleep(d)
	}
	s.Stop()
	ctx, cancel := context.WithTimeout(ctx, s.c.Limits.ShutdownTimeout)
	defer cancel()
	go func() {
		select {
		case <-s.aborted:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := endConnections(ctx, srv); err != nil {
		return errors.Join(fmt.Errorf("shut down: %w", err), srv.Close())
	}
	return nil
}

// endConnections waits until all requests are answered. net/http tells HTTP/2
// connections to end once, when Shutdown begins: one whose handshake is under
// way then is told nothing, and Shutdown waits for it as long as its client
// keeps it. So Shutdown is begun again every second.
func endConnections(ctx context.Context, srv *http.Server) error {
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		err := srv.Shutdown(once)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

var _ http.Handler = (*Server)(nil)
