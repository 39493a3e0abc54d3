package watch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// large is a pod whose stored form has about n bytes.
func large(namespace, name string, n int) *corev1.Pod {
	p := pod(namespace, name, "", nil)
	p.Annotations = map[string]string{"text": strings.Repeat("x", n)}
	return p
}

// change updates a pod n times and returns the revisions.
func change(t testing.TB, s store.Store, p *corev1.Pod, n int) (revisions []int64) {
	t.Helper()
	for i := range n {
		p.Labels = map[string]string{"i": fmt.Sprint(i)}
		revisions = append(revisions, put(t, s, p))
	}
	return revisions
}

// resumes tells whether a watch can begin after a revision, and that it gets
// everything since.
func resumes(t testing.TB, c *watch.Cache, gr schema.GroupResource, after int64, events int) bool {
	t.Helper()
	w, err := c.Watch(gr, after, watch.Filter{})
	if errors.Is(err, watch.ErrTooOld) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	got, err := available(w)
	if err != nil || len(got) != events {
		t.Errorf("after %d: %d events, want %d (%v)", after, len(got), events, err)
	}
	return true
}

// Old events are forgotten in a quiet resource, too; the last hundred, if they
// are small, stay for those who reconnect.
func TestHistoryAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		c, stop := runUntil(t, watch.Config{Store: s})
		defer stop()
		small := change(t, s, pod("a", "small", "", nil), 500)
		catchUp(t, s, c)
		if !resumes(t, c, pods, small[0], 499) {
			t.Error("young events are forgotten")
		}
		time.Sleep(70 * time.Second)
		young := change(t, s, pod("a", "small", "", nil), 150)
		catchUp(t, s, c)
		time.Sleep(10 * time.Second)
		if resumes(t, c, pods, small[498], 151) || !resumes(t, c, pods, young[0], 149) {
			t.Error("want those of the last 75 seconds")
		}
		time.Sleep(10 * time.Minute)
		if resumes(t, c, pods, young[48], 101) || !resumes(t, c, pods, young[49], 100) {
			t.Error("want the last hundred events")
		}
		big := change(t, s, large("a", "big", 10<<10), 50)
		catchUp(t, s, c)
		time.Sleep(10 * time.Minute)
		if resumes(t, c, pods, big[0], 49) || !resumes(t, c, pods, big[47], 2) {
			t.Error("want few of the large events")
		}
		if n := c.Stats().HistoryBytes; n > 256<<10 {
			t.Errorf("history keeps %d bytes in a quiet cluster", n)
		}
	})
}

// All logs together keep to the budget. The longest pays: others keep theirs.
func TestHistoryBytes(t *testing.T) {
	s := memory.New()
	const budget = 4 << 20
	c := run(t, watch.Config{Store: s, HistoryBytes: budget})
	var first int64
	for i := range 100 {
		rev := commit(t, s, store.Op{Key: "/registry/minions/n", Value: encode(t, pod("", "n", fmt.Sprint(i), nil)), Expect: store.Any})
		if i == 0 {
			first = rev
		}
	}
	revisions := change(t, s, large("a", "big", 500<<10), 200)
	catchUp(t, s, c)
	st := c.Stats()
	if st.HistoryBytes > budget || st.HistoryBytes == 0 {
		t.Errorf("history keeps %d bytes, want at most %d", st.HistoryBytes, budget)
	}
	if resumes(t, c, pods, revisions[0], 199) {
		t.Error("the storm's first events are kept")
	}
	if !resumes(t, c, pods, revisions[198], 1) {
		t.Error("not even the last event is kept")
	}
	if !resumes(t, c, nodes, first, 99) {
		t.Error("another resource's events are forgotten")
	}
}

