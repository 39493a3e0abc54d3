package reclaim_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/kernel/reclaim"
)

// process is a process's heap as a Reclaimer sees it.
type process struct {
	mu    sync.Mutex
	usage reclaim.Usage
	held  int
	freed []time.Duration // when, since the beginning
	begin time.Time
}

func (p *process) read() reclaim.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usage
}

// free is a collection that finds live alive.
func (p *process) free() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.freed = append(p.freed, time.Since(p.begin))
	p.usage.Objects, p.usage.Free = p.usage.Live, 0
	return nil
}

// allocate makes garbage.
func (p *process) allocate(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.usage.Allocated += n
	p.usage.Objects += n
}

func (p *process) hold(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = n
}

// take returns when memory was given back since the last call.
func (p *process) take() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.freed
	p.freed = nil
	return out
}

// run starts a Reclaimer in a bubble and passes its start.
func run(t *testing.T, test func(p *process)) {
	synctest.Test(t, func(t *testing.T) {
		p := &process{usage: reclaim.Usage{Live: 50 << 20, Objects: 50 << 20}, begin: time.Now()}
		held := func() int { p.mu.Lock(); defer p.mu.Unlock(); return p.held }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- reclaim.New(reclaim.Config{Usage: p.read, Free: p.free, Held: held}).Run(ctx) }()
		time.Sleep(20 * time.Second)
		if got := p.take(); len(got) != 1 {
			t.Errorf("memory of the start was given back at %v, want once", got)
		}
		time.Sleep(time.Minute)
		if got := p.take(); len(got) != 0 {
			t.Errorf("memory was given back at %v although nothing happened", got)
		}
		test(p)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A storm's garbage is given back when the storm is over, and what it left
// behind soon after.
func TestStorm(t *testing.T) {
	run(t, func(p *process) {
		for range 60 {
			p.allocate(10 << 20)
			time.Sleep(time.Second)
		}
		if got := p.take(); len(got) != 0 {
			t.Errorf("memory was given back at %v, in the storm", got)
		}
		time.Sleep(30 * time.Second)
		if got := p.take(); len(got) != 1 {
			t.Errorf("after the storm memory was given back at %v, want once", got)
		}
		// What it left behind goes by and by, within two minutes of the storm.
		time.Sleep(80 * time.Second)
		if got := p.take(); len(got) != 2 {
			t.Errorf("what the storm left behind was given back at %v, want twice", got)
		}
		time.Sleep(10 * time.Minute)
		if got := p.take(); len(got) != 0 {
			t.Errorf("memory was given back again at %v", got)
		}
	})
}

// The aftermath of a storm waits for the end of the next.
func TestStormAfterStorm(t *testing.T) {
	run(t, func(p *process) {
		storm := func() {
			for range 60 {
				p.allocate(10 << 20)
				time.Sleep(time.Second)
			}
		}
		storm()
		time.Sleep(20 * time.Second)
		if got := p.take(); len(got) != 1 {
			t.Errorf("after the storm memory was given back at %v, want once", got)
		}
		storm()
		if got := p.take(); len(got) != 0 {
			t.Errorf("memory was given back at %v, in the second storm", got)
		}
		time.Sleep(3 * time.Minute)
		if got := p.take(); len(got) < 2 || len(got) > 3 {
			t.Errorf("after the second storm memory was given back at %v, want twice or three times", got)
		}
	})
}

// What caches let go of in a quiet process is garbage that no allocation tells
// of.
func TestHeld(t *testing.T) {
	run(t, func(p *process) {
		p.hold(60 << 20)
		time.Sleep(time.Minute)
		if got := p.take(); len(got) != 0 {
			t.Errorf("memory was given back at %v while it was held", got)
		}
		p.hold(0)
		time.Sleep(10 * time.Second)
		if got := p.take(); len(got) != 1 {
			t.Errorf("memory that caches let go of was given back at %v, want once", got)
		}
	})
}

// A process that makes a little garbage all the time is collected now and
// then, not at every look.
func TestTrickle(t *testing.T) {
	run(t, func(p *process) {
		for range 600 {
			p.allocate(1 << 20)
			time.Sleep(time.Second)
		}
		if got := p.take(); len(got) < 5 || len(got) > 20 {
			t.Errorf("in ten minutes memory was given back %d times, want 5 to 20", len(got))
		}
	})
}
