package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
)

// counters has several writers increment the same counters by compare and
// put. A watcher must see every value once, in order: a lost update, a write
// acknowledged twice or a stale read breaks the sequence.
func counters(t *testing.T, s store.Store) {
	const writers, increments, counters = 8, 40, 2
	start, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := s.Watch(t.Context(), "/counter/", start)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range increments {
				if err := increment(t, s, fmt.Sprintf("/counter/%d", i%counters)); err != nil {
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	last, seen := start, map[string]int{}
	for _, b := range take(t, w, writers*increments) {
		for _, e := range b.Events {
			if e.KV.ModRevision <= last {
				t.Fatalf("revision %d after %d", e.KV.ModRevision, last)
			}
			last = e.KV.ModRevision
			seen[e.KV.Key]++
			if got := string(e.KV.Value); got != strconv.Itoa(seen[e.KV.Key]) {
				t.Fatalf("%s went to %s at its increment %d", e.KV.Key, got, seen[e.KV.Key])
			}
		}
	}
	if now, err := s.Revision(t.Context()); err != nil || now != last {
		t.Errorf("%d increments went from revision %d to %d, want %d: %v", writers*increments, start, now, last, err)
	}
}

// increment tries until it wins. A conflict must tell the value that won, or
// it would have been no conflict.
func increment(t *testing.T, s store.Store, key string) error {
	kv, _, _, err := s.Get(t.Context(), key)
	for err == nil {
		n, _ := strconv.Atoi(string(kv.Value))
		var rev int64
		op := store.Op{Key: key, Value: []byte(strconv.Itoa(n + 1)), Expect: kv.ModRevision}
		rev, err = s.Commit(t.Context(), []store.Op{op})
		if err == nil && rev <= kv.ModRevision {
			return fmt.Errorf("commit over revision %d was given revision %d", kv.ModRevision, rev)
		}
		var c *store.ConflictError
		if !errors.As(err, &c) {
			return err
		}
		if c.Current.ModRevision <= kv.ModRevision {
			return fmt.Errorf("conflict over %d tells older %d", kv.ModRevision, c.Current.ModRevision)
		}
		kv, err = c.Current, nil
	}
	return err
}

// transfers moves amounts between accounts, two keys in a commit, while
// readers add all accounts up: every list is of one moment.
func transfers(t *testing.T, s store.Store) {
	const accounts, each, writers, moves = 5, 100, 4, 30
	for i := range accounts {
		put(t, s, fmt.Sprintf("/account/%d", i), strconv.Itoa(each))
	}
	stop := make(chan struct{})
	var readers, wg sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if sum, err := total(t, s); err != nil || sum != accounts*each {
				t.Errorf("accounts add up to %d, want %d: %v", sum, accounts*each, err)
				return
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range moves {
				if err := transfer(t, s, r.Perm(accounts)); err != nil {
					t.Errorf("transfer: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
}

func total(t *testing.T, s store.Store) (sum int, err error) {
	kvs, _, _, err := s.List(t.Context(), "/account/", store.ListOptions{})
	for _, kv := range kvs {
		n, _ := strconv.Atoi(string(kv.Value))
		sum += n
	}
	return sum, err
}

func transfer(t *testing.T, s store.Store, accounts []int) error {
	for {
		var ops []store.Op
		for i, delta := range []int{-1, +1} {
			key := fmt.Sprintf("/account/%d", accounts[i])
			kv, _, _, err := s.Get(t.Context(), key)
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(string(kv.Value))
			ops = append(ops, store.Op{Key: key, Value: []byte(strconv.Itoa(n + delta)), Expect: kv.ModRevision})
		}
		if _, err := s.Commit(t.Context(), ops); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}