// encoded asks for an object's bytes and tells whether they had to be made.
func encoded(t testing.TB, o *watch.Object, size int) (made bool) {
	t.Helper()
	b, err := o.Encoding("v1", "m", func(kruntime.Object) ([]byte, error) {
		made = true
		return []byte(strings.Repeat(o.Name[:1], size)), nil
	})
	if err != nil || len(b) != size || b[0] != o.Name[0] {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	return made
}

// Encoded bytes keep to the bound; those that are asked for stay.
func TestReadyBound(t *testing.T) {
	s := memory.New()
	const bound, size = 256 << 10, 2 << 10
	c := run(t, watch.Config{Store: s, Ready: bound})
	for i := range 1000 {
		put(t, s, pod("a", fmt.Sprintf("%d-pod", i), "", nil))
	}
	catchUp(t, s, c)
	hot := c.Get(pods, "a", "0-pod")
	encoded(t, hot, size)
	encoded(t, hot, size)
	for i := 1; i < 1000; i++ {
		encoded(t, c.Get(pods, "a", fmt.Sprintf("%d-pod", i)), size)
		if n := c.Stats().ReadyBytes; n > bound {
			t.Fatalf("%d bytes are ready, want at most %d", n, bound)
		}
		if encoded(t, hot, size) {
			t.Fatalf("after %d others: what is asked for again and again was made again", i)
		}
	}
	if !encoded(t, c.Get(pods, "a", "1-pod"), size) {
		t.Error("what nobody asked for is still there")
	}
	if encoded(t, c.Get(pods, "a", "999-pod"), size) {
		t.Error("the last bytes were not kept")
	}
}

// Encoded bytes go when nobody asks for them, and come again.
func TestReadyAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		c, stop := runUntil(t, watch.Config{Store: s})
		defer stop()
		put(t, s, pod("a", "hot", "", nil))
		put(t, s, pod("a", "cold", "", nil))
		catchUp(t, s, c)
		hot, cold := c.Get(pods, "a", "hot"), c.Get(pods, "a", "cold")
		encoded(t, hot, 100)
		encoded(t, cold, 100)
		for range 8 {
			time.Sleep(15 * time.Second)
			if encoded(t, hot, 100) {
				t.Error("bytes in use were dropped")
			}
		}
		if n := c.Stats().ReadyBytes; n < 100 || n >= 200 {
			t.Errorf("%d bytes are ready, want those of one object", n)
		}
		if !encoded(t, cold, 100) || encoded(t, cold, 100) {
			t.Error("want bytes that were dropped to be made again, once")
		}
	})
}

// The bytes of a state that has passed go soon, after those who still had to
// send them.
func TestReadyRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		c, stop := runUntil(t, watch.Config{Store: s})
		defer stop()
		change(t, s, pod("a", "x", "", nil), 1)
		catchUp(t, s, c)
		old := c.Get(pods, "a", "x")
		encoded(t, old, 1000)
		change(t, s, pod("a", "x", "", nil), 2)
		catchUp(t, s, c)
		encoded(t, c.Get(pods, "a", "x"), 100)
		if encoded(t, old, 1000) {
			t.Error("bytes were dropped before others could send them")
		}
		time.Sleep(3 * time.Second)
		if n := c.Stats().ReadyBytes; n < 100 || n >= 200 {
			t.Errorf("%d bytes are ready, want those of the present state", n)
		}
		if !encoded(t, old, 1000) {
			t.Error("want the old state's bytes to be made again for who asks")
		}
	})
}

// An object that is gone is told of with its deletion's revision; the object
// itself, which others hold, stays as it was.
func TestDeletedObject(t *testing.T) {
	s := memory.New()
	c := run(t, watch.Config{Store: s})
	rev := put(t, s, pod("a", "x", "n", map[string]string{"k": "v"}))
	catchUp(t, s, c)
	held := c.Get(pods, "a", "x")
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	gone := commit(t, s, store.Op{Key: "/registry/pods/a/x", Expect: rev})
	catchUp(t, s, c)
	got, err := available(w)
	if err != nil || len(got) != 1 || got[0].Type != watch.Deleted {
		t.Fatalf("got %+v, %v", got, err)
	}
	last := got[0].Object.Obj.(*corev1.Pod)
	if last.ResourceVersion != fmt.Sprint(gone) || last.Spec.NodeName != "n" || last.Labels["k"] != "v" {
		t.Errorf("deleted: %+v", last)
	}
	if p := held.Obj.(*corev1.Pod); p.ResourceVersion != fmt.Sprint(rev) {
		t.Errorf("the object held by others became %s", p.ResourceVersion)
	}
}

// Snapshots know what they keep in memory by themselves, and whether the store
// has gone back behind them.
func TestSnapshotSuperseded(t *testing.T) {
	old, restored := memory.New(), memory.New()
	change(t, old, large("a", "x", 10<<10), 5)
	s := &switched{Store: old}
	f := &faulty{Store: s}
	c := run(t, watch.Config{Store: f})
	snap := c.Snapshot(pods)
	if n := snap.Superseded(); n != 0 || snap.Rewound() {
		t.Errorf("a new snapshot keeps %d bytes, rewound %t", n, snap.Rewound())
	}
	change(t, old, large("a", "x", 10<<10), 5)
	catchUp(t, old, c)
	if n := snap.Superseded(); n < 5*10<<10 {
		t.Errorf("after five changes it keeps %d bytes", n)
	}
	s.set(restored)
	put(t, restored, pod("a", "y", "", nil))
	f.interrupt(store.ErrUnavailable)
	for end := time.Now().Add(time.Minute); c.Get(pods, "a", "y") == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the cache does not follow the restored store")
		}
	}
	if !snap.Rewound() || c.Snapshot(pods).Rewound() || c.Rewinds() != 1 {
		t.Errorf("rewound: the old snapshot %t, a new one %t, %d times", snap.Rewound(), c.Snapshot(pods).Rewound(), c.Rewinds())
	}
}
