package transaction

import (
	"context"
	"sync"
)

// ledger has the commits of this process that charge one object wait for each other,
// so that none learns from the store that another was faster. The zero value is
// ready; it is safe for concurrent use.
type ledger struct {
	mu    sync.Mutex
	turns map[string]*turn // by key; guarded by mu
}

// turn is whose commit it is on one key.
type turn struct {
	free  chan struct{} // holds one value while it is nobody's
	users int           // who have it or wait for it; guarded by ledger.mu
}

// take waits until it is the caller's turn on all keys, which are in order and
// distinct: so no two wait for each other.
//
// # Errors
//   - ctx's; nothing is held then
func (l *ledger) take(ctx context.Context, keys []string) (release func(), err error) {
	held := 0
	release = func() {
		for _, key := range keys[:held] {
			l.leave(key, true)
		}
	}
	for _, key := range keys {
		select {
		case <-l.enter(key).free:
			held++
		case <-ctx.Done():
			l.leave(key, false)
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

func (l *ledger) enter(key string) *turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.turns[key]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		if l.turns == nil {
			l.turns = map[string]*turn{}
		}
		l.turns[key] = t
	}
	t.users++
	return t
}

func (l *ledger) leave(key string, had bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.turns[key]
	if had {
		t.free <- struct{}{}
	}
	if t.users--; t.users == 0 {
		delete(l.turns, key)
	}
}
