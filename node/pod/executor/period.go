package executor

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Period is a grace period. Its end may come nearer, never go further away.
type Period struct {
	clock clock.WithTicker

	mu     sync.Mutex
	end    time.Time     // guarded by mu
	nearer chan struct{} // closed when end comes nearer; guarded by mu
}

// NewPeriod makes a period that ends at a time.
func NewPeriod(c clock.WithTicker, end time.Time) *Period {
	return &Period{clock: c, end: end, nearer: make(chan struct{})}
}

// left is the rest of the period, and a channel that is closed when it was
// shortened.
func (p *Period) left() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.end.Sub(p.clock.Now()), 0), p.nearer
}

// Shorten makes the period end at another time, unless it ends before.
func (p *Period) Shorten(end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end.Before(p.end) {
		p.end = end
		close(p.nearer)
		p.nearer = make(chan struct{})
	}
}

// context ends with ctx, and when the period is over.
func (p *Period) context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			left, nearer := p.left()
			if left <= 0 {
				return
			}
			t := p.clock.NewTimer(left)
			select {
			case <-ctx.Done():
			case <-t.C():
			case <-nearer:
			}
			t.Stop()
			if ctx.Err() != nil {
				return
			}
		}
	}()
	return ctx, cancel
}
