package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/btree"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/internal/backoff"
)

// A resource that came after the cache had loaded costs a struct until somebody
// asks for it: its keys are not read and its events are not decoded. Load then
// reads it, without stopping the store's one watch, which feeds it from the
// moment on at which the reading begins:
//
//	begin      events are taken in from here on, into an empty tree
//	read       all objects at a revision behind that, decoded
//	catch up   until the cache has applied that revision too
//	complete   what was read is added, but for what an event has replaced or
//	           deleted since
//
// complete runs between two batches of the store, so that a reader sees all of
// a revision or nothing. A reload of the whole cache in between makes it start
// over.

const (
	// readTimeout bounds one attempt to read a resource from the store.
	readTimeout = 30 * time.Second
	// longestWrite is how long a write may take that began with another
	// definition of its resource: longer than any request.
	longestWrite = 2 * time.Minute
)

// Load has a resource ready to be read and watched: all of it, at no older
// revision than the cache's present one. It returns at once when it is. Those
// that the catalog began with are always, as far as the cache is Ready.
//
// # Errors
//   - ErrUnknown, ErrRemoved: there is no such resource
//   - ErrStopped when the cache ends before
//   - the store's, and ctx's error
func (c *Cache) Load(ctx context.Context, gr schema.GroupResource) error {
	s := c.state(gr)
	if s == nil {
		return fmt.Errorf("load %s: %w", gr, ErrUnknown)
	}
	if s.serving.Load() {
		return nil
	}
	f := s.fly(func(f *flight) { go c.demand(s, f) })
	select {
	case <-f.done:
	case <-ctx.Done():
		return fmt.Errorf("load %s: %w", gr, ctx.Err())
	case <-c.done:
		return fmt.Errorf("load %s: watch cache %w", gr, ErrStopped)
	}
	if f.err != nil {
		return fmt.Errorf("load %s: %w", gr, f.err)
	}
	return nil
}

// flight is one attempt to read a resource, shared by all who wait for it.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// fly joins the flight under way or starts one.
func (s *state) fly(start func(*flight)) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		s.flight = &flight{done: make(chan struct{})}
		start(s.flight)
	}
	return s.flight
}

func (c *Cache) demand(s *state, f *flight) {
	ctx, cancel := context.WithTimeout(c.life, readTimeout)
	defer cancel()
	select {
	case <-c.ready:
		f.err = c.readAll(ctx, s)
	case <-ctx.Done():
		f.err = ctx.Err()
	}
	s.mu.Lock()
	s.flight = nil
	s.mu.Unlock()
	close(f.done)
}

// reread reads a resource again by its new definition, until that succeeds.
// Until then its readers see the objects as they are. Callers hold applying.
func (c *Cache) reread(s *state) {
	s.stale, s.doubted = true, c.config.Clock.Now().Add(longestWrite)
	if !s.serving.Load() || s.rereading {
		return // it has not been read yet, or will be once more
	}
	s.rereading = true
	go func() {
		retry := backoff.New(firstPause, maxPause)
		for c.life.Err() == nil {
			ctx, cancel := context.WithTimeout(c.life, readTimeout)
			err := c.readAll(ctx, s)
			cancel()
			if err == nil || errors.Is(err, ErrRemoved) {
				return
			}
			c.config.Log.Warn("a changed resource cannot be read again", "resource", s.resource, "error", err)
			select {
			case <-c.config.Clock.After(retry.Again()):
			case <-c.life.Done():
			}
		}
	}()
}

// readAll reads a resource until that was not disturbed.
func (c *Cache) readAll(ctx context.Context, s *state) error {
	for {
		if done, err := c.readOnce(ctx, s); done || err != nil {
			return err
		}
	}
}

func (c *Cache) readOnce(ctx context.Context, s *state) (done bool, err error) {
	c.applying.Lock()
	epoch := c.epoch
	s.stale = false
	s.begin()
	c.applying.Unlock()
	tree, rev, err := c.readState(ctx, s)
	c.applying.Lock()
	defer c.applying.Unlock()
	switch {
	case s.isRemoved():
		return true, ErrRemoved
	case err != nil:
		s.abandon()
		return false, err
	case c.epoch != epoch || s.stale:
		return false, nil
	}
	s.complete(tree, max(rev.at, c.revision.Load()), rev.shared)
	s.rereading = false
	return true, nil
}

// readRevision is the revision of what was read, and whether several of the
// resource's objects may have changed at it.
type readRevision struct {
	at     int64
	shared bool
}

// readState reads a resource's objects, and waits until the cache has come to
// their revision.
func (c *Cache) readState(ctx context.Context, s *state) (*btree.BTreeG[*Object], readRevision, error) {
	at, err := c.config.Store.Revision(ctx)
	if err != nil {
		return nil, readRevision{}, err
	}
	trees, err := c.loadPrefix(ctx, c.layout.Load(), s.prefix, []*state{s}, at, false)
	if err != nil {
		return nil, readRevision{}, err
	}
	shared := !s.serving.Load() && c.sharedAt(ctx, at)(s)
	return trees[0], readRevision{at, shared}, c.WaitFor(ctx, at)
}
