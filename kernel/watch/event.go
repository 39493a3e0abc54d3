package watch

// Type is the kind of an event.
type Type uint8

// The event types. Bookmark carries only a revision.
const (
	Added Type = iota + 1
	Modified
	Deleted
	Bookmark
)

func (t Type) String() string {
	return [...]string{"", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"}[t]
}

// Event is one change, in the order of revisions. What a watcher receives is
// relative to its Filter: an object that begins to match is Added, one that
// stops matching is Deleted.
type Event struct {
	Type Type
	// InitialEnd marks the bookmark that ends the initial events.
	InitialEnd bool
	Revision   int64
	// Object is the new state; of a deletion the last state that matched, with
	// the deletion's resourceVersion. Nil for a bookmark.
	Object *Object
	// Prev is the state before, nil for an object that did not exist.
	Prev *Object
}

// Filter says which objects a watcher sees. The zero Filter selects all. The
// conditions are joined by and; watchers that name a namespace, a name or a
// field cost nothing while others change.
type Filter struct {
	Namespace string // "" is all, and the only choice for cluster-scoped resources
	Name      string // "" is all
	// Field and Value select by one of the resource's selectable fields
	// (Strategy.Fields): "spec.nodeName" for example. An object without the
	// field has the value "". Field "" is no condition.
	Field, Value string
	// Match is asked about what the others select; nil selects it. It must be
	// fast and pure: it is called while the cache applies events.
	Match func(*Object) bool
}

// selects tells whether an object is in view. field gives the value of
// f.Field and is called only when there is one.
func (f *Filter) selects(o *Object, field func(*Object) string) bool {
	return o != nil &&
		(f.Namespace == "" || f.Namespace == o.Namespace) &&
		(f.Name == "" || f.Name == o.Name) &&
		(f.Field == "" || f.Value == field(o)) &&
		(f.Match == nil || f.Match(o))
}

// Seen turns a change of a resource into what somebody sees who has only some of its
// objects in view: the state before, if was, and the state after, if is. ok is false
// when it sees nothing.
func (e Event) Seen(was, is bool) (_ Event, ok bool) {
	return e.relate(was, is, func() *Object { return e.Prev.at(e.Revision) })
}

// relate turns a change of the resource into what a watcher sees, given
// whether the state before and the state after are in its view; ok is false
// when it sees nothing. gone makes the last state of an object that leaves.
func (e Event) relate(was, is bool, gone func() *Object) (_ Event, ok bool) {
	switch {
	case was && is:
		e.Type = Modified
	case is:
		e.Type = Added
	case !was:
		return e, false
	case e.Type != Deleted:
		e.Type, e.Object = Deleted, gone()
	}
	return e, true
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

// selectedBy returns the event as a filter's watcher sees it, if it does.
func (v *view) selectedBy(f *Filter) (Event, bool) {
	field := func(o *Object) string { return v.field(o, f.Field) }
	return v.event.relate(f.selects(v.prev, field), f.selects(v.now, field), v.gone)
}
