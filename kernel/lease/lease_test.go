package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

var leases = schema.GroupResource{Group: coordinationv1.GroupName, Resource: "leases"}

// store is a Lease that several servers write.
type store struct {
	mu    sync.Mutex
	lease *coordinationv1.Lease
	rev   int64
}

func (s *store) put(l *coordinationv1.Lease) *watch.Object {
	s.rev++
	s.lease = l.DeepCopy()
	s.lease.ResourceVersion = strconv.FormatInt(s.rev, 10)
	return &watch.Object{Revision: s.rev, Obj: s.lease}
}

// link is one server's way to the store, which may be cut.
type link struct {
	s    *store
	mu   sync.Mutex
	cut  bool // nothing arrives
	deaf bool // what arrives is not answered
	lost bool // what is written is not answered
}

func (l *link) set(cut, deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.deaf = cut, deaf
}

var errCut = errors.New("no route to the store")

// loses makes the answers to writes be lost, or not any more.
func (l *link) loses(v bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = v
}

func (l *link) write(ctx context.Context, f func() (*watch.Object, error)) (*watch.Object, error) {
	o, err := l.do(ctx, f)
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	if lost {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return o, err
}

func (l *link) do(ctx context.Context, f func() (*watch.Object, error)) (*watch.Object, error) {
	l.mu.Lock()
	cut, deaf := l.cut, l.deaf
	l.mu.Unlock()
	if cut {
		return nil, errCut
	}
	l.s.mu.Lock()
	o, err := f()
	l.s.mu.Unlock()
	if deaf {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return o, err
}

func (l *link) Get(ctx context.Context, t registry.Target, _ metav1.GetOptions) (*watch.Object, error) {
	return l.do(ctx, func() (*watch.Object, error) {
		if l.s.lease == nil {
			return nil, apierrors.NewNotFound(leases, t.Name)
		}
		return &watch.Object{Revision: l.s.rev, Obj: l.s.lease}, nil
	})
}

func (l *link) Create(ctx context.Context, t registry.Target, obj runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
	o, err := l.write(ctx, func() (*watch.Object, error) {
		if l.s.lease != nil {
			return nil, apierrors.NewAlreadyExists(leases, t.Name)
		}
		return l.s.put(obj.(*coordinationv1.Lease)), nil
	})
	return &registry.Result{Object: o}, err
}

func (l *link) Update(ctx context.Context, t registry.Target, obj runtime.Object, _ registry.WriteOptions) (*registry.Result, error) {
	o, err := l.write(ctx, func() (*watch.Object, error) {
		if next := obj.(*coordinationv1.Lease); l.s.lease.ResourceVersion == next.ResourceVersion {
			return l.s.put(next), nil
		}
		return nil, apierrors.NewConflict(leases, t.Name, nil)
	})
	return &registry.Result{Object: o}, err
}

// skewed is a clock that is wrong by a while.
type skewed struct {
	clock.RealClock
	by time.Duration
}

func (c skewed) Now() time.Time                         { return time.Now().Add(c.by) }
func (c skewed) Since(t time.Time) time.Duration        { return c.Now().Sub(t) }
func (c skewed) After(d time.Duration) <-chan time.Time { return time.After(d) }

// record is who led when, in seconds since the test began.
type record struct {
	mu    sync.Mutex
	start time.Time
	lines []string
	now   map[string]bool
	twice bool
}

func (r *record) enter(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[name] = true
	r.twice = r.twice || len(r.now) > 1
	r.lines = append(r.lines, fmt.Sprintf("%s from %.0fs", name, time.Since(r.start).Seconds()))
}

func (r *record) leave(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, name)
	r.lines = append(r.lines, fmt.Sprintf("%s to %.0fs", name, time.Since(r.start).Seconds()))
}

// server is an elector at work.
type server struct {
	*link
	*lease.Elector
	stop context.CancelFunc
	err  chan error
}

// serve starts a server. What it leads takes a while to end.
func (r *record) serve(s *store, identity string, c clock.Clock, ending time.Duration) *server {
	x := &server{link: &link{s: s}, err: make(chan error, 1)}
	x.Elector = lease.New(lease.Config{Registry: x.link, Namespace: "kube-system", Name: "leader", Identity: identity, Clock: c})
	ctx, stop := context.WithCancel(context.Background())
	x.stop = stop
	go func() {
		x.err <- x.Run(ctx, func(ctx context.Context) error {
			r.enter(identity)
			defer r.leave(identity)
			<-ctx.Done()
			time.Sleep(ending)
			return nil
		})
	}()
	return x
}

// within runs a test on the clock of a bubble and compares who led when; times
// may be later by the jitter of what waits.
func within(t *testing.T, f func(t *testing.T, r *record, s *store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &record{start: time.Now(), now: map[string]bool{}}
		f(t, r, &store{})
		if r.twice {
			t.Errorf("two led at the same time: %v", r.lines)
		}
	})
}

