package watch

// fanout collects the watchers that a batch has something for. It is reused.
type fanout struct{ touched []*Watcher }

// flush hands the pushed events over and calls cut for the watchers that this
// was too much for.
func (f *fanout) flush(cut func(*Watcher)) {
	for _, w := range f.touched {
		if w.flush() {
			cut(w)
		}
	}
	clear(f.touched)
	f.touched = f.touched[:0]
}

// view is one event as its watchers are asked about it. The field values and
// the last state of an object that leaves are made once for all of them.
type view struct {
	state *state
	event Event
	prev  *Object // in view before, as far as the resource goes
	now   *Object // in view after: nil for a deletion

	fields map[string][2]string // by field, before and after
	last   *Object
}

func (v *view) field(o *Object, name string) string {
	pair, ok := v.fields[name]
	if !ok {
		if v.prev != nil {
			pair[0] = v.state.field(v.prev, name)
		}
		if v.now != nil {
			pair[1] = v.state.field(v.now, name)
		}
		if v.fields == nil {
			v.fields = map[string][2]string{}
		}
		v.fields[name] = pair
	}
	if o == v.prev {
		return pair[0]
	}
	return pair[1]
}

func (v *view) gone() *Object {
	if v.last == nil {
		v.last = v.prev.at(v.event.Revision)
	}
	return v.last
}

func newView(s *state, e Event) view {
	v := view{state: s, event: e, prev: e.Prev, now: e.Object}
	if e.Type == Deleted {
		v.now = nil
	}
	return v
}

// seenBy returns the event as a filter's watcher sees it, if it does.
func (v *view) seenBy(f *Filter) (Event, bool) {
	field := func(o *Object) string { return v.field(o, f.Field) }
	return v.event.relate(f.selects(v.prev, field), f.selects(v.now, field), v.gone)
}

// deliver pushes an event to the watchers that see it. Callers hold s.mu.
func (s *state) deliver(e Event, out *fanout) {
	v := newView(s, e)
	s.index.candidates(v.prev, v.now, v.field, func(b *bucket) {
		for _, w := range b.watchers {
			if !w.wants(e.Revision) {
				continue
			}
			if seen, ok := v.seenBy(&w.filter); ok {
				w.push(seen, out)
			}
		}
	})
}
