// Package body takes in what clients send, within bounds of size, time and of
// what all bodies together may hold, before their request takes a slot: a client
// that sends slowly keeps nobody else from being served.
// RATIONALE.md: "Why is a request's body read before it has a slot?"
package body

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Receiver takes in bodies. It is immutable.
type Receiver struct {
	Bytes   int64         // the largest body
	Timeout time.Duration // in which a body must have come
}

// Receive reads the body of r, which [Of] tells from then on. Its errors are
// Status errors, or a context's. The ticket of the request (package flow) says
// what there is room for.
func (s Receiver) Receive(w http.ResponseWriter, r *http.Request) error {
	data, err := s.receive(w, r)
	if err == nil {
		err = afford(r, data)
	}
	if err != nil {
		return err
	}
	r.Body = &received{Reader: bytes.NewReader(data), data: data}
	return nil
}

// Expected tells whether a request may bring a body.
func Expected(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && mutates(r.Method)
}

// afford asks for the memory that decoding a body takes.
func afford(r *http.Request, data []byte) error {
	n, err := weigh(r, data)
	if err == nil && !flow.From(r.Context()).Decode(n) {
		err = response.TooManyRequests()
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

// Of is the body of a short writing request, which the caller must not change;
// nil when there is none.
func Of(r *http.Request) []byte {
	if b, ok := r.Body.(*received); ok {
		return b.data
	}
	return nil
}

// receive reads a body within the limits of size, time, and of what all bodies
// together may hold.
func (s Receiver) receive(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := s.Bytes
	if r.ContentLength > limit {
		return nil, response.TooLarge(limit)
	}
	t := flow.From(r.Context())
	if !t.ReadBody() {
		return nil, response.TooManyRequests()
	}
	defer t.DoneBody()
	rc := http.NewResponseController(w)
	if end, ok := r.Context().Deadline(); ok {
		// After the body this deadline must be the request's again: net/http
		// goes on reading to see whether the client is still there.
		if sooner := time.Now().Add(s.Timeout); sooner.Before(end) {
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
				return nil, response.TooManyRequests()
			}
			grown := make([]byte, len(buf), next)
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, response.TooLarge(limit)
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

var _ io.ReadCloser = (*received)(nil)
