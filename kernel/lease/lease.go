package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Registry is what an Elector needs of the registry.
type Registry interface {
	Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error)
	Create(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
	Update(ctx context.Context, t registry.Target, obj runtime.Object, o registry.WriteOptions) (*registry.Result, error)
}

// Times are those of a lease.
type Times struct {
	// Duration is how long nobody else takes a lease that is not renewed, in whole
	// seconds.
	Duration time.Duration
	// RenewDeadline is when a leader that cannot renew stops; what it stops has the
	// rest of Duration to end, less what clocks may run apart meanwhile, an eighth.
	RenewDeadline time.Duration
	// RetryEvery is between two renewals, and between two looks of who waits.
	RetryEvery time.Duration
}

// DefaultTimes are a server's: a leader that was killed is replaced within
// eighteen seconds.
var DefaultTimes = Times{Duration: 16 * time.Second, RenewDeadline: 8 * time.Second, RetryEvery: 2 * time.Second}

// Config is what an Elector is made of.
type Config struct {
	Registry Registry
	// Namespace and Name are the Lease object's.
	Namespace, Name string
	// Identity names this server, and no other that may run at the same time. A
	// lease that names it at the start is taken over at once: whoever held it as
	// this identity has ended.
	Identity string
	Times    Times // zero: DefaultTimes
	// Changed, which may be nil, tells that the Lease may have changed, so that
	// one that was released is not waited for.
	Changed <-chan struct{}
	Clock   clock.Clock  // nil is the real one
	Log     *slog.Logger // nil discards
}

// Elector takes a lease, keeps it and gives it back. It is safe for concurrent
// use.
type Elector struct {
	c     Config
	retry *backoff.Retry

	// Run's own: the Lease as last seen, and since when it has not changed.
	observed     *coordinationv1.Lease
	since        time.Time
	observedOnce bool             // a lease that names this server was its predecessor's
	taken        metav1.MicroTime // when this server took the lease

	mu     sync.Mutex
	leads  bool   // guarded by mu
	holder string // as last seen; guarded by mu
}

// New makes an Elector. Nothing is asked before Run.
func New(c Config) *Elector {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Times == (Times{}) {
		c.Times = DefaultTimes
	}
	return &Elector{c: c, retry: backoff.New(c.Times.RetryEvery, c.Times.RetryEvery)}
}

// Leads reports whether this server leads.
func (e *Elector) Leads() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leads
}

// Holder is the identity of who leads, as far as this server knows; "" when
// nobody does.
func (e *Elector) Holder() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holder
}

// ErrNotStopped: what a leader does went on for longer than its lease lasts, so
// that somebody else may have begun to do it too.
var ErrNotStopped = errors.New("the leader's work has not ended in time")

