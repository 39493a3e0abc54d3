package watch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// away is a store whose watches end at once while it is down, like those of an
// etcd without a leader.
type away struct {
	store.Store
	down  atomic.Bool
	tries atomic.Int64
}

func (a *away) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	a.tries.Add(1)
	if !a.down.Load() {
		return a.Store.Watch(ctx, prefix, after)
	}
	none := make(chan store.Batch)
	close(none)
	return refused{none}
}

type refused struct{ batches chan store.Batch }

func (r refused) Batches() <-chan store.Batch { return r.batches }
func (r refused) Err() error                  { return store.ErrUnavailable }

// TestFollowsAtOnceAfterAnOutage: reads wait for the cache, so that every
// second that it waits after the store is back is one of theirs.
func TestFollowsAtOnceAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &away{Store: memory.New()}
		s.down.Store(true)
		c, stop := runUntil(t, watch.Config{Store: s})
		defer stop()
		time.Sleep(time.Minute)
		if n := s.tries.Load(); n < 30 || n > 100 {
			t.Errorf("%d tries in a minute", n)
		}
		s.down.Store(false)
		time.Sleep(time.Second)
		put := []store.Op{{Key: "/registry/pods/a/b", Value: encode(t, pod("a", "b", "", nil)), Expect: store.Absent}}
		rev, err := s.Commit(t.Context(), put)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := c.Revision(); got != rev {
			t.Errorf("a second after the store is back the cache is at %d, the store at %d", got, rev)
		}
	})
}
