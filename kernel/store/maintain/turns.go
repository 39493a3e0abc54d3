package maintain

import (
	"context"
	"errors"
	"sync"
)

// ErrSnapshot: the database cannot be defragmented while a snapshot is taken.
var ErrSnapshot = errors.New("a snapshot is being taken")

// turns keeps snapshots and defragmentations apart. A defragmentation puts
// another file in the place of the one that a snapshot reads, and waits until it
// has been read, with the whole database locked: a client that takes its
// snapshot slowly would stop every read and write. Nor are pages free that a
// snapshot still reads.
type turns struct {
	mu      sync.Mutex
	stop    func()        // ends the snapshot; guarded by mu
	ended   chan struct{} // of the snapshot, nil when there is none; guarded by mu
	rewrite bool          // a defragmentation has its turn; guarded by mu
}

// snapshot asks for the turn of a snapshot, which stop ends before its time.
// The caller calls end.
func (t *turns) snapshot(stop func()) (end func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rewrite || t.ended != nil {
		return nil, false
	}
	ended := make(chan struct{})
	t.stop, t.ended = stop, ended
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.stop, t.ended = nil, nil
		close(ended)
	}, true
}

// defragment asks for the turn of a defragmentation; urgent ends a snapshot
// that is being taken. The caller calls end.
//
// # Errors
//   - ErrSnapshot when one is being taken, and it is not urgent
func (t *turns) defragment(ctx context.Context, urgent bool) (end func(), err error) {
	t.mu.Lock()
	if t.ended != nil && !urgent {
		t.mu.Unlock()
		return nil, ErrSnapshot
	}
	t.rewrite = true // no other snapshot begins
	stop, ended := t.stop, t.ended
	t.mu.Unlock()
	end = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.rewrite = false
	}
	if ended == nil {
		return end, nil
	}
	stop()
	select {
	case <-ended:
		return end, nil
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}
