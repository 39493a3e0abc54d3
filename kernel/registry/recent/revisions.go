package recent

import (
	"context"
	"sync"
	"time"
)

// revisions shares linearizable reads of the store's revision: any number of
// callers that arrive while one read is under way share the next one. A caller
// may not share the read under way: it may have begun before a write that the
// caller has seen finish. It is safe for concurrent use.
type revisions struct {
	read    func(context.Context) (int64, error)
	timeout time.Duration

	mu      sync.Mutex
	running bool  // guarded by mu
	next    *poll // callers of the read to come; guarded by mu
}

// newRevisions makes revisions of a store's read, each of which may take timeout.
func newRevisions(read func(context.Context) (int64, error), timeout time.Duration) *revisions {
	return &revisions{read: read, timeout: timeout}
}

type poll struct {
	done     chan struct{}
	revision int64
	err      error
}

// Get returns a revision that covers every write that finished before the call.
func (r *revisions) Get(ctx context.Context) (int64, error) {
	r.mu.Lock()
	p := r.next
	if p == nil {
		p = &poll{done: make(chan struct{})}
		r.next = p
	}
	if !r.running {
		r.running = true
		// The read serves others too and must survive this caller's ctx.
		go r.loop(context.WithoutCancel(ctx))
	}
	r.mu.Unlock()
	select {
	case <-p.done:
		return p.revision, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// loop reads until nobody waits. It ends by itself.
func (r *revisions) loop(ctx context.Context) {
	for {
		r.mu.Lock()
		p := r.next
		if p == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.next = nil
		r.mu.Unlock()
		p.revision, p.err = r.bounded(ctx)
		close(p.done)
	}
}

func (r *revisions) bounded(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.read(ctx)
}
