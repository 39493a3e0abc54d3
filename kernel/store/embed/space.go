package embed

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/pintle-io/pintle/kernel/store"
)

// Usage is what the database takes.
type Usage struct {
	File  int64 `json:"file"` // bytes of the file, which is what Quota bounds
	Used  int64 `json:"used"` // bytes of it that hold something, history included
	Quota int64 `json:"quota"`
	// Full: the NOSPACE alarm is raised. Nothing can be put, and deletions go
	// on, until Disarm.
	Full bool `json:"full"`
}

// Usage looks; it asks nobody.
func (s *Server) Usage() Usage {
	b := s.etcd.Server.Backend()
	u := Usage{File: b.Size(), Used: b.SizeInUse(), Quota: s.quota}
	for _, a := range s.etcd.Server.Alarms() {
		u.Full = u.Full || a.Alarm == etcdserverpb.AlarmType_NOSPACE
	}
	return u
}

// Compact drops history below revision, as store.Compact does, and returns
// when the pages of it are free. That it was compacted before is no error.
func (s *Server) Compact(ctx context.Context, revision int64) error {
	_, err := s.client.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) {
		return fmt.Errorf("compact to %d: %w", revision, err)
	}
	return s.commitFreed(ctx)
}

// Pages that a transaction of the database frees count as free in the next
// one, and only if no reader began before; readers end a moment later.
const (
	commitTries = 10
	commitPause = 20 * time.Millisecond
)

// commitFreed commits until what is in use gets no less.
func (s *Server) commitFreed(ctx context.Context) error {
	b := s.etcd.Server.Backend()
	b.ForceCommit()
	for i, used := 0, b.SizeInUse(); i < commitTries; i++ {
		select {
		case <-time.After(commitPause):
		case <-ctx.Done():
			return ctx.Err()
		}
		// Without a pending change nothing is committed: this one is none.
		tx := b.BatchTx()
		tx.LockOutsideApply()
		tx.UnsafeDelete(schema.Meta, []byte("nothing"))
		tx.Unlock()
		b.ForceCommit()
		now := b.SizeInUse()
		if i > 1 && now >= used {
			break
		}
		used = now
	}
	return nil
}

// spareForLog is left to the write-ahead log when the database is copied: it
// is laid out in segments of this size.
const spareForLog = 64 << 20

// Defragment copies what is in use to a new file and gives the space of the
// old one back. The member answers nobody while it runs.
//
// # Errors
//   - store.ErrNoSpace when the disk has no room for the copy: nothing was done
func (s *Server) Defragment(context.Context) error {
	b := s.etcd.Server.Backend()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return fmt.Errorf("defragment: %s: %w", s.dir, err)
	}
	need, free := b.SizeInUse()+spareForLog, int64(disk.Bavail)*disk.Bsize
	if free < need {
		return fmt.Errorf("defragment: %w: the copy needs %d MiB on the disk of %s, %d MiB are free", store.ErrNoSpace, need>>20, s.dir, free>>20)
	}
	if err := b.Defrag(); err != nil {
		return fmt.Errorf("defragment: %w", explain(err))
	}
	return nil
}

// Disarm lifts the alarm that a full database raised, on all members. It is
// raised again by the next write that does not fit.
func (s *Server) Disarm(ctx context.Context) error {
	for _, a := range s.etcd.Server.Alarms() {
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		if _, err := s.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.MemberID, Alarm: a.Alarm}); err != nil {
			return fmt.Errorf("disarm the NOSPACE alarm: %w", err)
		}
	}
	return nil
}
