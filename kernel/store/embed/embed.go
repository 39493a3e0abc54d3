// Package embed runs an etcd member in this process. Its own calls need no
// socket: Store talks to the member through function calls. A single member
// opens no listener at all; listeners for peers and for foreign clients are
// opened when the Config names them.
//
// The member owns its data directory, under a lock. It survives being killed
// at any moment: what Commit acknowledged is on disk (unless
// Config.UnsafeNoFsync).
// RATIONALE.md: "Why is etcd inside the process?"
package embed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"github.com/pintle-io/pintle/kernel/store"
)

// Errors of Start and Err that a person can act on. They are wrapped: test
// with errors.Is. A full disk is store.ErrNoSpace.
var (
	// ErrInUse: another process, or another member in this one, holds the data
	// directory.
	ErrInUse = errors.New("data directory is in use")
	// ErrAddress: a listen address is taken or not ours.
	ErrAddress = errors.New("cannot listen")
	// ErrCorrupt: the data directory cannot be read. It must be restored from
	// a backup or, with other members running, be rebuilt by joining again.
	ErrCorrupt = errors.New("data directory is damaged")
)

// Server is a running member.
type Server struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	lock   *dirLock
	faults *faults
	dir    string
	quota  int64
	raft   *raftLog

	close sync.Once
	err   chan error
	done  chan struct{}
}

// Start runs a member and returns when it serves requests. ctx bounds the
// start only: Close ends the member. A new member of a larger cluster serves
// when a majority of it is up.
//
// # Errors
//   - ErrInUse, ErrAddress, ErrCorrupt, store.ErrNoSpace
//   - ctx's error when ctx ends before the member serves
func Start(ctx context.Context, c Config) (*Server, error) {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if c.Dir == "" {
		return nil, errors.New("store: no data directory given")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", explain(err))
	}
	faults := newFaults()
	cfg, err := c.etcd(log, faults)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	index, err := inspect(&c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), lock.release())
	}
	s := &Server{lock: lock, faults: faults, dir: c.Dir, quota: cfg.QuotaBackendBytes, err: make(chan error, 1), done: make(chan struct{})}
	if len(c.PeerURLs) > 0 {
		index = 0 // what the log lacks comes from the others
	}
	if err := s.start(ctx, cfg, index); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), lock.release())
	}
	if err := c.mark(); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", explain(err)), s.stop(), lock.release())
	}
	s.client = v3client.New(s.etcd.Server)
	s.raft = newRaftLog(int(cfg.SnapshotCatchUpEntries), c.logBytes(), s.propose, s.etcd.Server.Backend().ForceCommit, log)
	go s.raft.run(s.done)
	go s.supervise()
	return s, nil
}

// stuck is how long a start may take before it is looked at whether it can end.
const stuck = 2 * time.Second

// start runs etcd up to the point where it serves. index is that of the
// database; the log of a single member must hold as much.
func (s *Server) start(ctx context.Context, cfg *embed.Config, index uint64) error {
	var err error
	if s.etcd, err = s.startEtcd(cfg); err != nil {
		return s.explainStart(err)
	}
	look := time.NewTicker(stuck)
	defer look.Stop()
	for err == nil {
		select {
		case <-s.etcd.Server.ReadyNotify():
			return nil
		case err = <-s.etcd.Err():
		case err = <-s.faults.first:
		case <-s.etcd.Server.StopNotify():
			err = errors.New("stopped while starting")
		case <-ctx.Done():
			err = ctx.Err()
		case <-look.C:
			err = s.logTooShort(index)
		}
	}
	return errors.Join(s.explainStart(err), s.stop())
}

// logTooShort finds why a start does not end: etcd passes over entries that
// the database has already, its own first ones among them.
func (s *Server) logTooShort(index uint64) error {
	end, ok := logEnd(s.dir)
	if !ok || end >= index {
		return nil
	}
	return damage(fmt.Errorf("the log in %s ends with entry %d, and %s holds what came up to %d%s", logDir(s.dir), end, database(s.dir), index, whole(database(s.dir))))
}

// explainStart names the files of a member that does not start.
func (s *Server) explainStart(err error) error {
	err = explain(err)
	if errors.Is(err, ErrCorrupt) && !strings.Contains(err.Error(), s.dir) {
		// The database was read; what is left is the log, or that they do not match.
		cause := strings.TrimPrefix(err.Error(), ErrCorrupt.Error()+": ")
		return damage(fmt.Errorf("the log in %s cannot be used with the database %s: %s", logDir(s.dir), database(s.dir), cause))
	}
	return err
}

// stopTimeout is how long a member may take to stop after a fault. The part of
// it that failed may be what the others wait for.
const stopTimeout = 2 * time.Second

// stop ends etcd, with patience unless a fault happened.
func (s *Server) stop() error {
	s.faults.closing.Store(true)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.etcd.Close()
	}()
	select {
	case <-stopped:
		return nil
	case <-s.faults.happened:
	}
	select {
	case <-stopped:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("%w: the member does not stop after its fault; end the process", store.ErrUnavailable)
	}
}

// startEtcd calls etcd in a goroutine of its own, because a fault in what it
// finds on disk ends the goroutine that meets it, this one or one behind it.
func (s *Server) startEtcd(cfg *embed.Config) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				started <- result{nil, fmt.Errorf("%w: %v", ErrCorrupt, p)}
			}
		}()
		e, err := embed.StartEtcd(cfg)
		started <- result{e, err}
	}()
	select {
	case r := <-started:
		return r.etcd, r.err
	case err := <-s.faults.first:
		return nil, err
	}
}

// supervise reports the end of the member.
func (s *Server) supervise() {
	defer close(s.err)
	select {
	case err := <-s.faults.first:
		s.err <- explain(err)
	case err, ok := <-s.etcd.Err():
		if ok && err != nil {
			s.err <- explain(err)
		}
	case <-s.etcd.Server.StopNotify():
		s.err <- fmt.Errorf("%w: the member stopped by itself", store.ErrUnavailable)
	case <-s.done:
	}
}

// Err delivers the fault that stopped the member, if one does, and closes when
// the member has ended. After a fault the process should exit: nothing that
// was acknowledged is lost.
func (s *Server) Err() <-chan error { return s.err }

// Store returns the store kept by this member. Its Close does nothing of
// consequence; close the Server instead.
func (s *Server) Store() store.Store {
	return &view{Store: &counted{Store: store.New(s.client, store.Config{}), log: s.raft}}
}

// view keeps the Close of one user from cutting off the others.
type view struct{ store.Store }

func (*view) Close() error { return nil }

// Backup writes a consistent copy of the database, in the format of `etcdctl
// snapshot save`.
func (s *Server) Backup(ctx context.Context, w io.Writer) error {
	r, err := s.client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err = io.Copy(w, r); err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), r.Close())
	}
	return r.Close()
}

// Close stops the member in good order and releases its directory. After a
// fault it may not be able to, and says so.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		close(s.done)
		s.faults.closing.Store(true)
		select {
		case <-s.raft.done:
		case <-s.faults.happened: // it may wait for what failed
		}
		s.client.Close()
		err = errors.Join(s.stop(), s.lock.release())
	})
	return err
}
