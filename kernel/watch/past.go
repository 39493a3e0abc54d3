package watch

// past is what a watcher is told before the events of its queue.
type past interface {
	// read appends some events to buf and reports whether there are more. It
	// may append none although there are.
	read(buf []Event) (_ []Event, more bool)
}

// chunk is how many events a read appends, about: the log's reader does not
// stop within a revision.
const chunk = 512

// snapshotReader tells a snapshot as Added events, then a bookmark.
type snapshotReader struct {
	snapshot Snapshot
	filter   *Filter
	after    string // key of the last object looked at
}

func (r *snapshotReader) read(buf []Event) ([]Event, bool) {
	state := r.snapshot.state
	field := func(o *Object) string { return state.field(o, r.filter.Field) }
	looked := 0
	r.snapshot.Ascend(r.filter.Namespace, r.after, func(o *Object) bool {
		if looked == chunk {
			return false
		}
		looked++
		r.after = o.Key
		if r.filter.selects(o, field) {
			buf = append(buf, Event{Type: Added, Revision: o.Revision, Object: o})
		}
		return true
	})
	if looked == chunk {
		return buf, true
	}
	return append(buf, Event{Type: Bookmark, InitialEnd: true, Revision: r.snapshot.Revision()}), false
}

// logReader replays events of the log, then a bookmark if one is wanted.
type logReader struct {
	state  *state
	filter *Filter
	events []Event
	end    int64 // the revision that the replay comes to
	mark   bool
}

func (r *logReader) read(buf []Event) ([]Event, bool) {
	n := min(chunk, len(r.events))
	for n > 0 && n < len(r.events) && r.events[n].Revision == r.events[n-1].Revision {
		n++
	}
	for _, e := range r.events[:n] {
		v := newView(r.state, e)
		if seen, ok := v.seenBy(r.filter); ok {
			buf = append(buf, seen)
		}
	}
	r.events = r.events[n:]
	if len(r.events) > 0 {
		return buf, true
	}
	if r.mark {
		buf = append(buf, Event{Type: Bookmark, Revision: r.end})
	}
	return buf, false
}

var (
	_ past = (*snapshotReader)(nil)
	_ past = (*logReader)(nil)
)