func after(d time.Duration) { time.Sleep(d); synctest.Wait() }

func (r *record) leads(t *testing.T, what string, a, b bool, servers ...*server) {
	t.Helper()
	for i, want := range []bool{a, b} {
		if i < len(servers) && servers[i].Leads() != want {
			t.Errorf("%s: server %d leads: %v, want %v (%v)", what, i, servers[i].Leads(), want, r.lines)
		}
	}
}

func (x *server) end(t *testing.T) {
	t.Helper()
	x.stop()
	if err := <-x.err; err != nil {
		t.Error(err)
	}
}

func TestOneServerLeadsAtOnce(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		a := r.serve(s, "a", nil, 0)
		synctest.Wait()
		r.leads(t, "at once", true, false, a)
		after(time.Hour)
		r.leads(t, "an hour later", true, false, a)
		a.end(t)
		if got := *s.lease.Spec.HolderIdentity; got != "" {
			t.Errorf("it ended, and %q holds the lease", got)
		}
	})
}

func TestHandOver(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		a := r.serve(s, "a", nil, 3*time.Second)
		synctest.Wait()
		b := r.serve(s, "b", skewed{by: 24 * time.Hour}, 0) // clocks need not agree
		after(time.Minute)
		r.leads(t, "with two", true, false, a, b)
		if b.Holder() != "a" {
			t.Errorf("b believes that %q leads", b.Holder())
		}
		a.end(t)
		after(lease.DefaultTimes.RetryEvery)
		r.leads(t, "after the first has ended", false, true, a, b)
		if got := *s.lease.Spec.LeaseTransitions; got != 1 {
			t.Errorf("%d transitions, want 1", got)
		}
		b.end(t)
	})
}

// TestLostAnswer: a lease that was taken, and whose answer was lost, is not waited
// for by the server that took it.
func TestLostAnswer(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		b := r.serve(s, "b", nil, 0)
		synctest.Wait()
		a := r.serve(s, "a", nil, 0)
		after(lease.DefaultTimes.RetryEvery)
		a.loses(true)
		b.end(t)
		after(lease.DefaultTimes.RetryEvery + time.Second)
		if got := holderOf(s); got != "a" {
			t.Fatalf("%q holds the lease", got)
		}
		r.leads(t, "without an answer", false, false, a)
		a.loses(false)
		after(lease.DefaultTimes.RenewDeadline + 2*lease.DefaultTimes.RetryEvery) // the request times out, and is tried again
		r.leads(t, "answered again", true, false, a)
		if got := *s.lease.Spec.LeaseTransitions; got != 1 {
			t.Errorf("%d transitions, want 1", got)
		}
		a.end(t)
	})
}

func holderOf(s *store) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.lease.Spec.HolderIdentity
}

