package watch

// index finds the watchers that may see a change. A watcher is in one bucket:
// that of its name, its field, its namespace, or of everything, whichever of
// these comes first and applies.
type index struct {
	all        bucket
	namespaces map[string]*bucket
	names      map[objectName]*bucket
	fields     map[string]map[string]*bucket // by field and value
}

type objectName struct{ namespace, name string }

// bucket is a set of watchers; each knows its place in it.
type bucket struct{ watchers []*Watcher }

func (b *bucket) add(w *Watcher) {
	w.bucket, w.place = b, len(b.watchers)
	b.watchers = append(b.watchers, w)
}

func (b *bucket) remove(w *Watcher) {
	last := len(b.watchers) - 1
	moved := b.watchers[last]
	b.watchers[w.place], moved.place = moved, w.place
	b.watchers[last] = nil
	b.watchers = b.watchers[:last]
	w.bucket = nil
}

// in returns the bucket at k, making it if need be.
func in[K comparable](m *map[K]*bucket, k K) *bucket {
	if *m == nil {
		*m = map[K]*bucket{}
	}
	b := (*m)[k]
	if b == nil {
		b = &bucket{}
		(*m)[k] = b
	}
	return b
}

func (x *index) add(w *Watcher) {
	f := &w.filter
	switch {
	case f.Name != "" && (f.Namespace != "" || !w.state.namespaced):
		in(&x.names, objectName{f.Namespace, f.Name}).add(w)
	case f.Field != "":
		if x.fields == nil {
			x.fields = map[string]map[string]*bucket{}
		}
		values := x.fields[f.Field]
		in(&values, f.Value).add(w)
		x.fields[f.Field] = values
	case f.Namespace != "":
		in(&x.namespaces, f.Namespace).add(w)
	default:
		x.all.add(w)
	}
}

// remove takes a watcher out, and its bucket with it when that is empty. It
// does nothing to a watcher that is out already.
func (x *index) remove(w *Watcher) {
	b := w.bucket
	if b == nil {
		return
	}
	b.remove(w)
	if len(b.watchers) > 0 || b == &x.all {
		return
	}
	f := &w.filter
	if name := (objectName{f.Namespace, f.Name}); x.names[name] == b {
		delete(x.names, name)
	}
	if x.namespaces[f.Namespace] == b {
		delete(x.namespaces, f.Namespace)
	}
	if values := x.fields[f.Field]; values[f.Value] == b {
		if delete(values, f.Value); len(values) == 0 {
			delete(x.fields, f.Field)
		}
	}
}

// clear takes all watchers out and returns them.
func (x *index) clear() (all []*Watcher) {
	x.each(func(w *Watcher) { all = append(all, w) })
	for _, w := range all {
		w.bucket = nil
	}
	*x = index{}
	return all
}

// each calls fn for every watcher.
func (x *index) each(fn func(*Watcher)) {
	take := func(b *bucket) {
		for _, w := range b.watchers {
			fn(w)
		}
	}
	take(&x.all)
	for _, b := range x.namespaces {
		take(b)
	}
	for _, b := range x.names {
		take(b)
	}
	for _, values := range x.fields {
		for _, b := range values {
			take(b)
		}
	}
}

// candidates calls fn for the buckets whose watchers may see a change of an
// object from prev to now, either of which may be nil. No bucket comes twice.
func (x *index) candidates(prev, now *Object, field func(o *Object, name string) string, fn func(*bucket)) {
	o := now
	if o == nil {
		o = prev
	}
	fn(&x.all)
	if b := x.namespaces[o.Namespace]; b != nil {
		fn(b)
	}
	if b := x.names[objectName{o.Namespace, o.Name}]; b != nil {
		fn(b)
	}
	for name, values := range x.fields {
		var before, after *bucket
		if prev != nil {
			before = values[field(prev, name)]
		}
		if now != nil {
			after = values[field(now, name)]
		}
		if before != nil {
			fn(before)
		}
		if after != nil && after != before {
			fn(after)
		}
	}
}

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

// deliver pushes an event to the watchers that see it. Callers hold s.mu.
func (s *state) deliver(e Event, out *fanout) {
	v := newView(s, e)
	s.index.candidates(v.prev, v.now, v.field, func(b *bucket) {
		for _, w := range b.watchers {
			if !w.wants(e.Revision) {
				continue
			}
			if ev, ok := v.selectedBy(&w.filter); ok {
				w.push(ev, out)
			}
		}
	})
}
