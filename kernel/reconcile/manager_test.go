package reconcile

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/sdk/wire"
)

// untold is the registry of controllers that ask nothing of it.
type untold struct{ registry.Registry }

// newManager runs a manager on a kit.
func newManager(t *testing.T, k *kit) *Manager {
	t.Helper()
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t *testing.T, m *Manager) {
	registrytest.Background(t, func(ctx context.Context) {
		if err := m.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// recorder is a controller of config maps that notes what it reconciles.
type recorder struct {
	mu     sync.Mutex
	seen   map[string]int // guarded by mu
	opened atomic.Int32
	closed atomic.Int32
	wide   atomic.Int32 // requests without a namespace
	answer func(name string) ([]byte, error)
	maps   []wire.Watch
	calls  atomic.Int32 // told by Called
}

func newRecorder() *recorder {
	return &recorder{seen: map[string]int{}, maps: []wire.Watch{{Resource: "v1/configmaps"}},
		answer: func(string) ([]byte, error) { return wire.AppendReconcileResult(nil, 0, nil), nil }}
}

func (r *recorder) times(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[name]
}

func (r *recorder) controller(workers uint32) Controller {
	return Controller{Registry: untold{}, Called: func(time.Duration, error) { r.calls.Add(1) },
		Open: func(context.Context, HostCall) (plugin.Instance, error) {
			r.opened.Add(1)
			return &fake{manifest: wire.Manifest{Workers: workers, Watches: r.maps}, closed: func() { r.closed.Add(1) },
				call: func(_ context.Context, _ wire.Op, req []byte) ([]byte, error) {
					q := wire.NewReader(req).Request()
					r.mu.Lock()
					r.seen[q.Name]++
					if q.Namespace == "" {
						r.wide.Add(1)
					}
					r.mu.Unlock()
					return r.answer(q.Name)
				}}, nil
		}}
}

func TestManagerSetsAndRemoves(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	k.config(t, "first")
	early, late := newRecorder(), newRecorder()
	if err := m.Set("early", early.controller(2)); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	registrytest.Eventually(t, "set before Run", func() bool { return early.times("first") == 1 })
	if err := m.Set("late", late.controller(1)); err != nil {
		t.Fatal(err)
	}
	registrytest.Eventually(t, "set while it runs", func() bool { return late.times("first") == 1 })
	if !m.Remove("early") || m.Remove("early") {
		t.Error("Remove does not say whether there was one")
	}
	if early.opened.Load() != early.closed.Load() {
		t.Errorf("%d instances opened, %d closed", early.opened.Load(), early.closed.Load())
	}
	k.config(t, "second")
	registrytest.Eventually(t, "the other goes on", func() bool { return late.times("second") == 1 })
	if early.times("second") != 0 {
		t.Error("a controller that was removed still works")
	}
	if err := m.Set("bad", Controller{}); err == nil {
		t.Error("a controller without Open is accepted")
	}
}

// Removing waits for the work in hand and does not break it off.
func TestRemoveWaits(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	k.config(t, "slow")
	r := newRecorder()
	began, let := make(chan struct{}), make(chan struct{})
	var broken, ended atomic.Bool
	c := r.controller(1)
	open := c.Open
	c.Open = func(ctx context.Context, host HostCall) (plugin.Instance, error) {
		inst, err := open(ctx, host)
		inst.(*fake).call = func(ctx context.Context, _ wire.Op, req []byte) ([]byte, error) {
			close(began)
			<-let
			broken.Store(ctx.Err() != nil)
			ended.Store(true)
			return wire.AppendReconcileResult(nil, 0, nil), nil
		}
		return inst, err
	}
	if err := m.Set("slow", c); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	<-began
	time.AfterFunc(50*time.Millisecond, func() { close(let) })
	next := newRecorder()
	if err := m.Set("slow", next.controller(1)); err != nil {
		t.Fatal(err)
	}
	if !ended.Load() || broken.Load() {
		t.Errorf("replaced with the work in hand ended %v, broken off %v", ended.Load(), broken.Load())
	}
	registrytest.Eventually(t, "the new one works", func() bool { return next.times("slow") == 1 })
}

func TestSetByMany(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	run(t, m)
	var all []*recorder
	var group sync.WaitGroup
	for range 20 {
		r := newRecorder()
		all = append(all, r)
		group.Go(func() { _ = m.Set("same", r.controller(1)) })
	}
	group.Wait()
	k.config(t, "c")
	registrytest.Eventually(t, "one of them works", func() bool {
		n := 0
		for _, r := range all {
			n += r.times("c")
		}
		return n == 1
	})
}

func TestFaultReplacesInstance(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	r := newRecorder()
	var calls atomic.Int32
	ok := r.answer
	r.answer = func(name string) ([]byte, error) {
		if calls.Add(1) <= 2 {
			return nil, wire.Errorf(wire.KindTrap, "panic")
		}
		return ok(name)
	}
	if err := m.Set("shaky", r.controller(1)); err != nil {
		t.Fatal(err)
	}
	k.config(t, "c")
	run(t, m)
	registrytest.Eventually(t, "reconciled in the end", func() bool { return r.times("c") == 3 })
	registrytest.Eventually(t, "counted", func() bool { return r.calls.Load() == 3 })
	if opened, closed := r.opened.Load(), r.closed.Load(); opened != 3 || closed != 2 {
		t.Errorf("%d instances opened, %d closed, want 3 and 2", opened, closed)
	}
}

// An instance is given up when nothing comes for it; the next request opens
// another.
func TestIdleInstance(t *testing.T) {
	k := newKit(t)
	clock := clocktesting.NewFakeClock(time.Now())
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	if err := m.Set("small", r.controller(1)); err != nil {
		t.Fatal(err)
	}
	k.config(t, "a")
	run(t, m)
	registrytest.Eventually(t, "reconciled", func() bool { return r.times("a") == 1 })
	k.config(t, "b")
	registrytest.Eventually(t, "reconciled by the same", func() bool { return r.times("b") == 1 })
	if n := r.opened.Load(); n != 1 {
		t.Errorf("%d instances opened, one was there", n)
	}
	registrytest.Eventually(t, "given up", func() bool { clock.Step(idleGuest); return r.closed.Load() == 1 })
	if n := r.opened.Load(); n != 1 {
		t.Errorf("%d instances opened, nothing was to be done", n)
	}
	k.config(t, "c")
	registrytest.Eventually(t, "reconciled by the next", func() bool { return r.times("c") == 1 && r.opened.Load() == 2 })
}

// An instance that something comes back to is not idle, however long that takes
// if it is its controller's only one: the node controller's memory of when it saw a
// node last is such an instance's.
func TestInstanceIsKeptForWhatComesBack(t *testing.T) {
	k := newKit(t)
	clock := clocktesting.NewFakeClock(time.Now())
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Clock: ownGoroutine{clock}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	r.answer = func(name string) ([]byte, error) {
		if r.times(name) == 1 {
			return wire.AppendReconcileResult(nil, 10*idleGuest, nil), nil
		}
		return wire.AppendReconcileResult(nil, 0, nil), nil
	}
	if err := m.Set("remembers", r.controller(1)); err != nil {
		t.Fatal(err)
	}
	k.config(t, "a")
	run(t, m)
	registrytest.Eventually(t, "reconciled", func() bool { return r.times("a") == 1 })
	registrytest.Eventually(t, "came back", func() bool { clock.Step(idleGuest / 4); return r.times("a") == 2 })
	if n := r.opened.Load(); n != 1 {
		t.Errorf("%d instances opened, want the first to be kept", n)
	}
	registrytest.Eventually(t, "given up", func() bool { clock.Step(idleGuest); return r.closed.Load() == 1 })
}

// A delay counts from what the controller was told is now, not from when it answered: time
// that passes meanwhile has passed.
func TestDelayCountsFromNow(t *testing.T) {
	k := newKit(t)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakeClock(begin)
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Clock: ownGoroutine{clock}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	r.answer = func(name string) ([]byte, error) {
		if r.times(name) > 1 {
			return wire.AppendReconcileResult(nil, 0, nil), nil
		}
		clock.Step(6 * time.Second)
		return wire.AppendReconcileResult(nil, 5*time.Minute, nil), nil
	}
	if err := m.Set("slow", r.controller(1)); err != nil {
		t.Fatal(err)
	}
	k.config(t, "a")
	run(t, m)
	queue := func() *Queue {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.running["slow"].queue
	}
	registrytest.Eventually(t, "to come back", func() bool {
		if r.times("a") == 0 {
			return false // the manager may not run yet
		}
		q := queue()
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.timers.Len() == 1
	})
	clock.Step(5*time.Minute - 6*time.Second)
	registrytest.Eventually(t, "came back", func() bool { return r.times("a") == 2 })
}

// ownGoroutine calls timers' functions in goroutines of their own, as the real
// clock does: the fake one's hold its lock.
type ownGoroutine struct{ *clocktesting.FakeClock }

func (c ownGoroutine) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.FakeClock.AfterFunc(d, func() { go f() })
}

// Several workers are for a storm: when it is over, no instance is left, even if
// something is to come back.
func TestIdleInstances(t *testing.T) {
	k := newKit(t)
	clock := clocktesting.NewFakeClock(time.Now())
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	var calls atomic.Int64
	var three sync.WaitGroup // at once, each in an instance of its own
	three.Add(3)
	r.answer = func(string) ([]byte, error) {
		if calls.Add(1) <= 3 {
			three.Done()
			three.Wait()
		}
		return wire.AppendReconcileResult(nil, time.Hour, nil), nil
	}
	if err := m.Set("many", r.controller(4)); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		k.config(t, fmt.Sprintf("c%d", i))
	}
	run(t, m)
	registrytest.Eventually(t, "reconciled", func() bool { return r.calls.Load() >= 40 })
	registrytest.Eventually(t, "all given up", func() bool {
		clock.Step(idleGuest)
		return r.opened.Load() >= 3 && r.opened.Load() == r.closed.Load()
	})
	k.config(t, "late")
	registrytest.Eventually(t, "reconciled later", func() bool { return r.times("late") == 1 })
}

// What a reconcile asks for besides comes, and an error brings the request
// back.
func TestResults(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	r := newRecorder()
	r.answer = func(name string) ([]byte, error) {
		switch n := r.times(name); {
		case name == "fails" && n < 4:
			return nil, wire.Errorf(wire.KindConflict, "changed")
		case name == "again" && n == 1:
			return wire.AppendReconcileResult(nil, 10*time.Millisecond, nil), nil
		case name == "many":
			return wire.AppendReconcileResult(nil, 0, []wire.Request{{Name: "x"}, {Name: "y"}, {Name: "x"}}), nil
		}
		return wire.AppendReconcileResult(nil, 0, nil), nil
	}
	if err := m.Set("r", r.controller(3)); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	for _, name := range []string{"fails", "again", "many"} {
		k.config(t, name)
	}
	want := map[string]int{"fails": 4, "again": 2, "many": 1, "x": 1, "y": 1}
	registrytest.Eventually(t, "all", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Sprint(r.seen) == fmt.Sprint(want)
	})
}