// Run takes the lease whenever it is free, and calls lead while it is held: lead
// must return when its ctx ends. Run returns when ctx ends, after it has given
// the lease back, or when lead fails.
//
// # Errors
//   - lead's, when ctx has not ended
//   - ErrNotStopped: the process must end
func (e *Elector) Run(ctx context.Context, lead func(ctx context.Context) error) error {
	for ctx.Err() == nil {
		from := e.c.Clock.Now()
		got, err := e.acquire(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			e.wait(ctx, e.retry.Failed(e.c.Log, "the lease of the leader is not to be had", err, "lease", e.c.Name))
		case !got:
			e.retry.Succeeded(e.c.Log)
			e.wait(ctx, e.c.Times.RetryEvery)
		default:
			e.retry.Succeeded(e.c.Log)
			if err := e.term(ctx, from, lead); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Elector) wait(ctx context.Context, d time.Duration) {
	t := e.c.Clock.NewTimer(backoff.Jitter(d))
	defer t.Stop()
	select {
	case <-t.C():
	case <-e.c.Changed:
	case <-ctx.Done():
	}
}

// term leads until the lease is lost or ctx ends; from is when it was asked for.
func (e *Elector) term(ctx context.Context, from time.Time, lead func(context.Context) error) error {
	e.c.Log.Info("this server leads", "lease", e.c.Name, "identity", e.c.Identity)
	e.setLeads(true)
	work, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- lead(work) }()
	last, err, ended := e.keep(ctx, from, done)
	if !ended {
		stop()
		err = e.stopped(last, done)
	}
	e.setLeads(false)
	if errors.Is(err, ErrNotStopped) {
		return err // nobody knows what it still does: the lease runs out
	}
	e.release(ctx)
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// keep renews until that fails for too long, ctx ends, or the work does. last is
// when the last good renewal was sent.
func (e *Elector) keep(ctx context.Context, from time.Time, done <-chan error) (last time.Time, err error, ended bool) {
	last = from
	for {
		t := e.c.Clock.NewTimer(min(e.c.Times.RetryEvery, e.c.Times.RenewDeadline-e.c.Clock.Since(last)))
		select {
		case <-t.C():
		case err := <-done:
			t.Stop()
			return last, err, true
		case <-ctx.Done():
			t.Stop()
			return last, nil, false
		}
		now := e.c.Clock.Now()
		if now.Sub(last) >= e.c.Times.RenewDeadline {
			e.c.Log.Error("this server leads no longer: its lease could not be renewed", "lease", e.c.Name, "for", now.Sub(last))
			return last, nil, false
		}
		lost, err := e.renew(ctx, e.c.Times.RenewDeadline-now.Sub(last))
		switch {
		case ctx.Err() != nil:
			return last, nil, false
		case lost:
			e.c.Log.Error("this server leads no longer: somebody else took its lease", "lease", e.c.Name, "holder", e.Holder())
			return last, nil, false
		case err != nil:
			_ = e.retry.Failed(e.c.Log, "the lease of the leader is not renewed", err, "lease", e.c.Name) // the deadline decides
		default:
			e.retry.Succeeded(e.c.Log)
			last = now
		}
	}
}

// drift is by how much of a lease's duration the clocks of two servers may run
// apart while it lasts, and how long a process may take to end.
const drift = 8

// stopped waits for the work to end, as long as nobody else can begin.
func (e *Elector) stopped(last time.Time, done <-chan error) error {
	t := e.c.Clock.NewTimer(e.c.Times.Duration - e.c.Times.Duration/drift - e.c.Clock.Since(last))
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C():
		return fmt.Errorf("%w: %s", ErrNotStopped, e.c.Name)
	}
}

func (e *Elector) setLeads(v bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leads = v
	if v {
		e.holder = e.c.Identity
	}
}

func (e *Elector) target() registry.Target {
	return registry.Target{Resource: coordinationv1.SchemeGroupVersion.WithResource("leases"), Namespace: e.c.Namespace, Name: e.c.Name}
}

// get reads the Lease, and notes since when it has been as it is; nil: there is
// none.
func (e *Elector) get(ctx context.Context) (*coordinationv1.Lease, error) {
	o, err := e.c.Registry.Get(ctx, e.target(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		e.observe(nil)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, ok := o.Obj.(*coordinationv1.Lease)
	if !ok {
		return nil, fmt.Errorf("lease %s is a %T", e.c.Name, o.Obj)
	}
	e.observe(l)
	return l, nil
}

func (e *Elector) observe(l *coordinationv1.Lease) {
	if e.observed == nil || l == nil || l.ResourceVersion != e.observed.ResourceVersion {
		e.since = e.c.Clock.Now()
	}
	e.observed = l
	e.mu.Lock()
	defer e.mu.Unlock()
	e.holder = holderOf(l)
}

func holderOf(l *coordinationv1.Lease) string {
	if l == nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// acquire takes the lease if it is free; false: somebody else has it.
func (e *Elector) acquire(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.c.Times.RenewDeadline)
	defer cancel()
	l, err := e.get(ctx)
	if err != nil {
		return false, err
	}
	first := !e.observedOnce
	e.observedOnce = true
	holder := holderOf(l)
	// It is this server's when a process of it had the lease before, or when it
	// took the lease itself and the answer was lost. It writes it once more then:
	// the others count from what they saw of the write before.
	own := first && holder == e.c.Identity || e.mine(l)
	if holder != "" && !own && e.c.Clock.Since(e.since) < lasts(l) {
		return false, nil
	}
	now := metav1.NewMicroTime(e.c.Clock.Now().Truncate(time.Microsecond)) // as it is stored
	next := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.c.Namespace, Name: e.c.Name}}
	if l != nil {
		next = l.DeepCopy()
	}
	turns := int32(0)
	if l != nil && l.Spec.LeaseTransitions != nil {
		turns = *l.Spec.LeaseTransitions
	}
	if l != nil && holder != e.c.Identity {
		turns++
	}
	seconds, identity := int32(e.c.Times.Duration/time.Second), e.c.Identity
	e.taken = now
	next.Spec = coordinationv1.LeaseSpec{HolderIdentity: &identity, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &turns}
	return e.write(ctx, next, l == nil)
}

// mine tells whether a lease is as this server took it, rather than another, even
// one of the same identity.
func (e *Elector) mine(l *coordinationv1.Lease) bool {
	return l != nil && holderOf(l) == e.c.Identity && l.Spec.AcquireTime != nil && l.Spec.AcquireTime.Equal(&e.taken)
}

// lasts is how long a lease holds for who has it.
func lasts(l *coordinationv1.Lease) time.Duration {
	if l.Spec.LeaseDurationSeconds == nil {
		return DefaultTimes.Duration
	}
	return time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
}

// renew writes the lease once more, within a time. lost: somebody else wrote it.
func (e *Elector) renew(ctx context.Context, within time.Duration) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for range 2 {
		next := e.observed.DeepCopy()
		now := metav1.NewMicroTime(e.c.Clock.Now())
		next.Spec.RenewTime = &now
		ok, err := e.write(ctx, next, false)
		if ok || err != nil {
			return false, err
		}
		// It is not as it was left: by somebody else, or by a write of this
		// server's own whose answer was lost.
		l, err := e.get(ctx)
		if err != nil {
			return false, err
		}
		if !e.mine(l) {
			return true, nil
		}
	}
	return false, errors.New("it changes all the time")
}

// write stores the lease as it should be; false: somebody was quicker.
func (e *Elector) write(ctx context.Context, l *coordinationv1.Lease, create bool) (bool, error) {
	t := e.target()
	var r *registry.Result
	var err error
	if create {
		t.Name = ""
		r, err = e.c.Registry.Create(ctx, t, l, registry.WriteOptions{FieldManager: "pintle"})
	} else {
		r, err = e.c.Registry.Update(ctx, t, l, registry.WriteOptions{FieldManager: "pintle"})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	written, ok := r.Object.Obj.(*coordinationv1.Lease)
	if !ok {
		return false, fmt.Errorf("lease %s is a %T", e.c.Name, r.Object.Obj)
	}
	e.observe(written)
	return true, nil
}

// releaseTimeout bounds how long a server that stops waits for the store.
const releaseTimeout = time.Second

// release gives the lease back, so that nobody has to wait for it.
func (e *Elector) release(ctx context.Context) {
	if !e.mine(e.observed) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	next := e.observed.DeepCopy()
	now, nobody := metav1.NewMicroTime(e.c.Clock.Now()), ""
	next.Spec.HolderIdentity, next.Spec.RenewTime = &nobody, &now
	if _, err := e.write(ctx, next, false); err != nil {
		e.c.Log.Warn("the lease of the leader is not released: it runs out", "lease", e.c.Name, "error", err)
	}
}
