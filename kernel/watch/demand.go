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

// A value that the store cannot read, such as one that is encrypted with a key that is
// not here yet, or whose key service does not answer, is left out of the cache, which
// goes on with everything else. What is wrong is not in the cache's hands, so it tries
// again: once one of a resource's values can be read, all of the resource is read
// again.

// Between two tries to read what could not be read. The longest bounds how long a
// resource is refused after its key has come back.
const (
	firstMend = 250 * time.Millisecond
	maxMend   = 10 * time.Second
)

// mend tries what could not be read again and again, until the cache ends. It waits
// for free while there is nothing.
func (r *resources) mend() {
	f := &r.reader.decoder.failures
	for {
		select {
		case <-f.noted:
		case <-r.life.Done():
			return
		}
		for retry := backoff.New(firstMend, maxMend); f.some.Load(); {
			select {
			case <-r.clock.After(retry.Again()):
			case <-r.life.Done():
				return
			}
			if r.mendAll() == 0 {
				break
			}
		}
	}
}

// mendAll reads again the resources of which a value can be read now, and counts the
// values that still cannot.
func (r *resources) mendAll() (left int) {
	select {
	case <-r.progress.Ready(): // a first load reads all there is
	default:
		return 1
	}
	f := &r.reader.decoder.failures
	byState := map[*state][]Failure{}
	for _, x := range f.unreadable(schema.GroupResource{}) {
		s := r.layout.Load().resources[x.Resource]
		if s == nil { // it went while it was read
			f.forget(x.Resource, x.Key)
			continue
		}
		byState[s] = append(byState[s], x)
	}
	for s, failures := range byState {
		ctx, cancel := context.WithTimeout(r.life, readTimeout)
		if r.readable(ctx, failures) {
			if err := r.mendOne(ctx, s); err != nil && r.life.Err() == nil {
				r.log.Warn("what could not be read cannot be read again", "resource", s.resource, "error", err)
			}
		}
		cancel()
	}
	return len(f.unreadable(schema.GroupResource{}))
}

// readable reports that one of the values can be read now, or is there no more.
func (r *resources) readable(ctx context.Context, failures []Failure) bool {
	for _, x := range failures {
		kv, ok, _, err := r.reader.store.Get(ctx, x.Key)
		if err != nil {
			return false
		}
		if !ok {
			r.reader.decoder.failures.forget(x.Resource, x.Key)
			continue
		}
		if kv.Err == nil {
			return true
		}
	}
	return false
}

// mendOne reads a resource, as reread does, until that was not disturbed.
func (r *resources) mendOne(ctx context.Context, s *state) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	if s.isRemoved() || !s.serving.Load() || s.rereading {
		return nil // it is read anyhow, or not at all
	}
	s.rereading = true // whoever wants it read again finds it stale below
	for {
		epoch := r.epoch
		s.stale = false
		s.begin()
		r.applying.Unlock()
		tree, rev, err := r.readState(ctx, s)
		r.applying.Lock()
		switch {
		case s.isRemoved():
			return nil
		case err != nil:
			s.abandon()
			if s.rereading = false; s.stale {
				r.reread(s)
			}
			return err
		case r.epoch == epoch && !s.stale:
			s.rereading = false
			s.mended(tree, max(rev.at, r.progress.Revision()))
			return nil
		}
	}
}
