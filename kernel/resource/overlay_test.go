package resource

import (
	"math/rand/v2"
	"testing"
)

// TestOverlay: every version of a map stays what it was, however many follow.
func TestOverlay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type version struct {
		o    overlay[int, int]
		want map[int]int
	}
	now := version{overlayOf(map[int]int{1: 1, 2: 2}), map[int]int{1: 1, 2: 2}}
	versions := []version{now}
	for i := range 10 * maxOver {
		next := version{now.o.edit(), map[int]int{}}
		for k, v := range now.want {
			next.want[k] = v
		}
		for range 1 + rnd.IntN(3) {
			if k := rnd.IntN(100); rnd.IntN(2) == 0 {
				next.o.remove(k)
				delete(next.want, k)
			} else {
				next.o.set(k, i)
				next.want[k] = i
			}
		}
		now = next
		versions = append(versions, now)
	}
	for i, x := range versions {
		for k := range 100 {
			got, ok := x.o.get(k)
			if want, is := x.want[k]; ok != is || got != want {
				t.Fatalf("version %d: %d is %d, %t, want %d, %t", i, k, got, ok, want, is)
			}
		}
		if len(x.o.over) > maxOver+3 {
			t.Fatalf("version %d has %d changes over its base", i, len(x.o.over))
		}
	}
}
