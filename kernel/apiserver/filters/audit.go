package filters

import (
	"bufio"
	"errors"
	"net"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/audit"
)

// withAuditContext lets annotations be made of a request from here on. Without an
// Auditor it and withAudit are nothing.
func (s *Chain) withAuditContext(next http.Handler) http.Handler {
	if s.Audit == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(s.Audit.Context(r.Context(), w.Header().Get(auditID))))
	})
}

// withAudit records a request of somebody who is known. It stands before
// impersonation: who asks is not whom he acts as.
func (s *Chain) withAudit(next http.Handler) http.Handler {
	if s.Audit == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, q := s.Audit.Begin(r.Context(), r, endpoint.Attributes(r))
		if q == nil {
			next.ServeHTTP(w, r)
			return
		}
		if !q.Received() {
			s.Response.Fail(w, r, apierrors.NewInternalError(errors.New("failed to store audit event")))
			return
		}
		streams := s.Catalog.LongRunning(endpoint.Info(r))
		defer func() {
			if p := recover(); p != nil {
				q.Panicked(p)
				panic(p)
			}
			q.Done(streams)
		}()
		next.ServeHTTP(&audited{ResponseWriter: w, request: q, streams: streams}, r.WithContext(ctx))
	})
}

// failing records, as upstream does, the answer to a request that fails before it is
// known who asks: one event, ResponseStarted.
func (s *Chain) failing(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	ctx, q := s.Audit.Begin(r.Context(), r, endpoint.Attributes(r))
	if q == nil {
		return w, r
	}
	return &audited{ResponseWriter: w, request: q, streams: true}, r.WithContext(ctx)
}

// audited tells an audited request when its answer begins.
type audited struct {
	http.ResponseWriter
	request *audit.Request
	streams bool
	begun   bool
}

func (w *audited) begin(code int) {
	if !w.begun {
		w.begun = true
		w.request.Answered(code, w.streams)
	}
}

func (w *audited) WriteHeader(code int) {
	if !response.Informational(code) {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *audited) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Flush and Hijack make streams and upgrades work through it.
func (w *audited) Flush() {
	w.begin(http.StatusOK)
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *audited) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	w.begin(http.StatusSwitchingProtocols)
	return h.Hijack()
}

// Unwrap serves http.ResponseController.
func (w *audited) Unwrap() http.ResponseWriter { return w.ResponseWriter }

var (
	_ http.Flusher  = (*audited)(nil)
	_ http.Hijacker = (*audited)(nil)
)
