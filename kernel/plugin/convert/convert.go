// Package convert asks plugins that bring custom objects to another version of their
// kind. Who names a plugin, and what is believed of its answers, is the business of
// kernel/custom/conversion.
package convert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Config configures a Sink.
type Config struct {
	// Synced is closed once every plugin that there was at the start has been loaded or
	// has failed to: who is asked for before is waited for.
	Synced func() <-chan struct{}
	// Instances of each plugin, at most; 0 is 4.
	Instances int
	// Patience is how long an object waits for a plugin that is being loaded; 0 is ten
	// seconds.
	Patience time.Duration
	Log      *slog.Logger // nil discards
}

// Sink keeps the plugins that convert. It is safe for concurrent use.
type Sink struct {
	c Config

	mu      sync.Mutex
	byName  map[string]state // guarded by mu
	changed chan struct{}    // closed by the next change; guarded by mu
}

// state is a plugin, or why it is not there.
type state struct {
	pool *plugin.Pool // nil: it is being loaded, or err says why it is not
	err  error
}

// New makes a sink without plugins.
func New(c Config) *Sink {
	if c.Instances == 0 {
		c.Instances = 4
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Sink{c: c, byName: map[string]state{}, changed: make(chan struct{})}
}

// Set implements plugin.Sink.
func (s *Sink) Set(ctx context.Context, name string, p *plugin.Plugin) error {
	pool := plugin.NewPool(p, s.c.Instances, nil) // it asks the kernel nothing
	if err := pool.Warm(ctx); err != nil {
		return errors.Join(err, pool.Close())
	}
	s.put(name, state{pool: pool})
	return nil
}

// Expect implements plugin.Expecter. Of a plugin that is loaded for the first time nobody
// knows yet that it does not convert.
func (s *Sink) Expect(name string, e plugin.Expected) error {
	if first := e.Points == 0 && e.Err == nil; !first && !e.Points.Has(wire.PointConvert) {
		s.Remove(name)
		return nil
	}
	s.put(name, state{err: e.Err})
	return nil
}

// Remove implements plugin.Sink.
func (s *Sink) Remove(name string) {
	s.change(name, func() { delete(s.byName, name) })
}

func (s *Sink) put(name string, x state) {
	s.change(name, func() { s.byName[name] = x })
}

// change makes f's change. Who has been given the plugin before still gets answers.
func (s *Sink) change(name string, f func()) {
	s.mu.Lock()
	old := s.byName[name].pool
	f()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if old == nil {
		return
	}
	if err := old.Retire(); err != nil {
		s.c.Log.Warn("closing a plugin that converts", "plugin", name, "error", err)
	}
}

// Convert asks a plugin for objects, as JSON, in another version ("GROUP/VERSION").
// The answer is the caller's.
//
// # Errors
//   - there is no such plugin, it converts nothing, it cannot be loaded, or it is not
//     loaded in time
//   - what the plugin answers, and its faults; ctx's
func (s *Sink) Convert(ctx context.Context, name string, objects [][]byte, to string) (out [][]byte, err error) {
	pool, err := s.await(ctx, name)
	if err != nil {
		return nil, err
	}
	req := wire.Conversion{To: to, Objects: objects}.Append(nil)
	err = pool.Do(ctx, func(in plugin.Instance) error {
		resp, err := in.Call(ctx, wire.OpConvert, req)
		if err != nil {
			return err
		}
		r := wire.NewReader(resp)
		out = wire.ReadObjects(r)
		for i := range out {
			out[i] = slices.Clone(out[i])
		}
		return r.Err()
	})
	return out, err
}

// await returns a plugin's pool, as soon as it is loaded.
func (s *Sink) await(ctx context.Context, name string) (*plugin.Pool, error) {
	timer := time.NewTimer(s.c.Patience)
	defer timer.Stop()
	synced := s.c.Synced()
	for {
		s.mu.Lock()
		x, known := s.byName[name]
		changed := s.changed
		s.mu.Unlock()
		switch {
		case x.pool != nil:
			return x.pool, nil
		case x.err != nil:
			return nil, fmt.Errorf("plugin %q is not loaded: %w", name, x.err)
		case !known && synced == nil:
			return nil, fmt.Errorf("there is no plugin %q that converts (`pintle plugin list` shows what plugins do)", name)
		}
		select {
		case <-changed:
		case <-synced:
			synced = nil // from here on only what is known is waited for
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, fmt.Errorf("plugin %q is not loaded after %s", name, s.c.Patience)
		}
	}
}

// Trim gives up the instances that nobody has needed lately. It is called every few
// seconds.
func (s *Sink) Trim() {
	for name, pool := range s.pools() {
		if err := pool.Trim(); err != nil {
			s.c.Log.Warn("closing an instance of a plugin that converts", "plugin", name, "error", err)
		}
	}
}

// Close releases all plugins, once nothing is asked any more.
func (s *Sink) Close() error {
	var err error
	for _, pool := range s.pools() {
		err = errors.Join(err, pool.Close())
	}
	return err
}

func (s *Sink) pools() map[string]*plugin.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]*plugin.Pool{}
	for name, x := range s.byName {
		if x.pool != nil {
			out[name] = x.pool
		}
	}
	return out
}

var _ plugin.Expecter = (*Sink)(nil)
