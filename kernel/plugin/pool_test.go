package plugin_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// fakeHost counts its instances; a call of OpMutate faults, one of OpMap takes 3
// MiB for good.
type fakeHost struct {
	open, max, opened atomic.Int64
	fail              error
}

func (h *fakeHost) Open(context.Context, plugin.Module, plugin.OpenOptions) (plugin.Instance, error) {
	if h.fail != nil {
		return nil, h.fail
	}
	h.opened.Add(1)
	if n := h.open.Add(1); n > h.max.Load() {
		h.max.Store(n)
	}
	return &fakeInstance{host: h}, nil
}

type fakeInstance struct {
	host   *fakeHost
	busy   atomic.Bool
	grown  atomic.Int64
	closed bool
}

func (*fakeInstance) Manifest() wire.Manifest { return wire.Manifest{Name: "fake"} }

func (in *fakeInstance) Call(_ context.Context, op wire.Op, _ []byte) ([]byte, error) {
	if !in.busy.CompareAndSwap(false, true) {
		return nil, errors.New("two calls at once")
	}
	defer in.busy.Store(false)
	time.Sleep(100 * time.Microsecond)
	if op == wire.OpMap {
		in.grown.Add(3 << 20)
	}
	if op == wire.OpMutate {
		return nil, wire.Errorf(wire.KindTrap, "boom")
	}
	return wire.Verdict{}.Append(nil), nil
}

func (*fakeInstance) Reserve(context.Context, int) ([]byte, error) { return nil, nil }
func (*fakeInstance) Region() []byte                               { return nil }
func (in *fakeInstance) Memory() int64                             { return 100 + in.grown.Load() }

func (in *fakeInstance) Close() error {
	if in.closed {
		return errors.New("closed twice")
	}
	in.closed = true
	in.host.open.Add(-1)
	return nil
}

