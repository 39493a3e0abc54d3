package informer

import (
	"context"
	"sync"
)

// refresh is the wish for a new list. It ends the watch under way, if there is
// one, and no goroutine waits for it: who follows thousands of resources would
// have one for each.
type refresh struct {
	mu     sync.Mutex
	asked  bool                    // guarded by mu
	cancel context.CancelCauseFunc // of the watch under way; guarded by mu
}

func (r *refresh) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = true
	r.end()
}

// during says how to end the watch that begins; nil: it is over.
func (r *refresh) during(cancel context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = cancel
	r.end()
}

// end ends a watch when a list was asked for, once; mu is held.
func (r *refresh) end() {
	if r.asked && r.cancel != nil {
		r.cancel(errRefresh)
		r.asked, r.cancel = false, nil
	}
}

// granted takes a wish back: a list begins.
func (r *refresh) granted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = false
}
