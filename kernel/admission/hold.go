package admission

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Patience is how long a request waits for rules that are not there yet, before
// it is refused or their failure policy decides. Upstream's admission plugins
// wait as long for their caches.
const Patience = 10 * time.Second

// Hold makes every request wait until ready is closed, Patience at most, and
// be asked by the rules that stand in the chain then. what names what is waited
// for in the refusal of those that waited in vain. Exempt requests pass by the
// rules that are there.
func (c *Chain) Hold(ready <-chan struct{}, what string) {
	c.hold.Store(&hold{ready: ready, what: what, patience: Patience})
}

// hold is a chain that is not to be asked yet.
type hold struct {
	ready    <-chan struct{}
	what     string
	patience time.Duration
}

// over reports that nobody is held any more; a nil hold is over.
func (h *hold) over() bool {
	if h == nil {
		return true
	}
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
}

// held is the state of a chain for a request that begins while it is held: that
// of the moment when the chain is ready.
type held struct {
	chain *Chain
	hold  *hold

	mu      sync.Mutex
	fixed   bool     // guarded by mu
	entries []*entry // guarded by mu; once fixed
}

// rules waits for the rules that a request is asked by.
func (w *held) rules(ctx context.Context, a *Attributes) ([]*entry, error) {
	if w.chain.exempt(ctx, a) {
		return w.chain.load(), nil
	}
	if !w.hold.over() {
		t := time.NewTimer(w.hold.patience) //nolint:forbidigo // a chain has no configuration: tests replay it in a bubble
		defer t.Stop()
		select {
		case <-w.hold.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.C:
			return nil, notReady(w.hold.what)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.fixed {
		w.entries, w.fixed = w.chain.load(), true
	}
	return w.entries, nil
}

// notReady asks the client to come back: client-go does so by itself.
func notReady(what string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable,
		Message: fmt.Sprintf("the server is not ready to admit requests: %s; /readyz says when it is", what),
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}
}