func TestOpenIsTriedAgain(t *testing.T) {
	k := newKit(t)
	m := newManager(t, k)
	r := newRecorder()
	c := r.controller(1)
	open, failures := c.Open, 0
	c.Open = func(ctx context.Context, host HostCall) (plugin.Instance, error) {
		if failures++; failures < 3 {
			return nil, wire.ErrMemory
		}
		return open(ctx, host)
	}
	if err := m.Set("late", c); err != nil {
		t.Fatal(err)
	}
	k.config(t, "c")
	run(t, m)
	registrytest.Eventually(t, "opened", func() bool { return r.times("c") == 1 })
	if got := r.calls.Load(); got != 3 {
		t.Errorf("Called was told %d times, want 3: two failures and a success", got)
	}
}

// A request goes to the worker that had it before while that one is free.
func TestQueueKeepsWorkers(t *testing.T) {
	q := NewQueue(clock.RealClock{}, nil)
	var mu sync.Mutex
	had := map[Request]map[int]bool{}
	var group sync.WaitGroup
	defer group.Wait()
	defer q.Close()
	for w := range 4 {
		group.Go(func() {
			for {
				r, ok := q.GetAs(t.Context(), w, 4)
				if !ok {
					return
				}
				mu.Lock()
				if had[r] == nil {
					had[r] = map[int]bool{}
				}
				had[r][w] = true
				mu.Unlock()
				q.Done(r, false, 0)
			}
		})
	}
	free := func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.idle) == 4 && len(q.ready) == 0
	}
	for i := range 200 {
		registrytest.Eventually(t, "all workers are free", free)
		q.Add(Request{Name: fmt.Sprint("r", i%5)})
	}
	registrytest.Eventually(t, "all is done", free)
	mu.Lock()
	defer mu.Unlock()
	for r, workers := range had {
		if len(workers) != 1 {
			t.Errorf("request %v had %d workers", r.Name, len(workers))
		}
	}
	if len(had) != 5 {
		t.Errorf("%d requests were handed out, want 5", len(had))
	}
}
