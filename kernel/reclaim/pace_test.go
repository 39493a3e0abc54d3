package reclaim_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/kernel/reclaim"
)

// paced is what is set while the live heap, in MiB, is what it is, for ten
// seconds each, and when the end comes.
func paced(t *testing.T, gogc string, live ...uint64) (set []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var now atomic.Uint64
		now.Store(live[0] << 20)
		done := make(chan error, 1)
		go func() {
			done <- reclaim.Pace(ctx, reclaim.PaceConfig{
				Live: now.Load, Set: func(p int) { set = append(set, p) }, Getenv: func(string) string { return gogc },
			})
		}()
		for _, mib := range live {
			now.Store(mib << 20)
			time.Sleep(10 * time.Second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return set
}

func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name, gogc string
		live       []uint64
		want       []int
	}{
		{"a small heap doubles, as Go has it", "", []uint64{10, 64}, nil},
		{"a larger one grows by as much as a small one", "", []uint64{80, 100}, []int{80, 64, 100}},
		{"a large one by half", "", []uint64{200, 4000}, []int{50, 100}},
		{"what shrinks may double again", "", []uint64{4000, 100, 20}, []int{50, 64, 100}},
		{"small changes are not worth a stop", "", []uint64{100, 101, 102, 99}, []int{64, 100}},
		{"the bounds are reached", "", []uint64{120, 130, 68, 60}, []int{53, 50, 94, 100}},
		{"the environment knows better", "200", []uint64{4000}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := paced(t, tc.gogc, tc.live...); !slices.Equal(got, tc.want) {
				t.Errorf("set %v, want %v", got, tc.want)
			}
		})
	}
}
