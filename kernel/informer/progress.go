package informer

import (
	"context"
	"sync"
	"time"
)

// progress is how far an Informer has come, and who waits for it.
type progress struct {
	synced chan struct{} // closed when everything there was has been told

	mu    sync.Mutex
	rev   int64         // everything up to here has been told; guarded by mu
	moved chan struct{} // closed when rev moves; nil: nobody waits; guarded by mu
}

func newProgress() progress { return progress{synced: make(chan struct{})} }

// reach is called by Run's goroutine only.
func (p *progress) reach(rev int64) {
	p.mu.Lock()
	p.rev = max(p.rev, rev)
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
	p.mu.Unlock()
	select {
	case <-p.synced:
	default:
		close(p.synced)
	}
}

// behind answers nil when rev has been told, else what is closed when there is
// news.
func (p *progress) behind(rev int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.synced:
		if p.rev >= rev {
			return nil
		}
	default:
	}
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}

// Synced is closed when the handler has been told everything that was there at
// the start.
func (i *Informer) Synced() <-chan struct{} { return i.progress.synced }

// HasSynced reports whether Synced is closed.
func (i *Informer) HasSynced() bool {
	select {
	case <-i.progress.synced:
		return true
	default:
		return false
	}
}

// Revision is how far the handler has been told everything; 0 before Synced.
func (i *Informer) Revision() int64 {
	i.progress.mu.Lock()
	defer i.progress.mu.Unlock()
	return i.progress.rev
}

// patience is how long WaitFor waits for events before it asks for a new list:
// the revision may be another resource's.
const patience = 250 * time.Millisecond

// WaitFor returns nil when the handler has been told everything there was at the
// start and up to rev, else ctx's error.
func (i *Informer) WaitFor(ctx context.Context, rev int64) error {
	var late <-chan time.Time
	for {
		moved := i.progress.behind(rev)
		if moved == nil {
			return nil
		}
		if late == nil && i.HasSynced() {
			t := i.c.Clock.NewTimer(patience)
			defer t.Stop()
			late = t.C()
		}
		select {
		case <-moved:
		case <-late:
			i.Refresh()
			late = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
