package timebuckets

import "testing"

// Everyone's turn comes once an interval, the first one's after a whole
// interval, and the turns of many are spread.
func TestTurns(t *testing.T) {
	var b Buckets[int]
	open, over := make(chan struct{}), make(chan struct{})
	close(over)
	for i := range 2 * Count {
		b.Add(i, open)
	}
	b.Add(-1, over)
	seen := map[int]int{}
	for tick := range 3 * Count {
		due := b.Due()
		if len(due) != 2 {
			t.Fatalf("%d have their turn at tick %d", len(due), tick)
		}
		for _, w := range due {
			if w == 0 && tick%Count != Count-1 {
				t.Errorf("the first one's turn comes at tick %d", tick)
			}
			seen[w]++
		}
	}
	for i := range 2 * Count {
		if seen[i] != 3 {
			t.Errorf("%d had %d turns in 3 intervals", i, seen[i])
		}
	}
	if seen[-1] != 0 {
		t.Error("one that had ended has turns")
	}
}

func TestRemove(t *testing.T) {
	var b Buckets[int]
	b.Add(1, nil)
	b.Remove(1)
	b.Remove(1)
	for range Count {
		if due := b.Due(); len(due) > 0 {
			t.Errorf("due: %v", due)
		}
	}
}
