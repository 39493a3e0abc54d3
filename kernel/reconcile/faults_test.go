package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/sdk/wire"
)

// book is the log of a controller, read line by line.
type book struct {
	bytes.Buffer
	*faults
	clock *clocktesting.FakeClock
}

func newBook() *book {
	b := &book{clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))}
	b.faults = newFaults(slog.New(slog.NewTextHandler(&b.Buffer, &slog.HandlerOptions{Level: slog.LevelInfo})), b.clock)
	return b
}

// lines are what was written since the last call.
func (b *book) lines() []string {
	out := strings.Split(strings.TrimSpace(b.String()), "\n")
	b.Reset()
	if out[0] == "" {
		return nil
	}
	return out
}

func race(k wire.Kind) error { return fmt.Errorf("adopt pod p: %w", wire.Errorf(k, "changed")) }

// Losing a race is no fault: an hour of it, with thousands of objects, leaves
// no line.
func TestRacesAreQuiet(t *testing.T) {
	b := newBook()
	kinds := []wire.Kind{wire.KindConflict, wire.KindNotFound, wire.KindAlreadyExists, wire.KindTerminating}
	for i := range 6000 {
		req := Request{Namespace: "ns", Name: fmt.Sprint("r", i%1000)}
		if out := b.note(t.Context(), "reconcile", req, race(kinds[i%len(kinds)])); out != retried {
			t.Fatalf("%v counts as %s, want %s", kinds[i%len(kinds)], out, retried)
		}
		b.note(t.Context(), "reconcile", req, nil)
		b.clock.Step(time.Second)
	}
	if got := b.lines(); got != nil {
		t.Errorf("%d lines, the first %s", len(got), got[0])
	}
	if len(b.failing) > 0 {
		t.Errorf("%d requests are remembered as failing", len(b.failing))
	}
}

// A race that is lost again and again is a fault, but not one that waits for
// its namespace to go.
func TestRaceWithoutEnd(t *testing.T) {
	b := newBook()
	req, waits := Request{Name: "r"}, Request{Name: "w"}
	var outs []result
	for range raceLimit + 1 {
		outs = append(outs, b.note(t.Context(), "reconcile", req, race(wire.KindNotFound)))
	}
	for range 100 {
		b.note(t.Context(), "reconcile", waits, race(wire.KindTerminating))
	}
	if outs[raceLimit-1] != retried || outs[raceLimit] != failed {
		t.Errorf("outcomes are %v, want %s last", outs, failed)
	}
	got := b.lines()
	if len(got) != 1 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[0], "name=r") {
		t.Errorf("lines are %q, want one warning of r", got)
	}
}

// One line when a request begins to fail, for another reason, and when it
// works again; reminders count.
func TestOneLineForEachChange(t *testing.T) {
	b := newBook()
	req := Request{Namespace: "ns", Name: "r"}
	fail := func(n int, every time.Duration, err error) []string {
		for range n {
			if out := b.note(t.Context(), "reconcile", req, err); out != failed {
				t.Fatalf("outcome %s, want %s", out, failed)
			}
			b.clock.Step(every)
		}
		return b.lines()
	}
	plain := errors.New("no route")
	if got := fail(100, 10*time.Millisecond, plain); len(got) != 1 || !strings.Contains(got[0], "level=WARN") {
		t.Fatalf("in the first second: %q", got)
	}
	if got := fail(60, time.Second, plain); len(got) != 1 || !strings.Contains(got[0], "failures=160") {
		t.Errorf("the reminder after a minute: %q", got)
	}
	if got := fail(3600, time.Second, plain); len(got) > 6 {
		t.Errorf("%d reminders in the next hour", len(got))
	}
	if got := fail(10, time.Second, race(wire.KindInvalid)); len(got) != 1 {
		t.Errorf("another reason: %q", got)
	}
	b.note(t.Context(), "reconcile", req, nil)
	if got := b.lines(); len(got) != 1 || !strings.Contains(got[0], "level=INFO") || !strings.Contains(got[0], "failures=3770") {
		t.Errorf("works again: %q", got)
	}
	b.note(t.Context(), "reconcile", req, nil)
	if got := b.lines(); got != nil {
		t.Errorf("goes on to work: %q", got)
	}
}

// Metrics and the plugin's own counters tell a lost race from an error.
func TestRetryIsNoError(t *testing.T) {
	k := newKit(t)
	reg := prometheus.NewRegistry()
	m, err := New(Config{Registry: k, Catalog: k.Catalog, Codec: k.Codec, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	ok := r.answer
	r.answer = func(name string) ([]byte, error) {
		switch n := r.times(name); {
		case name == "raced" && n == 1:
			return nil, wire.Errorf(wire.KindConflict, "changed")
		case name == "broken" && n == 1:
			return nil, wire.Errorf(wire.KindInvalid, "nonsense")
		}
		return ok(name)
	}
	c := r.controller(1)
	told := make(chan error, 10)
	c.Called = func(_ time.Duration, err error) { told <- err }
	if err := m.Set("r", c); err != nil {
		t.Fatal(err)
	}
	run(t, m)
	k.config(t, "raced")
	k.config(t, "broken")
	var errs []error
	for range 4 {
		if err := <-told; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) != 1 || wire.KindOf(errs[0]) != wire.KindInvalid {
		t.Errorf("the plugin's errors are %v, want the one that is a fault", errs)
	}
	for out, want := range map[result]float64{success: 2, retried: 1, failed: 1} {
		if got := testutil.ToFloat64(m.metrics.total.WithLabelValues("r", string(out))); got != want {
			t.Errorf("%s = %v, want %v", out, got, want)
		}
	}
}
