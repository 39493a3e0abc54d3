package watch_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// holding is a store whose next list, once armed, has read and then waits.
type holding struct {
	store.Store
	armed  atomic.Bool
	lists  atomic.Int64
	read   chan struct{} // closed when it has read
	answer chan struct{}
}

func (h *holding) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	h.lists.Add(1)
	kvs, more, rev, err := h.Store.List(ctx, prefix, o)
	if h.armed.CompareAndSwap(true, false) {
		close(h.read)
		<-h.answer
	}
	return kvs, more, rev, err
}

// A caller that asks for a resource while it is unread, and is overtaken by the
// end of the reading, does not have it read again: beside the reading by a
// changed definition, that would bring back what is deleted meanwhile.
func TestLoadOvertaken(t *testing.T) {
	s := &holding{Store: memory.New(), read: make(chan struct{}), answer: make(chan struct{})}
	kinds := newChanging(t, spelledKind("nodes", "Node", "a"))
	c := run(t, kinds.config(s))
	put(t, s, pod("a", "x", "n", nil))
	put(t, s, pod("a", "y", "n", nil))
	kinds.apply(t, []*resource.Definition{spelledPods("a")})
	load(t, c, pods)

	lists := s.lists.Load()
	s.armed.Store(true)
	late := make(chan error, 1)
	go func() { late <- c.LoadLate(t.Context(), pods) }()
	select {
	case err := <-late: // there is nothing to read
		late <- err
		s.armed.Store(false)
		if n := s.lists.Load() - lists; n != 0 {
			t.Errorf("the late caller has the resource read again: %d lists", n)
		}
	case <-s.read:
		t.Error("the late caller has the resource read again")
	}
	kinds.apply(t, []*resource.Definition{spelledPods("b")})
	waitUntil(t, "the objects are decoded by the new definition", func() bool { return spelling(c.Get(pods, "a", "y")) == "b" })
	commit(t, s, store.Op{Key: "/registry/pods/a/x", Expect: store.Any})
	catchUp(t, s, c)
	close(s.answer)
	if err := <-late; err != nil {
		t.Error(err)
	}
	if o := c.Get(pods, "a", "x"); o != nil {
		t.Errorf("what was deleted is back: %s at %d", o.Key, o.Revision)
	}
}