func load(t *testing.T, h plugin.Host, q *plugin.Quarantine) *plugin.Plugin {
	t.Helper()
	p, err := plugin.Load(t.Context(), plugin.PluginConfig{Name: "fake", Host: h, Quarantine: q})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPool(t *testing.T) {
	h := &fakeHost{}
	p := load(t, h, nil)
	pool := plugin.NewPool(p, 3, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				err := pool.Do(t.Context(), func(in plugin.Instance) error {
					_, err := in.Call(t.Context(), wire.OpValidate, nil)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if h.max.Load() > 3 {
		t.Errorf("%d instances at once, want at most 3", h.max.Load())
	}
	if s := p.Stats.Snapshot(); s.Calls != 400 || s.Instances != int(h.open.Load()) || s.Memory != 100*h.open.Load() || s.P50 < 100*time.Microsecond {
		t.Errorf("stats %+v", s)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if n := h.open.Load(); n != 0 {
		t.Errorf("%d instances are left", n)
	}
	if err := pool.Warm(t.Context()); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("a closed pool: %v", err)
	}
}

func TestPoolReplacesAndQuarantines(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Now())
	h := &fakeHost{}
	q := plugin.NewQuarantine(plugin.QuarantinePolicy{Faults: 3, Window: time.Minute, First: 10 * time.Second}, clock)
	pool := plugin.NewPool(load(t, h, q), 2, nil)
	call := func(op wire.Op) error {
		return pool.Do(t.Context(), func(in plugin.Instance) error {
			_, err := in.Call(t.Context(), op, nil)
			return err
		})
	}
	for i := range 3 {
		if err := call(wire.OpMutate); !errors.Is(err, wire.ErrTrap) {
			t.Fatalf("call %d: %v, want a trap", i, err)
		}
		if n := h.open.Load(); n != 0 {
			t.Fatalf("%d instances are open after a fault", n)
		}
	}
	if err := call(wire.OpValidate); !errors.Is(err, plugin.ErrQuarantined) {
		t.Errorf("after three faults: %v, want quarantine", err)
	}
	clock.SetTime(clock.Now().Add(11 * time.Second))
	if err := call(wire.OpValidate); err != nil {
		t.Errorf("after the quarantine: %v", err)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}

func TestQuarantineLengths(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Now())
	q := plugin.NewQuarantine(plugin.QuarantinePolicy{Faults: 2, Window: time.Minute, First: 10 * time.Second, Max: 30 * time.Second}, clock)
	fault := func() bool { return q.Fault(plugin.Fault{Err: errors.New("boom")}).Quarantined == plugin.Everybody }
	var got []time.Duration
	for range 4 {
		if fault() {
			t.Fatal("one fault began a quarantine")
		}
		if !fault() {
			t.Fatal("two faults did not")
		}
		got = append(got, q.Until().Sub(clock.Now()))
		if fault() {
			t.Error("a fault during a quarantine began another")
		}
		clock.SetTime(q.Until().Add(time.Second))
	}
	for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 30 * time.Second} {
		if got[i] != want {
			t.Errorf("quarantine %d lasts %s, want %s", i+1, got[i], want)
		}
	}
	clock.SetTime(clock.Now().Add(time.Hour))
	fault()
	fault()
	if got := q.Until().Sub(clock.Now()); got != 10*time.Second {
		t.Errorf("after an hour without faults a quarantine lasts %s, want 10s", got)
	}
	clock.SetTime(clock.Now().Add(time.Hour))
	fault()
	clock.SetTime(clock.Now().Add(2 * time.Minute))
	if fault() {
		t.Error("faults far apart began a quarantine")
	}
}

// Instances that a storm needed go when it is over; one that is used now and
// then stays, and so does the last.
func TestPoolTrim(t *testing.T) {
	h := &fakeHost{}
	p := plugin.NewPool(load(t, h, nil), 4, nil)
	together := func(n int) {
		t.Helper()
		if n == 0 {
			return
		}
		var inside, all sync.WaitGroup
		inside.Add(n)
		for range n {
			all.Go(func() {
				if err := p.Do(t.Context(), func(plugin.Instance) error { inside.Done(); inside.Wait(); return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for _, step := range []struct {
		what         string
		before, each int // calls at once before, and between looks
		looks        int
		want         int64
	}{
		{"all stay for a while", 4, 0, 5, 4},
		{"what is used stays", 4, 2, 20, 2},
		{"the last stays", 0, 0, 20, 1},
		{"they come back", 3, 0, 0, 3},
		{"and go again", 0, 1, 20, 1},
	} {
		together(step.before) // each in an instance of its own
		for range step.looks {
			together(step.each)
			if err := p.Trim(); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.open.Load(); got != step.want {
			t.Errorf("%s: %d instances are open, want %d", step.what, got, step.want)
		}
	}
	if err := p.Close(); err != nil || h.open.Load() != 0 {
		t.Errorf("after Close %d instances are open: %v", h.open.Load(), err)
	}
}

// An instance that has grown for good is closed when it has nothing to do, the
// last of a pool, too; one that is used, or has not grown, stays.
func TestPoolTrimGrown(t *testing.T) {
	h := &fakeHost{}
	p := plugin.NewPool(load(t, h, nil), 4, nil)
	loading := h.opened.Load()
	use := func(op wire.Op) {
		t.Helper()
		if err := p.Do(t.Context(), func(in plugin.Instance) error { _, err := in.Call(t.Context(), op, nil); return err }); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what         string
		op           wire.Op // first
		each         bool    // something small between looks
		looks        int
		open, opened int64
	}{
		{"it has not grown", wire.OpValidate, false, 20, 1, 1},
		{"it has grown and is used", wire.OpMap, true, 20, 1, 1},
		{"it is used no more", wire.OpValidate, false, 20, 0, 1},
		{"the next is a fresh one", wire.OpValidate, false, 20, 1, 2},
	} {
		use(step.op)
		for range step.looks {
			if step.each {
				use(wire.OpValidate)
			}
			if err := p.Trim(); err != nil {
				t.Fatal(err)
			}
		}
		if open, opened := h.open.Load(), h.opened.Load()-loading; open != step.open || opened != step.opened {
			t.Errorf("%s: %d instances are open, %d were, want %d and %d", step.what, open, opened, step.open, step.opened)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
