package stream

import (
	"context"
	"sync"
	"time"
)

// Lifetime ends the streams of a server when it stops. It is safe for concurrent
// use.
type Lifetime struct {
	stopping chan struct{} // closed when streams shall end
	once     sync.Once
}

// NewLifetime makes one.
func NewLifetime() *Lifetime { return &Lifetime{stopping: make(chan struct{})} }

// Stop ends all streams.
func (s *Lifetime) Stop() { s.once.Do(func() { close(s.stopping) }) }

// Context ends with the request, after d (0 means never), and when the
// server stops.
func (s *Lifetime) Context(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var timer *time.Timer
	if d > 0 {
		timer = time.AfterFunc(d, cancel)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-done:
		}
	}()
	return ctx, func() {
		if timer != nil {
			timer.Stop()
		}
		close(done)
		cancel()
	}
}
