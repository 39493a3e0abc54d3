// Package logging bounds what a process says in its log when something keeps
// failing: a warning that is repeated without end hides the next one.
package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Bounds of one warning: a burst, then one line a minute. Messages are
// constants by convention, so their number is small; maxMessages is for those
// that are not.
const (
	burst       = 10
	every       = time.Minute
	maxMessages = 1000
)

// Limit passes records on to h, warnings and errors no more often than a
// person could read them: of each message and logger (the attributes of With)
// a burst of ten and one a minute after it. The next line that is written says
// in left_out how many were not. Records below warnings pass: their volume is
// chosen by the log level.
func Limit(h slog.Handler, c clock.PassiveClock) slog.Handler {
	return &limiter{Handler: h, shared: &shared{clock: c, spent: map[string]*allowance{}}}
}

type limiter struct {
	slog.Handler
	logger string // the attributes of With, as a key
	shared *shared
}

// shared are the allowances of a handler and of those derived from it.
type shared struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	spent map[string]*allowance // guarded by mu
}

// allowance is what is left of a burst.
type allowance struct {
	lines   int
	since   time.Time // when lines was last lowered
	leftOut int
}

// Handle implements slog.Handler.
func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return l.Handler.Handle(ctx, r)
	}
	leftOut, ok := l.shared.afford(l.logger + "\x00" + r.Level.String() + "\x00" + r.Message)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return l.Handler.Handle(ctx, r)
}

// afford takes a line out of a message's allowance, and answers how many were
// left out before it.
func (s *shared) afford(key string) (leftOut int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	a := s.spent[key]
	if a == nil {
		if len(s.spent) >= maxMessages {
			clear(s.spent)
		}
		a = &allowance{since: now}
		s.spent[key] = a
	}
	if back := int(now.Sub(a.since) / every); back > 0 {
		a.lines, a.since = max(a.lines-back, 0), a.since.Add(time.Duration(back)*every)
	}
	if a.lines >= burst {
		a.leftOut++
		return 0, false
	}
	a.lines++
	leftOut, a.leftOut = a.leftOut, 0
	return leftOut, true
}

// WithAttrs implements slog.Handler.
func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	key := l.logger
	for _, a := range attrs {
		key += "\x00" + a.String()
	}
	return &limiter{Handler: l.Handler.WithAttrs(attrs), logger: key, shared: l.shared}
}

// WithGroup implements slog.Handler.
func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{Handler: l.Handler.WithGroup(name), logger: l.logger + "\x00" + name, shared: l.shared}
}
