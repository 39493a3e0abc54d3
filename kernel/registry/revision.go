package registry

import (
	"context"
	"sync"
)

// revisions shares linearizable reads of the store's revision: any number of
// callers that arrive while one read is under way share the next one. A caller
// may not share the read under way: it may have begun before a write that the
// caller has seen finish.
type revisions struct {
	read func(context.Context) (int64, error)

	mu      sync.Mutex
	running bool  // guarded by mu
	next    *poll // callers of the read to come; guarded by mu
}

type poll struct {
	done     chan struct{}
	revision int64
	err      error
}

// get returns a revision that covers every write that finished before the call.
func (r *revisions) get(ctx context.Context) (int64, error) {
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
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return r.read(ctx)
}
