package maintain_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/maintain"
)

// database is one of which only the sizes matter.
type database struct {
	mu       sync.Mutex
	now      embed.Usage
	objects  int64 // bytes that are left in use without history
	revision int64
	noRoom   error // of the disk

	compacted, defragmented int
}

// change lets a test have something happen.
func (d *database) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *database) Usage() (u embed.Usage) {
	d.change(func() { u = d.now })
	return u
}

func (d *database) Compact(context.Context, int64) error {
	d.change(func() { d.compacted, d.now.Used = d.compacted+1, d.objects })
	return nil
}

func (d *database) Defragment(context.Context) error {
	if d.noRoom != nil {
		return d.noRoom
	}
	d.change(func() { d.defragmented, d.now.File = d.defragmented+1, d.now.Used })
	return nil
}

func (d *database) Revision(context.Context) (rev int64, err error) {
	d.change(func() { rev = d.revision })
	return rev, nil
}

func (d *database) Disarm(context.Context) error {
	d.change(func() { d.now.Full = false })
	return nil
}

func (d *database) Backup(context.Context, io.Writer) error  { return nil }
func (d *database) keeper(log *slog.Logger) *maintain.Keeper { return keeper(d, d.Revision, log) }

func keeper(d maintain.Database, rev func(context.Context) (int64, error), log *slog.Logger) *maintain.Keeper {
	return maintain.New(maintain.Config{DB: d, Revision: rev, Log: log})
}

// output is what was logged.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

const mib = 1 << 20

// TestKeeper looks at what is done by itself, and when.
func TestKeeper(t *testing.T) {
	for name, tc := range map[string]struct {
		db                 *database
		wait               time.Duration
		compact, defragged int
	}{
		"nothing to do":           {&database{now: embed.Usage{File: 100 * mib, Used: 90 * mib, Quota: 8192 * mib}}, time.Hour, 0, 0},
		"little waste":            {&database{now: embed.Usage{File: 60 * mib, Used: mib, Quota: 8192 * mib}}, time.Hour, 0, 0},
		"waste, a moment ago":     {&database{now: embed.Usage{File: 270 * mib, Used: 5 * mib, Quota: 8192 * mib}}, 9 * time.Minute, 0, 0},
		"waste that lasts":        {&database{now: embed.Usage{File: 270 * mib, Used: 5 * mib, Quota: 8192 * mib}}, 11 * time.Minute, 0, 1},
		"a copy that takes long":  {&database{now: embed.Usage{File: 500 * mib, Used: 100 * mib, Quota: 8192 * mib}}, time.Hour, 0, 0},
		"near the quota":          {&database{now: embed.Usage{File: 80 * mib, Used: 50 * mib, Quota: 100 * mib}}, 6 * time.Second, 0, 1},
		"near a large quota":      {&database{now: embed.Usage{File: 7000 * mib, Used: 5000 * mib, Quota: 8192 * mib}}, time.Hour, 0, 0},
		"full of history":         {&database{now: embed.Usage{File: 100 * mib, Used: 100 * mib, Quota: 100 * mib, Full: true}, objects: 50 * mib}, 6 * time.Second, 1, 1},
		"full of objects":         {&database{now: embed.Usage{File: 100 * mib, Used: 100 * mib, Quota: 100 * mib, Full: true}, objects: 99 * mib, revision: 7}, 9 * time.Minute, 1, 0},
		"full, tried again later": {&database{now: embed.Usage{File: 100 * mib, Used: 100 * mib, Quota: 100 * mib, Full: true}, objects: 99 * mib, revision: 7}, 11 * time.Minute, 2, 0},
		"no room for the copy":    {&database{now: embed.Usage{File: 270 * mib, Used: 5 * mib, Quota: 8192 * mib}, noRoom: store.ErrNoSpace}, 19 * time.Minute, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.wait)
				defer cancel()
				if err := tc.db.keeper(nil).Run(ctx); err != nil {
					t.Error(err)
				}
				if tc.db.compacted != tc.compact || tc.db.defragmented != tc.defragged {
					t.Errorf("compacted %d times, defragmented %d times, want %d and %d", tc.db.compacted, tc.db.defragmented, tc.compact, tc.defragged)
				}
			})
		})
	}
}

// TestFull tells once that a person has to do something, says so to readiness,
// and goes on as soon as he has.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		d := &database{now: embed.Usage{File: 100 * mib, Used: 100 * mib, Quota: 100 * mib, Full: true}, objects: 99 * mib, revision: 7}
		k := d.keeper(slog.New(slog.NewTextHandler(&out, nil)))
		if err := k.Check(t.Context()); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("a full database is found %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- k.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := k.Check(ctx); !errors.Is(err, maintain.ErrFull) || !strings.Contains(err.Error(), "--etcd-quota-backend-bytes") {
			t.Errorf("a database full of objects is found %v", err)
		}
		if n := strings.Count(out.String(), "level=ERROR"); n != 1 {
			t.Errorf("told %d times:\n%s", n, out.String())
		}
		d.change(func() { d.objects, d.revision = 10*mib, 8 }) // somebody deletes
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if err := k.Check(ctx); err != nil || d.Usage().Full || d.Usage().File != 10*mib {
			t.Errorf("after deletions: %v, %+v", err, d.Usage())
		}
		cancel()
		<-done
	})
}

// TestRepair fills a real database with history until it takes no more, and
// waits until it does again.
func TestRepair(t *testing.T) {
	s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true, Quota: 16 * mib, History: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	st := s.Store()
	put := func() error {
		_, err := st.Commit(t.Context(), []store.Op{{Key: "/big", Value: make([]byte, mib), Expect: store.Any}})
		return err
	}
	for i := 0; i < 64 && err == nil; i++ {
		err = put()
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("writing 64 MiB into 16: %v", err)
	}
	k := maintain.New(maintain.Config{DB: s, Revision: st.Revision, Interval: 20 * time.Millisecond})
	if err := k.Check(t.Context()); err == nil {
		t.Error("a full database is ready")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	defer func() { cancel(); <-done }()
	deadline := time.Now().Add(30 * time.Second)
	for err = put(); errors.Is(err, store.ErrNoSpace) && time.Now().Before(deadline); err = put() {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("the database was not repaired: %v", err)
	}
	for k.Check(ctx) != nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if err := k.Check(ctx); err != nil {
		t.Error(err)
	}
	if u := s.Usage(); u.File > 8*mib {
		t.Errorf("reclaimed to %+v", u)
	}
}
