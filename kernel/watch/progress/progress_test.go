package progress

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Waiters wake at their revision, whoever of them and of Advance is first.
func TestWait(t *testing.T) {
	p := New()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := p.Wait(t.Context(), int64(i+1)); err != nil || p.Revision() < int64(i+1) {
				t.Errorf("woken at %d of %d: %v", p.Revision(), i+1, err)
			}
		})
	}
	for i := range 100 {
		p.Advance(int64(i + 1))
	}
	wg.Wait()
}

// Who gives up leaves nothing behind, and the end wakes the others.
func TestWaitEnds(t *testing.T) {
	p := New()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx, 1); !errors.Is(err, context.Canceled) || len(p.waiters.all) != 0 {
		t.Errorf("got %v, and %d wait", err, len(p.waiters.all))
	}
	waits := make(chan error)
	go func() { waits <- p.Wait(t.Context(), 1) }()
	if p.End(); !closed(p.Done()) {
		t.Error("not done")
	}
	if err := <-waits; !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
}

func TestLoadedAndRewind(t *testing.T) {
	p := New()
	if closed(p.Ready()) {
		t.Error("ready before anything is loaded")
	}
	p.Advance(9)
	p.Loaded()
	p.Rewind(4)
	p.Loaded()
	if !closed(p.Ready()) || p.Revision() != 4 || p.Rewinds() != 1 {
		t.Errorf("ready %t, at %d, %d rewinds", closed(p.Ready()), p.Revision(), p.Rewinds())
	}
}
