package history

import "testing"

// TestCheckFindsFaults tries the validator itself.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	put := func(rev int64, name, mark string) Change {
		return Change{rev, "d/" + name, &State{Namespace: "d", Name: name, Mark: mark}}
	}
	h := Truth{put(2, "a", "1"), put(3, "b", "2"), put(3, "c", "3"), {Rev: 4, Key: "d/a"}}
	added := func(rev int64, name, mark string) Event { return Event{"ADDED", rev, "d/" + name, mark} }
	b, c, gone := added(3, "b", "2"), added(3, "c", "3"), Event{"DELETED", 4, "d/a", "1"}
	bookmark := func(rev int64) Event { return Event{Type: "BOOKMARK", Rev: rev} }
	first := Step{List: &Listing{2, map[string]string{"d/a": "1"}}}
	at3 := Step{List: &Listing{3, map[string]string{"d/a": "1", "d/b": "2", "d/c": "3"}}}
	watch := func(from int64, got ...Event) Step { return Step{Watch: &Session{from, got}} }
	for name, tc := range map[string]struct {
		steps    []Step
		ok       bool
		repeated int
	}{
		"straight":                    {[]Step{first, watch(2, b, c, gone, bookmark(4))}, true, 0},
		"cut between revisions":       {[]Step{first, watch(2, b, c), watch(3, gone)}, true, 0},
		"cut inside, told again":      {[]Step{first, watch(2, b), watch(3, b, c, gone)}, true, 0},
		"cut inside, twice":           {[]Step{first, watch(2, b), watch(3, b), watch(3, b, c, gone)}, true, 0},
		"told again for safety":       {[]Step{at3, watch(3, b, c, gone)}, true, 2},
		"cut inside, not told again":  {[]Step{first, watch(2, b), watch(3, gone)}, false, 0},
		"cut inside, only the rest":   {[]Step{first, watch(2, b), watch(3, c, gone)}, false, 0},
		"cut inside, then a bookmark": {[]Step{first, watch(2, b), watch(3, bookmark(3))}, false, 0},
		"gap":                         {[]Step{first, watch(2, b, gone)}, false, 0},
		"out of order":                {[]Step{first, watch(2, c, b)}, false, 0},
		"a single event twice":        {[]Step{first, watch(2, b, c, gone), watch(4, gone)}, false, 0},
		"wrong content":               {[]Step{first, watch(2, added(3, "b", "9"))}, false, 0},
		"bookmark too early":          {[]Step{first, watch(2, bookmark(3), b, c)}, false, 0},
		"bookmark inside a revision":  {[]Step{first, watch(2, b, bookmark(3), c)}, false, 0},
		"list of another revision":    {[]Step{{List: &Listing{3, first.List.Items}}}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := h.Check(func(State) bool { return true }, tc.steps)
			if (len(v.Faults) == 0) != tc.ok || v.Repeated != tc.repeated {
				t.Errorf("%d repeated, faults %v", v.Repeated, v.Faults)
			}
		})
	}
}
