package recent

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Readers that come while a read is under way share the next one, and nobody
// is answered by a read that began before the reader came.
func TestRevisionsAreShared(t *testing.T) {
	var reads, now atomic.Int64
	gate := make(chan struct{})
	r := NewRevisions(func(context.Context) (int64, error) {
		reads.Add(1)
		rev := now.Load() // as of the beginning of the read
		<-gate
		return rev, nil
	}, time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() { r.Get(context.Background()) })
	for reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	now.Store(7) // a write finishes while the first read is under way
	var asked sync.WaitGroup
	for range 1000 {
		asked.Add(1)
		wg.Go(func() {
			asked.Done()
			if rev, err := r.Get(context.Background()); err != nil || rev < 7 {
				t.Errorf("revision %d, %v; a write at 7 had finished", rev, err)
			}
		})
	}
	asked.Wait()
	time.Sleep(20 * time.Millisecond) // they are in get
	close(gate)
	wg.Wait()
	if n := reads.Load(); n > 3 {
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
	time.Sleep(20 * time.Millisecond)
	cancel()
	time.Sleep(20 * time.Millisecond)
	close(gate)
	wg.Wait()
}
