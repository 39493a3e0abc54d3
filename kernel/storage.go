package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/maintain"
)

// ErrStoreFailed: the embedded etcd met a fault that it does not recover from,
// such as a full disk. What it acknowledged is on the disk.
var ErrStoreFailed = errors.New("the embedded etcd failed")

// storage is the store of a control plane, and what keeps it working.
type storage struct {
	store.Store
	lent   bool             // somebody else closes it
	embed  *embed.Server    // nil with another store, like keeper
	keeper *maintain.Keeper // of the embedded store's space
	failed chan struct{}    // closed when embed has failed
}

func openStorage(ctx context.Context, c *Config) (*storage, error) {
	s := &storage{failed: make(chan struct{})}
	var err error
	switch {
	case c.Store != nil:
		s.Store, s.lent = c.Store, true
	case c.Etcd != nil:
		if s.Store, err = store.Dial(ctx, *c.Etcd); err != nil {
			return nil, err
		}
		c.Progress("etcd", "external, %v", c.Etcd.Endpoints)
	default:
		err = s.start(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *storage) start(ctx context.Context, c *Config) error {
	e, err := embed.Start(ctx, embed.Config{Dir: c.path("etcd"), Marker: c.path("etcd-initialized"), Quota: c.EtcdQuota, UnsafeNoFsync: c.UnsafeNoFsync, Log: c.Log})
	if err != nil {
		return err
	}
	s.embed, s.Store = e, e.Store()
	s.keeper = maintain.New(maintain.Config{DB: e, Revision: s.Revision, Log: c.Log})
	rev, err := s.Revision(ctx)
	if err != nil {
		return err
	}
	c.Progress("etcd", "embedded, revision %d", rev)
	return nil
}

// Close closes the store, then the etcd that it is of.
func (s *storage) Close() error {
	var errs []error
	if s.Store != nil && !s.lent {
		errs = append(errs, s.Store.Close())
	}
	if s.embed != nil {
		errs = append(errs, s.embed.Close())
	}
	return errors.Join(errs...)
}

// follow returns when the embedded etcd has failed. Nothing works without it,
// and it does not come back in this process.
func (s *storage) follow(ctx context.Context) error {
	if s.embed == nil {
		return nil
	}
	select {
	case err, failed := <-s.embed.Err():
		if !failed { // it was closed
			return nil
		}
		close(s.failed)
		return fmt.Errorf("%w: %w", ErrStoreFailed, err)
	case <-ctx.Done():
		return nil
	}
}

// check is a health check.
func (s *storage) check(ctx context.Context) error {
	_, err := s.Revision(ctx)
	return err
}
