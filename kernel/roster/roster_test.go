package roster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// consumer writes down what it is told, and does with a value what gate says.
type consumer struct {
	gate func(name, v string) error // may be nil

	mu  sync.Mutex
	log []string
}

func (c *consumer) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *consumer) Set(_ context.Context, name, v string) error {
	if c.gate != nil {
		if err := c.gate(name, v); err != nil {
			c.note("refuse %s=%s", name, v)
			return err
		}
	}
	c.note("set %s=%s", name, v)
	return nil
}

func (c *consumer) Expect(name, v string, err error) { c.note("expect %s=%s: %v", name, v, err) }
func (c *consumer) Remove(name string)               { c.note("remove %s", name) }

func (c *consumer) told(t *testing.T, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.log, want) {
		t.Errorf("told %q, want %q", c.log, want)
	}
}

// run runs a term until the test ends, or stop is called.
func run(t *testing.T, term *Term[string]) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); term.Run(ctx) }()
	stop = func() { cancel(); <-done; term.End() }
	t.Cleanup(stop)
	return stop
}

func set(t *testing.T, r *Roster[string], name, v string) {
	t.Helper()
	if err := r.Set(t.Context(), name, v); err != nil {
		t.Fatal(err)
	}
}

// TestTerm: a new term expects everything before it is given anything, is not
// placed before it was given all, and one that is slow holds up no other.
func TestTerm(t *testing.T) {
	r := New[string](Config{})
	set(t, r, "slow", "1")
	set(t, r, "quick", "1")
	r.Expect("missing", "1", errors.New("boom"))
	r.Expect("coming", "1", nil)
	release, quick := make(chan struct{}), make(chan struct{})
	c := &consumer{gate: func(name, _ string) error {
		if name == "slow" {
			<-release
		} else {
			close(quick)
		}
		return nil
	}}
	term := r.Begin(c)
	slices.Sort(c.log)
	begun := []string{"expect coming=1: <nil>", "expect missing=1: boom", "expect quick=1: <nil>", "expect slow=1: <nil>"}
	c.told(t, begun...)
	run(t, term)
	<-quick
	select {
	case <-term.Placed():
		t.Error("placed before the slow one is")
	default:
	}
	close(release)
	<-term.Placed()
	c.told(t, append(begun, "set quick=1", "set slow=1")...)
}

// TestRefused: what a new term refuses is told, stood in for, and tried again
// until it is taken; a version that comes meanwhile ends that.
func TestRefused(t *testing.T) {
	for _, newer := range []bool{false, true} {
		told := make(chan error, 8)
		clock := testclock.NewFakeClock(time.Unix(0, 0))
		r := New[string](Config{Clock: clock, Refused: func(_ context.Context, name string, err error) { told <- err }})
		set(t, r, "p", "1")
		boom, refusals := errors.New("boom"), 0
		c := &consumer{}
		c.gate = func(_, v string) error {
			if refusals++; v == "1" && refusals < 3 {
				return boom
			}
			return nil
		}
		term := r.Begin(c)
		stop := run(t, term)
		<-term.Placed()
		if err := <-told; !errors.Is(err, boom) {
			t.Errorf("told %v", err)
		}
		want := []string{"expect p=1: <nil>", "refuse p=1", "expect p=1: boom"}
		c.told(t, want...)
		if newer {
			set(t, r, "p", "2")
			want = append(want, "set p=2")
		} else {
			for range 2 {
				for !clock.HasWaiters() {
					time.Sleep(time.Millisecond) // for another goroutine to wait at the clock
				}
				clock.Step(lastRetry)
			}
			if err := <-told; !errors.Is(err, boom) {
				t.Errorf("told %v", err)
			}
			want = append(want, "refuse p=1", "expect p=1: boom", "set p=1")
		}
		if err := <-told; err != nil {
			t.Errorf("told %v, want that it is over", err)
		}
		stop()
		c.told(t, want...)
	}
}

// TestSetBesideTheBeginning: what comes while a term is being given what there is
// is given once, in the newest version.
func TestSetBesideTheBeginning(t *testing.T) {
	r := New[string](Config{})
	set(t, r, "p", "1")
	c := &consumer{}
	term := r.Begin(c)
	set(t, r, "p", "2")
	run(t, term)
	<-term.Placed()
	c.told(t, "expect p=1: <nil>", "set p=2")
}

// TestSetWhileATermBegins: what was given to nobody, or to a term that has ended,
// is given to the one that began meanwhile.
func TestSetWhileATermBegins(t *testing.T) {
	r := New[string](Config{})
	began, release := make(chan struct{}), make(chan struct{})
	first := &consumer{gate: func(string, string) error { close(began); <-release; return nil }}
	stop := run(t, r.Begin(first))
	done := make(chan error)
	go func() { done <- r.Set(t.Context(), "p", "1") }()
	<-began
	stop()
	second := &consumer{}
	term := r.Begin(second)
	run(t, term)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-term.Placed()
	second.told(t, "set p=1")
}

// TestRefusedVersionIsNotRemembered: the next term gets the one before.
func TestRefusedVersionIsNotRemembered(t *testing.T) {
	r := New[string](Config{})
	stop := run(t, r.Begin(&consumer{gate: func(_, v string) error {
		if v == "2" {
			return errors.New("boom")
		}
		return nil
	}}))
	set(t, r, "p", "1")
	if err := r.Set(t.Context(), "p", "2"); err == nil {
		t.Error("a version that was refused is remembered")
	}
	stop()
	next := &consumer{}
	term := r.Begin(next)
	run(t, term)
	<-term.Placed()
	next.told(t, "expect p=1: <nil>", "set p=1")
}

// TestNothingIsLeft: who is removed leaves nothing, and nobody is told of the
// removal of what was never there.
func TestNothingIsLeft(t *testing.T) {
	r := New[string](Config{})
	c := &consumer{}
	run(t, r.Begin(c))
	set(t, r, "p", "1")
	r.Expect("q", "1", nil)
	for _, name := range []string{"p", "q", "other"} {
		r.Remove(name)
	}
	c.told(t, "set p=1", "expect q=1: <nil>", "remove p", "remove q")
	if n := len(r.seats); n > 0 {
		t.Errorf("%d seats are left", n)
	}
}
