package embed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/pintle-io/pintle/kernel/store"
)

// etcd cuts the raft log that it has in memory by number: after every hundred
// entries, leaving those for slow followers. An entry may be megabytes: forty
// versions of a large object would be kept for as long as nothing else is
// written. A raftLog therefore counts bytes, and when they are too many has the
// log move on by empty entries, whose application changes nothing. The buffer
// between log and database is alike: it keeps the values of its fullest moment
// until two commits in a row find nothing new in it.
const (
	// memoryEntries is etcd's number.
	memoryEntries = 100
	// logBytes may be in the log of a member before it is cut, which takes a
	// hundred proposals, 5 ms of a processor; in a cluster, slow followers live
	// on it.
	logBytes       = 64 << 20
	singleLogBytes = 8 << 20
	// restBytes may stay for longer than restEvery.
	restBytes = 256 << 10
	restEvery = 5 * time.Second
	// cutTimeout bounds the wait for the empty entries.
	cutTimeout = 10 * time.Second
)

// raftLog bounds the bytes of the raft log in memory. What others write, a
// cluster's other members or foreign clients, is counted where it is written,
// if anywhere.
// RATIONALE.md: "Why are empty entries written into the raft log?"
type raftLog struct {
	limit   int
	entries int // empty ones that push everything else out
	propose func(context.Context) error
	commit  func() // of the database's buffer
	log     *slog.Logger

	full chan struct{} // holds a token when there is too much
	done chan struct{} // closed when run has returned

	mu    sync.Mutex
	sizes []int // of the last entries, a ring; guarded by mu
	next  int   // guarded by mu
	bytes int   // their sum; guarded by mu
}

// newRaftLog makes a raftLog for a member that keeps catchUp entries for slow
// followers. propose adds an empty entry and waits until it has been applied;
// commit empties the database's buffer.
func newRaftLog(catchUp, limit int, propose func(context.Context) error, commit func(), log *slog.Logger) *raftLog {
	return &raftLog{
		limit: limit, propose: propose, commit: commit, log: log,
		// The hundred that make etcd cut may begin before the last of the large
		// ones, and must then begin again behind it.
		entries: catchUp + memoryEntries + 1,
		full:    make(chan struct{}, 1), done: make(chan struct{}),
		sizes: make([]int, catchUp+memoryEntries),
	}
}

// wrote counts an entry.
func (l *raftLog) wrote(ops []store.Op) {
	n := 0
	for i := range ops {
		n += len(ops[i].Key) + len(ops[i].Value)
	}
	l.mu.Lock()
	l.bytes += n - l.sizes[l.next]
	l.sizes[l.next] = n
	l.next = (l.next + 1) % len(l.sizes)
	tooMuch := l.bytes > l.limit
	l.mu.Unlock()
	if tooMuch {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// begin tells whether to cut, and takes what is there as cut.
func (l *raftLog) begin(limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes <= limit {
		return false
	}
	clear(l.sizes)
	l.bytes = 0
	return true
}

// run cuts the log until stop is closed.
func (l *raftLog) run(stop <-chan struct{}) {
	defer close(l.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	t := time.NewTicker(restEvery)
	defer t.Stop()
	for buffered := false; ; {
		select {
		case <-l.full:
			if l.begin(l.limit) {
				l.cut(ctx)
				buffered = true
			}
		case <-t.C:
			if l.begin(restBytes) {
				l.cut(ctx)
				buffered = true
			}
			if buffered {
				l.commit()
				l.commit()
				buffered = false
			}
		case <-stop:
			return
		}
	}
}

// cut proposes the empty entries, all at once: few writes to the disk carry
// them. One that fails is no harm, the log is cut later then.
func (l *raftLog) cut(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, cutTimeout)
	defer cancel()
	errs := make(chan error, l.entries)
	for range l.entries {
		go func() { errs <- l.propose(ctx) }()
	}
	var first error
	for range l.entries {
		if err := <-errs; first == nil {
			first = err
		}
	}
	if first != nil {
		l.log.Debug("the raft log stays longer than needed", "error", first)
	}
}

// propose adds an entry to the raft log whose application changes nothing: a
// question about authentication, which etcd answers in the log's order.
func (s *Server) propose(ctx context.Context) error {
	_, err := s.etcd.Server.AuthStatus(ctx, &pb.AuthStatusRequest{})
	return err
}

// counted is a store whose writes a raftLog counts.
type counted struct {
	store.Store
	log *raftLog
}

func (c *counted) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	rev, err := c.Store.Commit(ctx, ops)
	c.log.wrote(ops) // one that failed may be in the log as well
	return rev, err
}
