package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
)

// Load writes to s with several writers until ctx ends or the process is
// killed, and puts a line on acks for every commit that the store
// acknowledged. Every commit writes a pair of keys. round makes the keys of
// one call differ from another's.
func Load(ctx context.Context, s store.Store, acks io.Writer, round string, writers int) error {
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	var mu sync.Mutex
	for w := range writers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d-%d", round, w, i)
				rev, err := s.Commit(ctx, []store.Op{
					{Key: "/load/a/" + id, Value: []byte(id), Expect: store.Absent},
					{Key: "/load/b/" + id, Value: []byte(id), Expect: store.Absent},
				})
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				_, err = fmt.Fprintf(acks, "ack %s %d\n", id, rev)
				mu.Unlock()
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// Acks reads what Load wrote: the revision of each acknowledged pair. A last
// line that was cut short is not counted. It stops after n, or at the end.
func Acks(r *bufio.Reader, into map[string]int64, n int) error {
	for range n {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		var id string
		var rev int64
		if _, err := fmt.Sscanf(line, "ack %s %d\n", &id, &rev); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		into[id] = rev
	}
	return nil
}

// Verify checks a store after a crash: every acknowledged pair is there at its
// revision, and every pair is whole, acknowledged or not.
func Verify(t *testing.T, s store.Store, acked map[string]int64) {
	t.Helper()
	halves := map[string][]store.KV{}
	kvs, _, rev, err := s.List(t.Context(), "/load/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range kvs {
		id := strings.TrimPrefix(strings.TrimPrefix(kv.Key, "/load/a/"), "/load/b/")
		if string(kv.Value) != id {
			t.Errorf("%s holds %q", kv.Key, kv.Value)
		}
		halves[id] = append(halves[id], kv)
	}
	for id, pair := range halves {
		if len(pair) != 2 || pair[0].ModRevision != pair[1].ModRevision {
			t.Errorf("pair %s is not whole: %+v", id, pair)
		}
	}
	for id, want := range acked {
		if pair := halves[id]; len(pair) == 0 || pair[0].ModRevision != want {
			t.Errorf("pair %s was acknowledged at %d and is lost: %+v", id, want, pair)
		}
		if want > rev {
			t.Errorf("pair %s was acknowledged at %d, the store is at %d", id, want, rev)
		}
	}
}
