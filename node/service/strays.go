package service

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/backoff"
)

// Reconnector knows of connected UDP sockets whose endpoint is gone: an
// [lb.Reconnector].
type Reconnector interface {
	Strays() <-chan struct{}
	MoveStrays() (lb.Moved, error)
}

const (
	// strayAgain is when a second look is taken: a process that was just
	// connecting at the first one is connected then.
	strayAgain = time.Second
	// strayLongest is the longest pause after a look that failed.
	strayLongest = 2 * time.Minute
	// strayPause is the least time between two looks, each of which walks over
	// the descriptors of all processes.
	strayPause = 50 * time.Millisecond
)

// FollowStrays moves connected UDP sockets off endpoints that are gone, until
// ctx ends: an address may be another pod's soon. What cannot be moved is tried
// again. A nil log discards, a nil clock is the real one.
func FollowStrays(ctx context.Context, b Reconnector, log *slog.Logger, c clock.Clock) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c == nil {
		c = clock.RealClock{}
	}
	retry := backoff.New(strayAgain, strayLongest)
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.Strays():
			again = c.After(strayAgain)
		case <-again:
			again = nil
		}
		m, err := b.MoveStrays()
		if m != (lb.Moved{}) {
			log.Debug("connected UDP sockets moved", "connected", m.Connected, "waiting", m.Waiting, "cut", m.Cut)
		}
		if err != nil {
			again = c.After(retry.Failed(log, "connected UDP sockets may stay on endpoints that are gone", err))
		} else {
			retry.Succeeded(log)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.After(strayPause):
		}
	}
}

var _ Reconnector = (*lb.Reconnector)(nil)
