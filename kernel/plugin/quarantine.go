package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/sdk/wire"
)

// ErrQuarantined: the plugin failed too often and is not asked for a while, by
// anybody or for objects of one namespace.
var ErrQuarantined = errors.New("plugin is quarantined")

// QuarantinePolicy says when a plugin that fails is left alone, and for how
// long. The zero value takes the defaults.
// RATIONALE.md: "Why do a plugin's faults count by namespace?"
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

// maxNamespaces bounds what is remembered of namespaces; faults for more than
// these count as the plugin's own.
const maxNamespaces = 4096

// Quarantine counts the faults of one plugin and says who may ask it. It is
// safe for concurrent use.
//
// An object can be made so that a plugin faults on it, and whoever may create
// one must not take the plugin away from everybody else. So faults count by the
// namespace of the object (see ForNamespace), and the namespace is what is left
// out. The plugin itself is quarantined when nothing speaks for it: its last
// faults of one operation came in a row, with no good answer between, or had
// nothing to do with any object. Even then a namespace without faults may ask;
// one good answer for it lifts the quarantine, and each that fails makes the
// next such try wait longer.
type Quarantine struct {
	policy QuarantinePolicy
	clock  clock.PassiveClock
	noted  atomic.Bool // there are faults to remember; without, nothing is looked at

	mu     sync.Mutex // guards the rest
	whole  record
	by     map[string]*record // of namespaces
	inARow map[wire.Op]int    // faults since the last good answer
	// Of a quarantine that began with faults for namespaces: the operation, and
	// when another namespace without faults may try.
	probed     bool
	op         wire.Op
	probeAt    time.Time
	probePause time.Duration
	last       error
	pruned     time.Time
}

// record is what one namespace, or the plugin, has to its account.
type record struct {
	faults []time.Time
	until  time.Time
	length time.Duration // of the last quarantine
	last   error
}

// Fault is one fault of a plugin.
type Fault struct {
	Err error
	// Namespace of the object that the plugin was asked about; "" when there is
	// none.
	Namespace string
	Op        wire.Op
	// Quarantined tells whom the fault put into quarantine, until when.
	Quarantined Scope
	Until       time.Time
}

// Scope of a quarantine.
type Scope uint8

// The scopes.
const (
	Nobody       Scope = iota
	OneNamespace       // the fault's
	Everybody
)

// NewQuarantine makes one; a nil clock is the real one.
func NewQuarantine(p QuarantinePolicy, c clock.PassiveClock) *Quarantine {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Quarantine{policy: p.withDefaults(), clock: c, by: map[string]*record{}, inARow: map[wire.Op]int{}}
}

type namespaceKey struct{}

// ForNamespace says about which namespace's object a plugin is asked, so that
// its faults count against that namespace and not against everybody.
func ForNamespace(ctx context.Context, namespace string) context.Context {
	if namespace == "" {
		return ctx
	}
	return context.WithValue(ctx, namespaceKey{}, namespace)
}

// NamespaceOf is what ForNamespace said; "" when nothing.
func NamespaceOf(ctx context.Context) string {
	s, _ := ctx.Value(namespaceKey{}).(string)
	return s
}

// Fault notes a fault of op and fills in what it brings about.
func (q *Quarantine) Fault(f Fault) Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noted.Store(true)
	now := q.clock.Now()
	q.prune(now)
	q.last = f.Err
	r := q.by[f.Namespace]
	if f.Namespace == "" || r == nil && len(q.by) >= maxNamespaces {
		if q.whole.fault(now, f.Err, q.policy) {
			q.probed = false
			f.Quarantined, f.Until = Everybody, q.whole.until
		}
		return f
	}
	first := r == nil
	if first {
		r = &record{}
		q.by[f.Namespace] = r
	}
	if r.fault(now, f.Err, q.policy) {
		f.Quarantined, f.Until = OneNamespace, r.until
	}
	q.inARow[f.Op]++
	switch {
	case now.Before(q.whole.until):
		if first && q.probed {
			q.probePause = min(max(2*q.probePause, time.Second), q.policy.Max)
			q.probeAt = now.Add(q.probePause)
		}
	case q.inARow[f.Op] >= q.policy.Faults:
		q.whole.begin(now, f.Err, q.policy)
		q.probed, q.op, q.probeAt, q.probePause = true, f.Op, now, 0
		f.Quarantined, f.Until = Everybody, q.whole.until
	}
	return f
}

