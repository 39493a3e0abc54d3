// Package backoff keeps the pauses short after which a node's watches come back
// when the server was restarted; internal/backoff is for everything else.
package backoff

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/pintle-io/pintle/internal/backoff"
)

// How watches come back after the API server went away. client-go's reflectors
// double their pauses from 0.8 to 60 seconds and forget them after two minutes
// of peace: after three restarts in a row a node learns of changes half a
// minute late, and sends to pods that are gone. So the pauses are kept from
// them: seldom is a server away for longer than a restart takes. See RATIONALE.md,
// "Why do a node's watches not use client-go's back-off?".
var (
	restart = backoff.Policy{First: 50 * time.Millisecond, Max: time.Second}
	outage  = backoff.Policy{First: time.Second, Max: 5 * time.Second}
)

// restartTries are as many as half a minute takes.
const restartTries = 32

// watchPause is that before the nth try.
func watchPause(n int) time.Duration {
	if n <= restartTries {
		return restart.Pause(n)
	}
	return outage.Pause(n - restartTries)
}

// Watches wraps a client's transport so that a watch that finds no server waits
// for one, until its context ends, and one whose server went away ends as if
// it had been served to its end: its client goes on at once from what it has
// read. All other requests pass as they are.
func Watches(next http.RoundTripper) http.RoundTripper { return &watches{next} }

type watches struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *watches) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.URL.Query().Get("watch") != "true" {
		return t.next.RoundTrip(r)
	}
	for n := 1; ; n++ {
		resp, err := t.next.RoundTrip(r)
		switch {
		case err == nil && !(resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == ""):
			resp.Body = &stream{resp.Body}
			return resp, nil
		case err == nil: // it is starting, or about to end
			_ = resp.Body.Close()
		case !away(err):
			return nil, err
		}
		pause := time.NewTimer(watchPause(n))
		select {
		case <-pause.C:
		case <-r.Context().Done():
			pause.Stop()
			return nil, r.Context().Err()
		}
	}
}

// WrappedRoundTripper is how client-go looks for the transport below.
func (t *watches) WrappedRoundTripper() http.RoundTripper { return t.next }

var _ utilnet.RoundTripperWrapper = (*watches)(nil)

// away tells that nobody was there, or that he left before he answered, rather
// than that he was somebody else or refused.
func away(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err) || utilnet.IsTimeout(err)
}

// stream is the body of a watch. A connection that is lost is its end: what
// had been read is whole, and what follows is asked for again.
type stream struct{ io.ReadCloser }

// Read implements io.Reader.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if err != nil && err != io.EOF && away(err) {
		err = io.EOF
	}
	return n, err
}
