package apiserver_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The guarantee of a watch (ARCHITECTURE.md, section 8), as a validator of what
// clients recorded: given every change that the store made, what was each of
// them told? See TestWatchHistories for who records.

// podState is what a selection looks at, and mark, which no two writes share.
type podState struct{ namespace, name, tier, node, mark string }

func (p podState) key() string { return p.namespace + "/" + p.name }

// change is one change that the store made; now is nil for a deletion.
type change struct {
	rev int64
	key string
	now *podState
}

// told is one event as a client reads it. Of a deletion, mark is that of the
// last state that the client could see.
type told struct {
	typ  string
	rev  int64
	key  string
	mark string
}

// session is one watch: from which resourceVersion, and what it told.
type session struct {
	from int64
	got  []told
}

// listing is one list; items are marks by key.
type listing struct {
	rev   int64
	items map[string]string
}

// step is one of the two.
type step struct {
	list  *listing
	watch *session
}

// truth is every change, in order.
type truth []change

// at is what a selection showed at a revision.
func (h truth) at(rev int64, selects func(podState) bool) map[string]string {
	items := map[string]string{}
	for _, c := range h {
		if c.rev > rev {
			break
		}
		delete(items, c.key)
		if c.now != nil && selects(*c.now) {
			items[c.key] = c.now.mark
		}
	}
	return items
}

// events are those of a selection from one revision to another.
func (h truth) events(from, to int64, selects func(podState) bool) (out []told) {
	seen := map[string]string{}
	for _, c := range h {
		mark, was := seen[c.key]
		is := c.now != nil && selects(*c.now)
		e := told{"MODIFIED", c.rev, c.key, mark}
		switch {
		case is && !was:
			e.typ = "ADDED"
		case was && !is:
			e.typ = "DELETED"
		case !is:
			continue
		}
		if delete(seen, c.key); is {
			e.mark = c.now.mark
			seen[c.key] = e.mark
		}
		if c.rev >= from && c.rev <= to {
			out = append(out, e)
		}
	}
	return out
}

const endOfTime = 1 << 62

// cursor is what a client knows: everything up to rev, or of rev only a part.
type cursor struct {
	rev   int64
	whole bool
}

// verdict is what a history was found to be. Repeated counts the events that
// the client had been told before.
type verdict struct {
	faults   []string
	repeated int
	resumed  int // sessions that began inside a revision
}

// check validates a client's history: lists are the state at their revision;
// the sessions in between tell every event in order and none twice, except that
// a watch that begins at a revision of several events may repeat all of them,
// and must when the client was cut off among them; and no bookmark is ahead of
// an event.
func (h truth) check(selects func(podState) bool, steps []step) (v verdict) {
	var c cursor
	for i, s := range steps {
		fault := func(format string, args ...any) {
			v.faults = append(v.faults, fmt.Sprintf("step %d: ", i)+fmt.Sprintf(format, args...))
		}
		if s.list != nil {
			if diff := cmp.Diff(h.at(s.list.rev, selects), s.list.items); diff != "" {
				fault("list at %d (-want +got):\n%s", s.list.rev, diff)
			}
			c = cursor{s.list.rev, true}
			continue
		}
		if s.watch.from != c.rev {
			fault("watch from %d, known up to %d", s.watch.from, c.rev)
		}
		c = h.session(&v, c, s.watch.got, selects, fault)
	}
	return v
}

// session checks one watch and returns what is known after it.
func (h truth) session(v *verdict, c cursor, got []told, selects func(podState) bool, fault func(string, ...any)) cursor {
	if !c.whole {
		v.resumed++
	}
	want := h.events(c.rev+1, endOfTime, selects)
	same := h.events(c.rev, c.rev, selects)
	switch {
	case len(same) > 1 && len(got) > 0 && got[0].rev == c.rev && got[0].typ != "BOOKMARK":
		want = slices.Concat(same, want)
		if c.whole {
			v.repeated += len(same)
		}
	case !c.whole && len(got) > 0:
		fault("the rest of the %d events at %d is missing: %v", len(same), c.rev, got[0])
	}
	for _, e := range got {
		switch {
		case e.typ == "BOOKMARK" && e.rev < c.rev:
			fault("bookmark at %d, after %d", e.rev, c.rev)
		case e.typ == "BOOKMARK" && len(want) > 0 && want[0].rev <= e.rev:
			fault("bookmark at %d ahead of %v", e.rev, want[0])
		case e.typ == "BOOKMARK":
			c = cursor{e.rev, true}
		case len(want) == 0:
			fault("told %v, which did not happen after %d", e, c.rev)
		case e != want[0]:
			fault("told %v, want %v", e, want[0])
			return cursor{e.rev, true}
		default:
			want = want[1:]
			c = cursor{e.rev, len(want) == 0 || want[0].rev != e.rev}
		}
	}
	return c
}

// TestCheckFindsFaults tries the validator itself.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	put := func(rev int64, name, mark string) change {
		return change{rev, "d/" + name, &podState{namespace: "d", name: name, mark: mark}}
	}
	h := truth{put(2, "a", "1"), put(3, "b", "2"), put(3, "c", "3"), {rev: 4, key: "d/a"}}
	added := func(rev int64, name, mark string) told { return told{"ADDED", rev, "d/" + name, mark} }
	b, c, gone := added(3, "b", "2"), added(3, "c", "3"), told{"DELETED", 4, "d/a", "1"}
	bookmark := func(rev int64) told { return told{typ: "BOOKMARK", rev: rev} }
	first := step{list: &listing{2, map[string]string{"d/a": "1"}}}
	at3 := step{list: &listing{3, map[string]string{"d/a": "1", "d/b": "2", "d/c": "3"}}}
	watch := func(from int64, got ...told) step { return step{watch: &session{from, got}} }
	for name, tc := range map[string]struct {
		steps    []step
		ok       bool
		repeated int
	}{
		"straight":                    {[]step{first, watch(2, b, c, gone, bookmark(4))}, true, 0},
		"cut between revisions":       {[]step{first, watch(2, b, c), watch(3, gone)}, true, 0},
		"cut inside, told again":      {[]step{first, watch(2, b), watch(3, b, c, gone)}, true, 0},
		"cut inside, twice":           {[]step{first, watch(2, b), watch(3, b), watch(3, b, c, gone)}, true, 0},
		"told again for safety":       {[]step{at3, watch(3, b, c, gone)}, true, 2},
		"cut inside, not told again":  {[]step{first, watch(2, b), watch(3, gone)}, false, 0},
		"cut inside, only the rest":   {[]step{first, watch(2, b), watch(3, c, gone)}, false, 0},
		"cut inside, then a bookmark": {[]step{first, watch(2, b), watch(3, bookmark(3))}, false, 0},
		"gap":                         {[]step{first, watch(2, b, gone)}, false, 0},
		"out of order":                {[]step{first, watch(2, c, b)}, false, 0},
		"a single event twice":        {[]step{first, watch(2, b, c, gone), watch(4, gone)}, false, 0},
		"wrong content":               {[]step{first, watch(2, added(3, "b", "9"))}, false, 0},
		"bookmark too early":          {[]step{first, watch(2, bookmark(3), b, c)}, false, 0},
		"bookmark inside a revision":  {[]step{first, watch(2, b, bookmark(3), c)}, false, 0},
		"list of another revision":    {[]step{{list: &listing{3, first.list.items}}}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := h.check(func(podState) bool { return true }, tc.steps)
			if (len(v.faults) == 0) != tc.ok || v.repeated != tc.repeated {
				t.Errorf("%d repeated, faults %v", v.repeated, v.faults)
			}
		})
	}
}
