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

// load has a resource ready to be read and watched: see Cache.Load.
func (r *resources) load(ctx context.Context, gr schema.GroupResource) error {
	s := r.state(gr)
	if s == nil {
		return fmt.Errorf("load %s: %w", gr, ErrUnknown)
	}
	if s.serving.Load() {
		return nil
	}
	return r.read(ctx, s)
}

// read joins the reading of a resource that was not served a moment ago, or
// begins one, and waits for it.
func (r *resources) read(ctx context.Context, s *state) error {
	gr := s.resource
	f := s.fly(func(f *flight) { go r.demand(s, f) })
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return fmt.Errorf("load %s: %w", gr, ctx.Err())
	case <-r.progress.Done():
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

// fly joins the flight under way or starts one; nil: one has ended well, and the
// resource is served. A second reading would have a state to itself no more: it
// and one by a changed definition would forget each other's deletions.
func (s *state) fly(start func(*flight)) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving.Load() { // set under mu, before the flight is forgotten
		return nil
	}
	if s.flight == nil {
		s.flight = &flight{done: make(chan struct{})}
		start(s.flight)
	}
	return s.flight
}

func (r *resources) demand(s *state, f *flight) {
	ctx, cancel := context.WithTimeout(r.life, readTimeout)
	defer cancel()
	select {
	case <-r.progress.Ready():
		f.err = r.readAll(ctx, s)
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
func (r *resources) reread(s *state) {
	s.stale, s.doubted = true, r.clock.Now().Add(longestWrite)
	if !s.serving.Load() || s.rereading {
		return // it has not been read yet, or will be once more
	}
	s.rereading = true
	go func() {
		retry := backoff.New(firstPause, maxPause)
		for r.life.Err() == nil {
			ctx, cancel := context.WithTimeout(r.life, readTimeout)
			err := r.readAll(ctx, s)
			cancel()
			if err == nil || errors.Is(err, ErrRemoved) {
				return
			}
			r.log.Warn("a changed resource cannot be read again", "resource", s.resource, "error", err)
			select {
			case <-r.clock.After(retry.Again()):
			case <-r.life.Done():
			}
		}
	}()
}

// readAll reads a resource until that was not disturbed.
func (r *resources) readAll(ctx context.Context, s *state) error {
	for {
		if done, err := r.readOnce(ctx, s); done || err != nil {
			return err
		}
	}
}

func (r *resources) readOnce(ctx context.Context, s *state) (done bool, err error) {
	r.applying.Lock()
	epoch := r.epoch
	s.stale = false
	s.begin()
	r.applying.Unlock()
	tree, rev, err := r.readState(ctx, s)
	r.applying.Lock()
	defer r.applying.Unlock()
	switch {
	case s.isRemoved():
		return true, ErrRemoved
	case err != nil:
		s.abandon()
		return false, err
	case r.epoch != epoch || s.stale:
		return false, nil
	}
	s.complete(tree, max(rev.at, r.progress.Revision()), rev.shared)
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
func (r *resources) readState(ctx context.Context, s *state) (*btree.BTreeG[*Object], readRevision, error) {
	at, err := r.reader.store.Revision(ctx)
	if err != nil {
		return nil, readRevision{}, err
	}
	trees, err := r.reader.prefix(ctx, r.layout.Load(), s.prefix, []*state{s}, at, false)
	if err != nil {
		return nil, readRevision{}, err
	}
	shared := !s.serving.Load() && r.reader.sharedAt(ctx, r.layout.Load(), at)(s)
	return trees[0], readRevision{at, shared}, r.progress.Wait(ctx, at)
}
