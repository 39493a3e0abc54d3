package controllertest_test

import (
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// virtual is a clock that stands still until it is advanced. What waits for a while is
// woken when the clock has passed it, and at the latest when that much real time has:
// so the kernel's back-offs go on while it stands, and a controller that is woken
// before its time looks at the clock and waits again, as it must.
type virtual struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*virtualTimer]bool
}

var _ clock.WithDelayedExecution = (*virtual)(nil)

func newVirtual(now time.Time) *virtual {
	return &virtual{now: now, timers: map[*virtualTimer]bool{}}
}

// virtualTimer is either for a function or for a channel.
type virtualTimer struct {
	c    *virtual
	at   time.Time
	real *time.Timer
	f    func()
	ch   chan time.Time
}

func (c *virtual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *virtual) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// advance lets time pass.
func (c *virtual) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*virtualTimer
	for t := range c.timers {
		if !t.at.After(c.now) {
			due = append(due, t)
		}
	}
	c.mu.Unlock()
	for _, t := range due {
		t.fire()
	}
}

func (c *virtual) start(t *virtualTimer, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.c, t.at = c, c.now.Add(d)
	c.timers[t] = true
	t.real = time.AfterFunc(d, t.fire)
}

func (c *virtual) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &virtualTimer{f: f}
	c.start(t, d)
	return t
}

func (c *virtual) NewTimer(d time.Duration) clock.Timer {
	t := &virtualTimer{ch: make(chan time.Time, 1)}
	c.start(t, d)
	return t
}

func (c *virtual) After(d time.Duration) <-chan time.Time { return c.NewTimer(d).C() }
func (c *virtual) Sleep(d time.Duration)                  { <-c.After(d) }

// Tick implements clock.Clock: nothing here ticks.
func (c *virtual) Tick(time.Duration) <-chan time.Time { panic("no ticks") }

func (t *virtualTimer) fire() {
	if !t.Stop() {
		return
	}
	if t.ch != nil {
		select {
		case t.ch <- t.c.Now():
		default: // it was reset, and the last time is not taken yet
		}
		return
	}
	go t.f()
}

func (t *virtualTimer) C() <-chan time.Time { return t.ch }

func (t *virtualTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.c.timers[t]
	delete(t.c.timers, t)
	t.real.Stop()
	return was
}

func (t *virtualTimer) Reset(d time.Duration) bool {
	was := t.Stop()
	t.c.start(t, d)
	return was
}

// TestVirtualClock: nobody is woken before the clock, or real time, has got there.
func TestVirtualClock(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := newVirtual(begin)
	hour, stopped := c.NewTimer(time.Hour), c.NewTimer(time.Hour)
	stopped.Stop()
	c.advance(time.Hour - 1)
	select {
	case <-hour.C():
		t.Fatal("woken early")
	default:
	}
	c.advance(1)
	if at := <-hour.C(); !at.Equal(begin.Add(time.Hour)) {
		t.Errorf("woken at %v", at)
	}
	c.AfterFunc(time.Millisecond, func() { close(stopped.(*virtualTimer).ch) }) // real time passes
	if at, ok := <-stopped.C(); ok {
		t.Errorf("woken at %v though stopped", at)
	}
}
