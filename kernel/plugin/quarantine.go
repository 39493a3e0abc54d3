package plugin

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// ErrQuarantined: the plugin failed too often and is not asked for a while.
var ErrQuarantined = errors.New("plugin is quarantined")

// QuarantinePolicy says when a plugin that fails is left alone, and for how
// long. The zero value takes the defaults.
type QuarantinePolicy struct {
	Faults int           // this many within Window; 0 is 3
	Window time.Duration // 0 is a minute
	First  time.Duration // the first time; 0 is 10 seconds. It doubles.
	Max    time.Duration // 0 is 10 minutes
}

func (p QuarantinePolicy) withDefaults() QuarantinePolicy {
	if p.Faults == 0 {
		p.Faults = 3
	}
	if p.Window == 0 {
		p.Window = time.Minute
	}
	if p.First == 0 {
		p.First = 10 * time.Second
	}
	if p.Max == 0 {
		p.Max = 10 * time.Minute
	}
	return p
}

// For fits the policy to a plugin whose calls may take that long: who loops
// until his deadline does so seldom, and Faults of them must fit in the window
// even when each is followed by a pause as long as the call.
func (p QuarantinePolicy) For(timeout time.Duration) QuarantinePolicy {
	p = p.withDefaults()
	p.Window = max(p.Window, 2*time.Duration(p.Faults)*timeout)
	return p
}

// Quarantine counts the faults of one plugin. It is safe for concurrent use.
type Quarantine struct {
	policy QuarantinePolicy
	clock  clock.PassiveClock

	shut atomic.Bool // until may lie ahead; else Check need not look

	mu     sync.Mutex // guards the rest
	faults []time.Time
	until  time.Time
	length time.Duration // of the last quarantine
	last   error
}

// NewQuarantine makes one; a nil clock is the real one.
func NewQuarantine(p QuarantinePolicy, c clock.PassiveClock) *Quarantine {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Quarantine{policy: p.withDefaults(), clock: c}
}

// Fault notes a fault and reports whether it begins a quarantine.
func (q *Quarantine) Fault(err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	q.last = err
	if now.Before(q.until) {
		return false
	}
	// A plugin that held for two full lengths after its release starts anew.
	if q.length > 0 && now.Sub(q.until) > 2*max(q.length, q.policy.Window) {
		q.length = 0
	}
	recent := q.faults[:0]
	for _, t := range q.faults {
		if now.Sub(t) < q.policy.Window {
			recent = append(recent, t)
		}
	}
	q.faults = append(recent, now)
	if len(q.faults) < q.policy.Faults {
		return false
	}
	q.faults = q.faults[:0]
	q.length = min(max(2*q.length, q.policy.First), q.policy.Max)
	q.until = now.Add(q.length)
	q.shut.Store(true)
	return true
}

// Check is nil when the plugin may be asked, else an ErrQuarantined that says
// until when and why.
func (q *Quarantine) Check() error {
	if !q.shut.Load() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.until.Sub(q.clock.Now())
	if left > 0 {
		return fmt.Errorf("%w for another %s after %w", ErrQuarantined, left.Round(time.Second), q.last)
	}
	q.shut.Store(false)
	return nil
}

// Until is when the quarantine ends; zero or past when there is none.
func (q *Quarantine) Until() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.until
}

// LastFault is the last fault; nil when there was none.
func (q *Quarantine) LastFault() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last
}
