package recent

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Readers that come while a read is under way share the next one, and nobody
// is answered by a read that began before the reader came.
func TestRevisionsAreShared(t *testing.T) { synctest.Test(t, revisionsAreShared) }

func revisionsAreShared(t *testing.T) {
	var reads, now atomic.Int64
	gate := make(chan struct{})
	r := newRevisions(func(context.Context) (int64, error) {
		reads.Add(1)
		rev := now.Load() // as of the beginning of the read
		<-gate
		return rev, nil
	}, time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() { r.Get(context.Background()) })
	synctest.Wait() // it reads
	now.Store(7)    // a write finishes while the first read is under way
	for range 1000 {
		wg.Go(func() {
			if rev, err := r.Get(context.Background()); err != nil || rev < 7 {
				t.Errorf("revision %d, %v; a write at 7 had finished", rev, err)
			}
		})
	}
	synctest.Wait() // they wait for the next read
	close(gate)
	wg.Wait()
	if n := reads.Load(); n != 2 {
		t.Errorf("%d reads for 1,001 readers", n)
	}
	// One who gives up does not take the others' answer away.
	gate = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := r.Get(ctx); err == nil {
			t.Error("no error after cancel")
		}
	})
	wg.Go(func() {
		if _, err := r.Get(context.Background()); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	cancel()
	synctest.Wait()
	close(gate)
	wg.Wait()
}