// TestPartition: who cannot reach the store stops before anybody else begins.
func TestPartition(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			within(t, func(t *testing.T, r *record, s *store) {
				a := r.serve(s, "a", skewed{by: -time.Hour}, 4*time.Second)
				synctest.Wait()
				b := r.serve(s, "b", skewed{by: time.Hour}, 0)
				after(10 * time.Second)
				a.set(!deaf, deaf)
				after(lease.DefaultTimes.Duration + 4*lease.DefaultTimes.RetryEvery) // the last renewal may have arrived
				r.leads(t, "cut off", false, true, a, b)
				a.set(false, false)
				after(time.Minute)
				r.leads(t, "healed", false, true, a, b)
				b.stop()
				<-b.err
				after(lease.DefaultTimes.RetryEvery)
				r.leads(t, "the other ended", true, false, a, b)
				a.end(t)
			})
		})
	}
}

// TestShortOutage: a store that is away for less than the deadline changes
// nothing.
func TestShortOutage(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		a := r.serve(s, "a", nil, 0)
		after(10 * time.Second)
		a.set(true, false)
		after(lease.DefaultTimes.RenewDeadline - 2*lease.DefaultTimes.RetryEvery)
		a.set(false, false)
		after(time.Minute)
		if len(r.lines) != 1 {
			t.Errorf("%v, want one term", r.lines)
		}
		a.end(t)
	})
}

// TestStuckWorkEndsTheServer: what does not stop in time must not go on beside
// another leader's.
func TestStuckWorkEndsTheServer(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		a := r.serve(s, "a", nil, lease.DefaultTimes.Duration)
		after(10 * time.Second)
		cut := time.Now()
		a.set(true, false)
		if err := <-a.err; !errors.Is(err, lease.ErrNotStopped) {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(cut); took >= lease.DefaultTimes.Duration {
			t.Errorf("it ended after %s: another may lead since %s", took, lease.DefaultTimes.Duration)
		}
		after(time.Minute)
	})
}

// TestSameIdentityAfterAKill: the next process of a server does not wait for the
// lease of the one before; another server does.
func TestSameIdentityAfterAKill(t *testing.T) {
	held := func() *store {
		s := &store{}
		identity, seconds, now := "a", int32(16), metav1.NowMicro()
		s.put(&coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &identity, LeaseDurationSeconds: &seconds, RenewTime: &now, AcquireTime: &now}})
		return s
	}
	within(t, func(t *testing.T, r *record, _ *store) {
		a := r.serve(held(), "a", nil, 0)
		synctest.Wait()
		r.leads(t, "at once", true, false, a)
		a.end(t)
		b := r.serve(held(), "b", nil, 0)
		after(lease.DefaultTimes.Duration - time.Second)
		r.leads(t, "before the lease has run out", false, false, b)
		after(lease.DefaultTimes.RetryEvery + time.Second)
		r.leads(t, "after it", true, false, b)
		b.end(t)
	})
}

// TestTheSameIdentityTwice: a data directory that was copied does not make two
// leaders for longer than it takes to renew.
func TestTheSameIdentityTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := &record{start: time.Now(), now: map[string]bool{}}, &store{}
		a := r.serve(s, "a", nil, 0)
		after(10 * time.Second)
		b := r.serve(s, "a", nil, 0)
		after(lease.DefaultTimes.RetryEvery)
		r.leads(t, "the copy", false, true, a, b)
		after(time.Minute)
		r.leads(t, "later", false, true, a, b)
		a.end(t)
		b.end(t)
	})
}

func TestWorkThatFailsEndsTheServer(t *testing.T) {
	within(t, func(t *testing.T, r *record, s *store) {
		l := &link{s: s}
		e := lease.New(lease.Config{Registry: l, Name: "leader", Identity: "a"})
		failed := errors.New("failed")
		if err := e.Run(t.Context(), func(context.Context) error { return failed }); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
		if got := *s.lease.Spec.HolderIdentity; got != "" {
			t.Errorf("%q holds the lease", got)
		}
	})
}
