package apiserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
)

// withFlow gives a request its ticket. It stands before impersonation: what a
// request holds is held by whoever sent it, as whomever he acts.
func (s *Server) withFlow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := request.UserFrom(r.Context())
		t := s.flow.Begin(u, requestInfo(r))
		defer t.End()
		next.ServeHTTP(w, r.WithContext(flow.With(r.Context(), t)))
	})
}

// withBody reads a request's body, of a client that is allowed to send it,
// before the request takes a slot: a client that sends slowly keeps nobody
// else from being served.
func (s *Server) withBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := requestInfo(r)
		if s.longRunning(info) || r.Body == nil || r.Body == http.NoBody || !mutates(r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		data, err := s.receive(w, r)
		if err == nil {
			err = s.afford(r, data)
		}
		if err != nil {
			if apierrors.IsTooManyRequests(err) {
				s.metrics.dropped.WithLabelValues(requestKind(info.Verb)).Inc()
			}
			s.fail(w, r, err)
			return
		}
		r.Body = &received{Reader: bytes.NewReader(data), data: data}
		next.ServeHTTP(w, r)
	})
}

// afford asks for the memory that decoding a body takes.
func (s *Server) afford(r *http.Request, data []byte) error {
	n, err := weigh(r, data)
	if err == nil && !flow.From(r.Context()).Decode(n) {
		err = tooMany()
	}
	return err
}

func mutates(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// received is a body that has come in.
type received struct {
	*bytes.Reader
	data []byte
}

// Close implements io.Closer.
func (*received) Close() error { return nil }

// readBody is the body of a short writing request.
func readBody(r *http.Request) []byte {
	if b, ok := r.Body.(*received); ok {
		return b.data
	}
	return nil
}

// receive reads a body within the limits of size, time, and of what all bodies
// together may hold.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.Limits.BodyBytes
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	t := flow.From(r.Context())
	if !t.ReadBody() {
		return nil, tooMany()
	}
	defer t.DoneBody()
	rc := http.NewResponseController(w)
	if end, ok := r.Context().Deadline(); ok {
		// After the body this deadline must be the request's again: net/http
		// goes on reading to see whether the client is still there.
		if sooner := time.Now().Add(s.Limits.BodyTimeout); sooner.Before(end) {
			_ = rc.SetReadDeadline(sooner) // not every writer can
			defer func() { _ = rc.SetReadDeadline(end) }()
		}
	}
	data, err := readAll(r, limit, t)
	switch {
	case err == nil || apierrors.IsTooManyRequests(err) || apierrors.IsRequestEntityTooLargeError(err):
		return data, err
	case r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return nil, context.DeadlineExceeded
	}
	return nil, apierrors.NewBadRequest("unable to read the request body: " + err.Error())
}

// bodyStep is how much room for a body is asked for at least.
const bodyStep = 4 << 10

// readAll reads a body into a buffer that grows with what has come, not with
// what was announced.
func readAll(r *http.Request, limit int64, t *flow.Ticket) ([]byte, error) {
	var buf []byte
	for {
		if len(buf) == cap(buf) {
			next := min(max(int64(cap(buf))*2, bodyStep), limit+1)
			if n := r.ContentLength; n >= 0 && int64(cap(buf)) < n+1 && next > n+1 {
				next = n + 1 // one more, to see the end
			}
			if !t.Grow(next - int64(cap(buf))) {
				return nil, tooMany()
			}
			grown := make([]byte, len(buf), next)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, tooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// withInFlight bounds the short requests that are executed at once.
func (s *Server) withInFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := requestInfo(r)
		if s.longRunning(info) {
			next.ServeHTTP(w, r)
			return
		}
		kind := requestKind(info.Verb)
		if !flow.From(r.Context()).Execute(kind == "readOnly") {
			s.metrics.dropped.WithLabelValues(kind).Inc()
			s.fail(w, r, tooMany())
			return
		}
		gauge := s.metrics.inFlight.WithLabelValues(kind)
		gauge.Inc()
		defer gauge.Dec()
		next.ServeHTTP(w, r)
	})
}

// tooMany is upstream's answer to a client for whom there is no room.
func tooMany() error {
	return apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
}

// requestKind is upstream's label.
func requestKind(verb string) string {
	switch verb {
	case "get", "list", "watch", "head":
		return "readOnly"
	}
	return "mutating"
}

var _ io.ReadCloser = (*received)(nil)
