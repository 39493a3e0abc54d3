package stream

import (
	"context"
	"time"
)

// Lifetime ends the streams of a server when it stops. It is safe for concurrent
// use.
type Lifetime struct {
	running context.Context // done when streams shall end
	stop    context.CancelFunc
}

// NewLifetime makes one.
func NewLifetime() *Lifetime {
	ctx, stop := context.WithCancel(context.Background())
	return &Lifetime{running: ctx, stop: stop}
}

// Stop ends all streams.
func (s *Lifetime) Stop() { s.stop() }

// Context ends with the request, after d (0 means never), and when the
// server stops.
func (s *Lifetime) Context(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var timer *time.Timer
	if d > 0 {
		timer = time.AfterFunc(d, cancel)
	}
	forget := context.AfterFunc(s.running, cancel)
	return ctx, func() {
		if timer != nil {
			timer.Stop()
		}
		forget()
		cancel()
	}
}
