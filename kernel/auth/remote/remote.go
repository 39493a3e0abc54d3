// Package remote bounds what the server reads from issuers of tokens and webhooks,
// which are not of this cluster: an answer without an end is an error, not memory.
package remote

import (
	"errors"
	"io"
	"net/http"
)

// MaxAnswer bounds an answer. A key set of a thousand keys takes less than half of it.
const MaxAnswer = 1 << 20

// MaxWaiting bounds the requests that wait for one issuer or webhook at a time.
const MaxWaiting = 2048

// ErrTooLarge is that of an answer beyond MaxAnswer.
var ErrTooLarge = errors.New("the answer is larger than 1 MiB")

// Bounded makes answers that are too large an error: reading them returns ErrTooLarge.
func Bounded(rt http.RoundTripper) http.RoundTripper { return bounded{rt} }

type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > MaxAnswer {
		return nil, errors.Join(ErrTooLarge, resp.Body.Close())
	}
	resp.Body = &body{ReadCloser: resp.Body, left: MaxAnswer}
	return resp, nil
}

type body struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if n > b.left {
		return 0, ErrTooLarge
	}
	b.left -= n
	return n, err
}
