package maintain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// Database is what is maintained; *embed.Server is one.
type Database interface {
	Usage() embed.Usage
	Compact(ctx context.Context, revision int64) error
	Defragment(ctx context.Context) error
	Disarm(ctx context.Context) error
	Backup(ctx context.Context, w io.Writer) error
}

// Config is what a Keeper is made of. DB and Revision are required.
type Config struct {
	DB       Database
	Revision func(ctx context.Context) (int64, error) // of the store, now
	// Interval is how often the sizes are looked at. 0 is 5 seconds.
	Interval time.Duration
	Clock    clock.WithTicker // nil is the system's
	Log      *slog.Logger     // nil discards
}

const interval = 5 * time.Second

// ErrFull: the database has reached its quota, and compaction does not help.
var ErrFull = errors.New("the database is full")

// Keeper looks after one database.
type Keeper struct {
	c Config

	busy  sync.Mutex // held while space is reclaimed
	turns turns

	mu     sync.Mutex
	since  time.Time // when the database began to be wasteful, without a break; guarded by mu
	last   time.Time // of the last attempt; guarded by mu
	tried  int64     // revision of the last attempt that gave too little; guarded by mu
	told   bool      // that it is full; guarded by mu
	reason error     // why the last attempt gave too little; guarded by mu
}

// New makes a keeper that does nothing until Run.
func New(c Config) *Keeper {
	if c.Interval == 0 {
		c.Interval = interval
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{c: c}
}

// Run looks at the database until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	t := k.c.Clock.NewTicker(k.c.Interval)
	defer t.Stop()
	for {
		select {
		case <-t.C():
			k.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look does what the database needs, if it is time for it.
func (k *Keeper) look(ctx context.Context) {
	n, rev := needOf(k.c.DB.Usage()), int64(0)
	if n == outOfSpace {
		var err error
		if rev, err = k.c.Revision(ctx); err != nil {
			return // the store's own check says so
		}
	}
	if !k.due(n, rev) {
		return
	}
	r, err := k.reclaim(ctx, n == outOfSpace)
	switch {
	case err == nil:
		k.c.Log.Info("gave space of the database back", "before", r.Before.File, "after", r.After.File, "used", r.After.Used, "took", r.Took)
	case ctx.Err() != nil:
	case n == outOfSpace:
		k.warnFull(err)
	default: // it works on; the next attempt is a while away
		k.c.Log.Info("the database keeps space that it does not use", "error", err)
	}
}

// due says whether to reclaim space now, at revision rev. A database that is
// full is tried again when something was deleted: little else can have changed.
func (k *Keeper) due(n need, rev int64) bool {
	now := k.c.Clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n != outOfSpace {
		k.tried, k.told, k.reason = 0, false, nil
	}
	if n == nothing {
		k.since = time.Time{}
		return false
	}
	if k.since.IsZero() {
		k.since = now
	}
	rested := k.last.IsZero() || now.Sub(k.last) >= calm
	switch n {
	case outOfSpace:
		return rested || rev != k.tried
	case nearQuota:
		return rested
	default:
		return rested && now.Sub(k.since) >= calm
	}
}

// warnFull says once what a person has to do.
func (k *Keeper) warnFull(err error) {
	k.mu.Lock()
	told := k.told
	k.told = true
	k.mu.Unlock()
	if !told {
		k.c.Log.Error("no writes are accepted", "error", err)
	}
}

// Result is what Reclaim did.
type Result struct {
	Before embed.Usage   `json:"before"`
	After  embed.Usage   `json:"after"`
	Took   time.Duration `json:"took"`
}

// Reclaim drops history, gives the space back to the file system and, if that
// makes room, lets a full database take writes again. Pages of lists from
// before are answered with 410 Gone. The store does not answer meanwhile. One
// call runs at a time; others wait.
//
// # Errors
//   - ErrFull when history was not what filled the database
//   - store.ErrNoSpace when the disk has no room for the copy
//   - ErrSnapshot when one is being taken; a full database ends it
func (k *Keeper) Reclaim(ctx context.Context) (Result, error) { return k.reclaim(ctx, true) }

func (k *Keeper) reclaim(ctx context.Context, history bool) (Result, error) {
	k.busy.Lock()
	defer k.busy.Unlock()
	start := k.c.Clock.Now()
	r := Result{Before: k.c.DB.Usage()}
	rev, err := k.steps(ctx, history)
	r.After, r.Took = k.c.DB.Usage(), k.c.Clock.Since(start)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.since, k.tried, k.reason = k.c.Clock.Now(), time.Time{}, rev, err
	return r, err
}

func (k *Keeper) steps(ctx context.Context, history bool) (rev int64, err error) {
	if rev, err = k.c.Revision(ctx); err != nil {
		return 0, err
	}
	end, err := k.turns.defragment(ctx, k.c.DB.Usage().Full)
	if err != nil {
		return rev, fmt.Errorf("defragment: %w", err)
	}
	defer end()
	if history {
		if err := k.c.DB.Compact(ctx, rev); err != nil {
			return rev, err
		}
	}
	if u := k.c.DB.Usage(); u.Full && !room(u) {
		return rev, fmt.Errorf("%w: %d MiB of a quota of %d MiB hold objects; delete some, or start with a larger --etcd-quota-backend-bytes", ErrFull, u.Used>>20, u.Quota>>20)
	}
	if err := k.c.DB.Defragment(ctx); err != nil {
		return rev, err
	}
	return rev, k.c.DB.Disarm(ctx)
}

// Check fails while writes are refused for want of space; it is a readiness
// check.
func (k *Keeper) Check(context.Context) error {
	if !k.c.DB.Usage().Full {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reason != nil {
		return k.reason
	}
	return fmt.Errorf("%w: space is being reclaimed", store.ErrNoSpace)
}
