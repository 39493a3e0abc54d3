package embed

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
)

func TestRaftLogIsCutByBytes(t *testing.T) {
	const catchUp = 16
	for _, tc := range []struct {
		name   string
		writes []int // bytes each
		pause  time.Duration
		cuts   int64 // at once
		rest   int64 // at the next look, when the buffer is emptied, too
	}{
		{"small entries are cut by etcd", repeat(300, 10_000), 0, 0, 0},
		{"few large ones", []int{3 << 20, 3 << 20, 3 << 20}, 0, 1, 0},
		{"each too large", []int{17 << 20, 17 << 20, 17 << 20}, time.Second, 3, 0},
		{"what stays below the bound goes by and by", []int{1 << 20}, 0, 0, 1},
		{"what is hardly anything stays", []int{1 << 10}, 0, 0, 0},
		{"a large one that etcd has cut since counts no more", append([]int{7 << 20}, repeat(300, 116)...), 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var proposed, commits atomic.Int64
				propose := func(context.Context) error { proposed.Add(1); return errors.New("it goes on nevertheless") }
				l := newRaftLog(catchUp, singleLogBytes, propose, func() { commits.Add(1) }, slog.New(slog.DiscardHandler))
				stop := make(chan struct{})
				go l.run(stop)
				for _, n := range tc.writes {
					l.wrote([]store.Op{{Key: "k", Value: make([]byte, n)}})
					time.Sleep(tc.pause)
				}
				synctest.Wait()
				if got := proposed.Load() / int64(l.entries); got != tc.cuts {
					t.Errorf("the log was cut %d times, want %d", got, tc.cuts)
				}
				time.Sleep(3 * restEvery)
				synctest.Wait()
				if got := proposed.Load()/int64(l.entries) - tc.cuts; got != tc.rest {
					t.Errorf("afterwards %d times, want %d", got, tc.rest)
				}
				if got, want := commits.Load(), 2*min(1, tc.cuts+tc.rest); got != want {
					t.Errorf("%d commits of the buffer, want %d", got, want)
				}
				close(stop)
				<-l.done
			})
		})
	}
}

func repeat(n, times int) []int {
	out := make([]int, times)
	for i := range out {
		out[i] = n
	}
	return out
}
