package informer

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/reclaim/roomy"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Differ is a Handler that makes one history of what it is told: every change
// once, each deletion too, whatever became of the watches. It remembers the
// objects that it told of last, by reference.
type Differ struct {
	event func(watch.Event)
	known roomy.Map[string, *watch.Object]
}

// NewDiffer makes a Differ that tells event, with Prev set for what was known.
func NewDiffer(event func(watch.Event)) *Differ { return &Differ{event: event} }

// Replace implements Handler: it tells the difference between what is known and
// what is there.
func (d *Differ) Replace(_ context.Context, l *registry.List) {
	there := make(map[string]bool, len(l.Items))
	for _, o := range l.Items {
		there[o.Key] = true
	}
	// Deletions first: a name may be in use again.
	for key, old := range d.known.All() {
		if !there[key] {
			d.deliver(watch.Event{Type: watch.Deleted, Revision: l.Revision, Object: old, Prev: old})
		}
	}
	for _, o := range l.Items {
		switch old := d.known.Get(o.Key); {
		case old == nil:
			d.deliver(watch.Event{Type: watch.Added, Revision: o.Revision, Object: o})
		case old.Revision != o.Revision:
			d.replaced(old, o)
		}
	}
}

// replaced delivers a change found by a list. Another uid is another object:
// the deletion of the one before was missed.
func (d *Differ) replaced(old, now *watch.Object) {
	if uidOf(old) != uidOf(now) {
		d.deliver(watch.Event{Type: watch.Deleted, Revision: now.Revision, Object: old, Prev: old})
		d.deliver(watch.Event{Type: watch.Added, Revision: now.Revision, Object: now})
		return
	}
	d.deliver(watch.Event{Type: watch.Modified, Revision: now.Revision, Object: now, Prev: old})
}

// Apply implements Handler.
func (d *Differ) Apply(_ context.Context, events []watch.Event) {
	for _, e := range events {
		old := d.known.Get(e.Object.Key)
		if e.Type == watch.Deleted && old == nil || e.Type != watch.Deleted && old != nil && old.Revision == e.Object.Revision {
			continue // it came before the watch was resumed
		}
		if e.Prev == nil {
			e.Prev = old
		}
		d.deliver(e)
	}
}

func (d *Differ) deliver(e watch.Event) {
	if e.Type == watch.Deleted {
		d.known.Delete(e.Object.Key)
	} else {
		d.known.Set(e.Object.Key, e.Object)
	}
	d.event(e)
}

func uidOf(o *watch.Object) types.UID {
	m, err := meta.Accessor(o.Obj)
	if err != nil {
		return ""
	}
	return m.GetUID()
}

var _ Handler = (*Differ)(nil)