// Good notes a good answer to op.
func (q *Quarantine) Good(op wire.Op) {
	if !q.noted.Load() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.inARow, op)
	now := q.clock.Now()
	if q.probed && q.op == op && now.Before(q.whole.until) {
		q.whole.until = now
	}
	if now.Sub(q.pruned) >= time.Second {
		q.prune(now)
	}
	q.noted.Store(len(q.by) > 0 || len(q.inARow) > 0 || !q.whole.stale(now, q.policy))
}

// Check is nil when the plugin may be asked about an object of the namespace,
// else an ErrQuarantined that says until when and why.
func (q *Quarantine) Check(namespace string) error {
	if !q.noted.Load() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	r := q.by[namespace]
	if r != nil && now.Before(r.until) {
		//nolint:errorlint // callers must not take it for the fault behind it
		return fmt.Errorf("%w for namespace %s until %s after %v", ErrQuarantined, namespace, r.end(), r.last)
	}
	if !now.Before(q.whole.until) || q.probed && namespace != "" && r == nil && !now.Before(q.probeAt) {
		return nil
	}
	//nolint:errorlint // as above
	return fmt.Errorf("%w until %s after %v", ErrQuarantined, q.whole.end(), q.whole.last)
}

// check is Check for the namespace of ctx, which is looked for only when there
// is something to check.
func (q *Quarantine) check(ctx context.Context) error {
	if !q.noted.Load() {
		return nil
	}
	return q.Check(NamespaceOf(ctx))
}

// Until is when the quarantine of the plugin ends; zero or past when there is
// none.
func (q *Quarantine) Until() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.whole.until
}

// Namespaces lists, in order, those that are left out now.
func (q *Quarantine) Namespaces() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	var out []string
	for name, r := range q.by {
		if now.Before(r.until) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// LastFault is the last fault; nil when there was none.
func (q *Quarantine) LastFault() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last
}

// prune forgets namespaces whose faults are long past. q.mu is held.
func (q *Quarantine) prune(now time.Time) {
	q.pruned = now
	for name, r := range q.by {
		if r.stale(now, q.policy) {
			delete(q.by, name)
		}
	}
}

// fault counts one and reports whether it begins a quarantine.
func (r *record) fault(now time.Time, err error, p QuarantinePolicy) bool {
	if now.Before(r.until) {
		r.last = err
		return false
	}
	r.faults = slices.DeleteFunc(r.faults, func(t time.Time) bool { return now.Sub(t) >= p.Window })
	r.faults = append(r.faults, now)
	if len(r.faults) < p.Faults {
		r.last = err
		return false
	}
	r.begin(now, err, p)
	return true
}

func (r *record) begin(now time.Time, err error, p QuarantinePolicy) {
	if r.rehabilitated(now, p) {
		r.length = 0
	}
	r.last, r.faults = err, r.faults[:0]
	r.length = min(max(2*r.length, p.First), p.Max)
	r.until = now.Add(r.length)
}

// rehabilitated: who held for two full lengths after the release starts anew.
func (r *record) rehabilitated(now time.Time, p QuarantinePolicy) bool {
	return r.length == 0 || now.Sub(r.until) > 2*max(r.length, p.Window)
}

func (r *record) stale(now time.Time, p QuarantinePolicy) bool {
	for _, t := range r.faults {
		if now.Sub(t) < p.Window {
			return false
		}
	}
	return !now.Before(r.until) && r.rehabilitated(now, p)
}

// end is for messages: a moment, since a message that counts down is another
// one each time that it is written.
func (r *record) end() string { return r.until.UTC().Format(time.RFC3339) }
