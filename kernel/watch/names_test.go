package watch_test

import (
	"errors"
	"testing"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// A second name of stored objects costs nothing: its objects are held, and
// their events decoded, under the first name alone.
func TestSecondNameHasNoObjects(t *testing.T) {
	tab := table()
	for _, d := range tab.Definitions {
		if d.GroupResource() == newEvent {
			d.StoredAs = &events
		}
	}
	s := memory.New()
	put := func(name string) int64 {
		return commit(t, s, store.Op{Key: "/registry/events/a/" + name, Value: encode(t, pod("a", name, "", nil)), Expect: store.Any})
	}
	put("loaded")
	c := run(t, watch.Config{Store: s, Catalog: resource.NewCatalog(tab)})
	w, err := c.Watch(events, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	put("followed")
	// What a writer deposits is not decoded at all, as of any other resource.
	p := pod("a", "primed", "", nil)
	c.Prime("/registry/events/a/primed", mustRevision(t, s)+1, p)
	put("primed")
	catchUp(t, s, c)

	if got := c.Stats(); got.Decoded != 2 || got.Primed != 1 || got.Objects[events] != 3 || got.Objects[newEvent] != 0 {
		t.Errorf("got %+v, want 2 decoded, 1 primed, 3 events of the first name", got)
	}
	if o := c.Get(events, "a", "primed"); o == nil || o.Obj != p {
		t.Errorf("the deposited object is not the one held: %+v", o)
	}
	if got, err := available(w); err != nil || len(got) != 2 {
		t.Errorf("watched %d events, %v; want 2", len(got), err)
	}
	if n := c.Snapshot(newEvent).Len(""); n != 0 {
		t.Errorf("%d objects of the second name", n)
	}
	if _, err := c.Watch(newEvent, 0, watch.Filter{}); !errors.Is(err, watch.ErrUnknown) {
		t.Errorf("watch of the second name: %v", err)
	}
}
