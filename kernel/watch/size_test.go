package watch_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// TestSize: the size of a resource is that of what is stored, read at the start or
// changed since.
func TestSize(t *testing.T) {
	s := memory.New()
	there := map[string]*corev1.Pod{}
	set := func(name, node string) {
		there[name] = pod("a", name, node, nil)
		put(t, s, there[name])
	}
	check := func(c *watch.Cache) {
		t.Helper()
		catchUp(t, s, c)
		want := 0
		for _, p := range there {
			want += len(encode(t, p))
		}
		if n, bytes, ok := c.Size(pods); n != len(there) || bytes != want || !ok {
			t.Errorf("%d objects of %d bytes, %v; want %d of %d", n, bytes, ok, len(there), want)
		}
	}
	set("one", "n")
	set("two", "")
	c := run(t, watch.Config{Store: s})
	check(c)
	set("three", "another-node")
	set("one", "a-longer-name")
	check(c)
	delete(there, "two")
	commit(t, s, store.Op{Key: "/registry/pods/a/two", Expect: store.Any})
	check(c)
	check(run(t, watch.Config{Store: s}))
	if _, _, ok := c.Size(schema.GroupResource{Resource: "unheard"}); ok {
		t.Error("a resource that is not there has a size")
	}
}
