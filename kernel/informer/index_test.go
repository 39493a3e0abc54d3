package informer_test

import (
	"testing"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/watch"
)

// TestIndexTwice: one object may have a value twice, as a reference to an owner
// may be written twice.
func TestIndexTwice(t *testing.T) {
	x := informer.NewIndex(func(*watch.Object) []string { return []string{"u", "u"} })
	o := &watch.Object{Key: "a"}
	x.Apply(watch.Event{Type: watch.Added, Object: o})
	x.Apply(watch.Event{Type: watch.Modified, Object: o})
	if got := x.List("u", ""); len(got) != 1 {
		t.Errorf("got %d objects, want one", len(got))
	}
	x.Apply(watch.Event{Type: watch.Deleted, Object: o})
	if got := x.List("u", ""); len(got) != 0 {
		t.Errorf("got %d objects, want none", len(got))
	}
}
