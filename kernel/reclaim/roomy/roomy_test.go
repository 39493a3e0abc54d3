package roomy

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// TestMap holds a Map beside a plain map, through growing and shrinking.
func TestMap(t *testing.T) {
	var r Map[int, int]
	want := map[int]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{10, 20_000, 100, 0, 5_000, 300, 40_000, 3} {
		for len(want) < most {
			k := random.IntN(1 << 20)
			want[k] = k
			r.Set(k, k)
		}
		for k := range want {
			if len(want) <= most/2 || len(want) <= 3 {
				break
			}
			delete(want, k)
			r.Delete(k)
		}
		if !maps.Equal(r.m, want) {
			t.Fatalf("%d entries, want %d, or others", len(r.m), len(want))
		}
	}
}

// TestGivesBack: what is left of a storm is a map of its own.
func TestGivesBack(t *testing.T) {
	var r Map[int, int]
	for i := range 10_000 {
		r.Set(i, i)
	}
	for i := range 9_900 {
		r.Delete(i)
	}
	if r.most > 2_000 {
		t.Errorf("the map has room for %d, and holds %d", r.most, len(r.m))
	}
	if len(r.m) != 100 || r.m[9_950] != 9_950 {
		t.Errorf("%d entries are left, want 100", len(r.m))
	}
}
