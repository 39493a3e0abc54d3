package watch_test

import (
	"errors"
	"testing"

	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

func open(t *testing.T, c *watch.Cache, f watch.Filter) *watch.Watcher {
	t.Helper()
	w, err := c.Watch(pods, 0, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// What waits for all readers together is bounded, however many do not read;
// those who do are told everything.
func TestWaitingEventsAreBounded(t *testing.T) {
	const limit, size, writes = 1 << 20, 2 << 10, 400
	s := memory.New()
	c := run(t, watch.Config{Store: s, QueueBytes: limit})
	var idle []*watch.Watcher
	for range 50 {
		idle = append(idle, open(t, c, watch.Filter{}))
	}
	reader := open(t, c, watch.Filter{})
	told, most := 0, 0
	p := large("a", "big", size)
	for range writes {
		change(t, s, p, 1)
		catchUp(t, s, c)
		got, err := available(reader)
		if err != nil {
			t.Fatal(err)
		}
		told += len(got)
		most = max(most, c.Stats().WaitingBytes)
	}
	if told != writes {
		t.Errorf("a watcher that reads was told %d of %d events", told, writes)
	}
	if room := limit + 100<<10; most > room || most < limit/2 { // a batch more, at most
		t.Errorf("%d bytes waited, want about %d at most", most, limit)
	}
	cut := 0
	for _, w := range idle {
		if errors.Is(w.Err(), watch.ErrSlow) {
			cut++
		}
	}
	if cut == 0 || c.Stats().Slow != int64(cut) {
		t.Errorf("%d watchers are cut off, %d counted", cut, c.Stats().Slow)
	}
	for _, w := range append(idle, reader) {
		w.Stop()
	}
	if n := c.Stats().WaitingBytes; n != 0 {
		t.Errorf("with nobody waiting, %d bytes wait", n)
	}
}

// A state for which many wait is in memory once.
func TestSharedStatesCountOnce(t *testing.T) {
	const size = 10 << 10
	s := memory.New()
	c := run(t, watch.Config{Store: s})
	p := large("a", "big", size)
	change(t, s, p, 1)
	catchUp(t, s, c)
	var all []*watch.Watcher
	for range 20 {
		all = append(all, open(t, c, watch.Filter{}))
	}
	change(t, s, p, 1)
	catchUp(t, s, c)
	n := c.Stats().WaitingBytes
	if n < 5*size || n > 7*size {
		t.Errorf("%d bytes wait, want one state of %d", n, 5*size)
	}
	// What a reader was given counts until it asks for more.
	if got, err := all[0].Next(t.Context()); len(got) != 1 || err != nil {
		t.Fatalf("%v, %v", got, err)
	}
	if now := c.Stats().WaitingBytes; now != n {
		t.Errorf("%d bytes wait while a reader has its event, want %d", now, n)
	}
	for _, w := range all {
		if _, err := available(w); err != nil {
			t.Error(err)
		}
	}
	if n := c.Stats().WaitingBytes; n != 0 {
		t.Errorf("%d bytes wait when all is read", n)
	}
}

// A watcher that is cut off while its reader holds events counts no longer.
func TestCutWatcherKeepsNothing(t *testing.T) {
	s := memory.New()
	c := run(t, watch.Config{Store: s, Queue: 3})
	w := open(t, c, watch.Filter{})
	p := large("a", "big", 1<<10)
	change(t, s, p, 2)
	catchUp(t, s, c)
	held, err := w.Next(t.Context())
	if err != nil || len(held) == 0 {
		t.Fatal(held, err)
	}
	change(t, s, p, 5)
	catchUp(t, s, c)
	if !errors.Is(w.Err(), watch.ErrSlow) {
		t.Fatalf("the watcher goes on: %v", w.Err())
	}
	if n := c.Stats().WaitingBytes; n != 0 {
		t.Errorf("%d bytes wait", n)
	}
	if held[0].Object == nil {
		t.Error("what the reader holds was taken from it")
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, watch.ErrSlow) {
		t.Errorf("next: %v", err)
	}
	if n := c.Stats().WaitingBytes; n != 0 {
		t.Errorf("%d bytes wait at the end", n)
	}
}
