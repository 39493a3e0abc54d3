// Package progress tells how far a follower of the store has come: whether it
// has loaded, which revision it has applied, how often the store went back in
// time, and whether it has ended.
package progress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrStopped: the follower does not run any more.
var ErrStopped = errors.New("stopped")

// Progress is one follower's. One goroutine, or several by turns, moves it on;
// all others may read it and wait.
type Progress struct {
	revision atomic.Int64 // everything up to here is applied
	rewinds  atomic.Int64 // how often the store went back in time
	ready    chan struct{}
	done     chan struct{}
	waiters  waiters
}

// New is at revision 0, neither ready nor done.
func New() *Progress { return &Progress{ready: make(chan struct{}), done: make(chan struct{})} }

// Revision is what has been come to.
func (p *Progress) Revision() int64 { return p.revision.Load() }

// Rewinds is how often the store went back in time.
func (p *Progress) Rewinds() int64 { return p.rewinds.Load() }

// Ready is closed by the first Loaded.
func (p *Progress) Ready() <-chan struct{} { return p.ready }

// Done is closed by End.
func (p *Progress) Done() <-chan struct{} { return p.done }

// Advance publishes a revision, and wakes who waits for it or less.
func (p *Progress) Advance(rev int64) {
	p.revision.Store(rev)
	p.waiters.advance(rev)
}

// Rewind goes back to a revision. Nobody is woken.
func (p *Progress) Rewind(rev int64) {
	p.rewinds.Add(1)      // before any snapshot of the new time
	p.revision.Store(rev) // nothing may seem newer than it is
}

// Loaded closes Ready if it is open.
func (p *Progress) Loaded() {
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
}

// End closes Done. It is called once.
func (p *Progress) End() { close(p.done) }

// Wait returns when revision rev has been come to.
//
// # Errors
//   - ErrStopped when the follower ends before
//   - ctx's error
func (p *Progress) Wait(ctx context.Context, rev int64) error {
	if p.revision.Load() >= rev {
		return nil
	}
	reached := p.waiters.add(rev, &p.revision)
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		p.waiters.remove(reached)
		return fmt.Errorf("wait for revision %d, at %d: %w", rev, p.revision.Load(), ctx.Err())
	case <-p.done:
		return fmt.Errorf("wait for revision %d: watch cache %w", rev, ErrStopped)
	}
}

// waiters are the callers of Wait.
type waiters struct {
	mu  sync.Mutex
	all []waiter // guarded by mu
}

type waiter struct {
	revision int64
	reached  chan struct{}
}

// add returns a channel that closes when now reaches rev.
func (w *waiters) add(rev int64, now *atomic.Int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	reached := make(chan struct{})
	// advance takes the lock after now has grown: either it sees this waiter,
	// or this sees what it stored.
	if now.Load() >= rev {
		close(reached)
	} else {
		w.all = append(w.all, waiter{rev, reached})
	}
	return reached
}

func (w *waiters) remove(reached <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(w.all, func(x waiter) bool { return x.reached == reached })
}

// advance wakes those that waited for rev or less.
func (w *waiters) advance(rev int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return
	}
	w.all = slices.DeleteFunc(w.all, func(x waiter) bool {
		if x.revision <= rev {
			close(x.reached)
		}
		return x.revision <= rev
	})
}
