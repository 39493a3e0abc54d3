package watch

import (
	"slices"
	"sync"
	"sync/atomic"
)

// waiters are the callers of WaitFor.
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
