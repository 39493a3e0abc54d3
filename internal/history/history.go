// Package history holds what clients of an API server recorded against what the
// store did: the guarantee of a watch (ARCHITECTURE.md, section 8), as a
// validator. Given every change that was made, was each client told what it
// should have been?
//
// It knows no API: who records, turns objects into States. Begin at Truth.Check.
package history

import (
	"fmt"
	"maps"
	"slices"
)

// State is what a selection looks at, and Mark, which no two writes share.
type State struct {
	Namespace, Name, Tier string
	Node                  string `json:",omitempty"`
	Mark                  string
}

// Key names the object.
func (s State) Key() string { return s.Namespace + "/" + s.Name }

// Change is one change that the store made; Now is nil for a deletion.
type Change struct {
	Rev int64
	Key string
	Now *State
}

// Event is one event as a client reads it. Of a deletion, Mark is that of the
// last state that the client could see. A bookmark has a Type and a Rev.
type Event struct {
	Type string
	Rev  int64
	Key  string `json:",omitempty"`
	Mark string `json:",omitempty"`
}

// Session is one watch: from which resourceVersion, and what it told.
type Session struct {
	From int64
	Got  []Event
}

// Listing is one list; Items are marks by key.
type Listing struct {
	Rev   int64
	Items map[string]string
}

// Step is one of the two.
type Step struct {
	List  *Listing `json:",omitempty"`
	Watch *Session `json:",omitempty"`
}

// Selects tells whether a client asked for objects in a state.
type Selects func(State) bool

// Truth is every change since nothing was there, in order.
type Truth []Change

// At is what a selection showed at a revision.
func (h Truth) At(rev int64, selects Selects) map[string]string {
	items := map[string]string{}
	for _, c := range h {
		if c.Rev > rev {
			break
		}
		delete(items, c.Key)
		if c.Now != nil && selects(*c.Now) {
			items[c.Key] = c.Now.Mark
		}
	}
	return items
}

// events are those of a selection, all of them, in order.
func (h Truth) events(selects Selects) (out []Event) {
	seen := map[string]string{}
	for _, c := range h {
		mark, was := seen[c.Key]
		is := c.Now != nil && selects(*c.Now)
		e := Event{"MODIFIED", c.Rev, c.Key, mark}
		switch {
		case is && !was:
			e.Type = "ADDED"
		case was && !is:
			e.Type = "DELETED"
		case !is:
			continue
		}
		if delete(seen, c.Key); is {
			e.Mark = c.Now.Mark
			seen[c.Key] = e.Mark
		}
		out = append(out, e)
	}
	return out
}

// from returns the events at a revision and later.
func from(events []Event, rev int64) []Event {
	i, _ := slices.BinarySearchFunc(events, rev, func(e Event, rev int64) int { return int(e.Rev - rev) })
	return events[i:]
}

// cursor is what a client knows: everything up to rev, or of rev only a part.
type cursor struct {
	rev   int64
	whole bool
}

// Verdict is what a history was found to be.
type Verdict struct {
	Faults   []string
	Repeated int // events that the client had been told before
	Resumed  int // sessions that began inside a revision
}

// Check validates a client's history: lists are the state at their revision;
// the sessions in between tell every event in order and none twice, except that
// a watch that begins at a revision of several events may repeat all of them,
// and must when the client was cut off among them; and no bookmark is ahead of
// an event.
func (h Truth) Check(selects Selects, steps []Step) (v Verdict) {
	var c cursor
	all := h.events(selects)
	for i, s := range steps {
		fault := func(format string, args ...any) {
			v.Faults = append(v.Faults, fmt.Sprintf("step %d: ", i)+fmt.Sprintf(format, args...))
		}
		if s.List != nil {
			if want := h.At(s.List.Rev, selects); !maps.Equal(want, s.List.Items) {
				fault("list at %d is %v, want %v", s.List.Rev, s.List.Items, want)
			}
			c = cursor{s.List.Rev, true}
			continue
		}
		if s.Watch.From != c.rev {
			fault("watch from %d, known up to %d", s.Watch.From, c.rev)
		}
		c = session(&v, c, s.Watch.Got, all, fault)
	}
	return v
}

// session checks one watch and returns what is known after it.
func session(v *Verdict, c cursor, got, all []Event, fault func(string, ...any)) cursor {
	if !c.whole {
		v.Resumed++
	}
	want := from(all, c.rev+1)
	here := from(all, c.rev) // with those of the revision itself
	same := here[:len(here)-len(want)]
	switch {
	case len(same) > 1 && len(got) > 0 && got[0].Rev == c.rev && got[0].Type != "BOOKMARK":
		want = here
		if c.whole {
			v.Repeated += len(same)
		}
	case !c.whole && len(got) > 0:
		fault("the rest of the %d events at %d is missing: %v", len(same), c.rev, got[0])
	}
	for _, e := range got {
		switch {
		case e.Type == "BOOKMARK" && e.Rev < c.rev:
			fault("bookmark at %d, after %d", e.Rev, c.rev)
		case e.Type == "BOOKMARK" && len(want) > 0 && want[0].Rev <= e.Rev:
			fault("bookmark at %d ahead of %v", e.Rev, want[0])
		case e.Type == "BOOKMARK":
			c = cursor{e.Rev, true}
		case len(want) == 0:
			fault("told %v, which did not happen after %d", e, c.rev)
		case e != want[0]:
			fault("told %v, want %v", e, want[0])
			return cursor{e.Rev, true}
		default:
			want = want[1:]
			c = cursor{e.Rev, len(want) == 0 || want[0].Rev != e.Rev}
		}
	}
	return c
}
