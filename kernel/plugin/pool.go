package plugin

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pintle-io/pintle/sdk/wire"
)

// Pool keeps instances of one plugin for callers that need one each for a
// moment. Instances are opened when they are needed, at most Size of them; one
// that faulted is replaced. It is safe for concurrent use.
type Pool struct {
	plugin *Plugin
	calls  func() HostCall
	slots  chan struct{} // one for each instance in use

	mu     sync.Mutex
	idle   []Instance // guarded by mu; the last used is taken first
	spare  int        // guarded by mu; how many of idle were never taken since looks began
	looks  int        // guarded by mu; calls of Trim since then
	fresh  int64      // guarded by mu; the memory of an instance when it was opened
	closed bool       // guarded by mu
	// retired, guarded by mu: closed, but whoever still asks is served.
	retired bool
}

// spareLooks is for how many calls of Trim an instance must have been idle to
// be closed.
const spareLooks = 6

// maxGrowth is by how much the memory of an instance that is kept for the next
// caller may have grown: that of a WASM guest never shrinks.
const maxGrowth = 2 << 20

// NewPool makes a pool of at most size instances, none of them open yet. calls
// makes what serves the questions of one instance; nil refuses them all.
func NewPool(p *Plugin, size int, calls func() HostCall) *Pool {
	if calls == nil {
		calls = func() HostCall { return nil }
	}
	return &Pool{plugin: p, calls: calls, slots: make(chan struct{}, max(size, 1))}
}

// Warm opens an instance, so that the first Do need not.
func (p *Pool) Warm(ctx context.Context) error {
	return p.Do(ctx, func(Instance) error { return nil })
}

// Do calls f with an instance that nobody else uses meanwhile. It waits while
// all are in use. An error of f that is a fault discards the instance.
//
// # Errors
//   - ctx's error while waiting, those of Plugin.Open, wire.ErrClosed after Close
//   - whatever f returns
func (p *Pool) Do(ctx context.Context, f func(Instance) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	in, err := p.take(ctx)
	if err != nil {
		return err
	}
	err = f(in)
	if err != nil && wire.KindOf(err).Fault() && isWire(err) {
		return errors.Join(err, in.Close())
	}
	return p.give(in, err)
}

func isWire(err error) bool {
	_, ok := errors.AsType[*wire.Error](err)
	return ok
}

func (p *Pool) take(ctx context.Context) (Instance, error) {
	if err := p.plugin.Quarantine.check(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed && !p.retired {
		p.mu.Unlock()
		return nil, wire.ErrClosed
	}
	if n := len(p.idle); n > 0 {
		in := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.spare = min(p.spare, n-1)
		p.mu.Unlock()
		return in, nil
	}
	p.mu.Unlock()
	in, err := p.plugin.Open(ctx, p.calls())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.fresh = in.Memory()
	p.mu.Unlock()
	return in, nil
}

func (p *Pool) give(in Instance, err error) error {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.idle = append(p.idle, in)
	}
	p.mu.Unlock()
	if closed {
		return errors.Join(err, in.Close())
	}
	return err
}

// Trim closes the instances that have been idle since several calls ago, but
// for one that has not grown. It is called every few seconds.
func (p *Pool) Trim() error {
	p.mu.Lock()
	p.looks++
	var over []Instance
	if p.looks >= spareLooks {
		n := min(p.spare, len(p.idle)-1)
		if n >= 0 && n < p.spare && p.idle[n].Memory()-p.fresh > maxGrowth {
			n++
		}
		if n > 0 { // the first are those that were used longest ago
			over = slices.Clone(p.idle[:n])
			p.idle = slices.Delete(p.idle, 0, n)
		}
		p.looks, p.spare = 0, len(p.idle)
	}
	p.mu.Unlock()
	var err error
	for _, in := range over {
		err = errors.Join(err, in.Close())
	}
	return err
}

// Close closes the idle instances at once and those in use as they come back.
func (p *Pool) Close() error { return p.end(false) }

// Retire is Close for a pool that is no longer given to anybody, while some may
// have been given it before: a Do that comes late opens an instance for itself.
func (p *Pool) Retire() error { return p.end(true) }

func (p *Pool) end(retired bool) error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed, p.retired = nil, true, retired
	p.mu.Unlock()
	var err error
	for _, in := range idle {
		err = errors.Join(err, in.Close())
	}
	return err
}
