package watch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// TestHammer has several writers change objects at random while watchers come
// and go, resume and fall behind. Every watcher checks that its stream has
// neither gap nor repetition, and that it adds up to what the store holds.
func TestHammer(t *testing.T) {
	stores := map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memory.New() },
		"etcd": func(t *testing.T) store.Store {
			s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s.Store()
		},
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { hammer(t, open(t)) })
	}
}

var hammerFilters = map[string]watch.Filter{
	"all":       {},
	"namespace": {Namespace: "ns1"},
	"node":      {Field: "spec.nodeName", Value: "n1"},
	"unbound":   {Field: "spec.nodeName", Value: ""},
	"label":     {Match: label("app", "web")},
	"name":      {Namespace: "ns0", Name: "p1"},
	"mixed":     {Namespace: "ns0", Field: "spec.nodeName", Value: "n0", Match: label("app", "db")},
}

func hammer(t *testing.T, s store.Store) {
	const writers, rounds, watchersEach = 4, 150, 4
	c := run(t, watch.Config{Store: s, Bookmarks: 60 * time.Millisecond})
	var last atomic.Int64 // revision at the end, once known
	ctx, finish := context.WithCancel(t.Context())
	var watchers, writing sync.WaitGroup
	finals := make(chan func(), len(hammerFilters)*watchersEach)
	for name, f := range hammerFilters {
		for i := range watchersEach {
			m := &model{t: t, name: fmt.Sprint(name, i), cache: c, filter: f, objects: map[string]int64{}, rand: rand.New(rand.NewPCG(3, uint64(i)))}
			watchers.Go(func() {
				m.follow(ctx, &last)
				finals <- m.compare
			})
		}
	}
	stalled, err := c.Watch(pods, 0, watch.Filter{}) // never read
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Stop()
	for w := range writers {
		writing.Go(func() { scribble(t, s, c, rand.New(rand.NewPCG(7, uint64(w))), rounds) })
	}
	writing.Wait()
	rev, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitFor(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	last.Store(rev)
	finish()
	watchers.Wait()
	close(finals)
	for compare := range finals {
		compare()
	}
	compareWithStore(t, s, c)
	if st := c.Stats(); st.Undecodable > 0 || st.Loads != 1 {
		t.Errorf("%+v", st)
	}
}

// scribble commits random changes, some of many objects, and deposits some of
// them.
func scribble(t *testing.T, s store.Store, c *watch.Cache, r *rand.Rand, rounds int) {
	for range rounds {
		var ops []store.Op
		var written []*corev1.Pod
		for _, i := range r.Perm(12)[:1+r.IntN(4)] {
			p := pod(fmt.Sprint("ns", i%2), fmt.Sprint("p", i/2), []string{"", "n0", "n1"}[r.IntN(3)], map[string]string{"app": []string{"web", "db"}[r.IntN(2)]})
			op := store.Op{Key: "/registry/pods/" + p.Namespace + "/" + p.Name, Expect: store.Any}
			if r.IntN(4) > 0 {
				b, err := p.Marshal()
				if err != nil {
					t.Error(err)
				}
				op.Value = b
				written = append(written, p)
			}
			ops = append(ops, op)
		}
		rev, err := s.Commit(t.Context(), ops)
		if err != nil {
			t.Errorf("commit: %v", err)
			return
		}
		for _, p := range written {
			p.ResourceVersion = fmt.Sprint(rev)
			if r.IntN(2) > 0 {
				c.Prime("/registry/pods/"+p.Namespace+"/"+p.Name, rev, p)
			}
		}
	}
}

// model is what one watcher knows: it applies events and checks each against
// what it knew before.
type model struct {
	t       *testing.T
	name    string
	cache   *watch.Cache
	filter  watch.Filter
	rand    *rand.Rand
	objects map[string]int64 // revision by key
	at      int64            // everything up to here is known
}

// follow watches, stops at random moments and resumes, until it has come to
// last, which is set when ctx ends.
func (m *model) follow(ctx context.Context, last *atomic.Int64) {
	for fresh := true; ; fresh = m.rand.IntN(4) == 0 {
		if fresh {
			m.objects, m.at = map[string]int64{}, 0
		}
		w, err := m.cache.WatchWith(pods, watch.WatchOptions{After: m.at, Initial: fresh, Bookmarks: true, Filter: m.filter})
		if err != nil {
			m.t.Errorf("%s: %v", m.name, err)
			return
		}
		done := m.session(ctx, w, fresh, 1+m.rand.IntN(200))
		w.Stop()
		if done && (ctx.Err() != nil && last.Load() != 0) {
			return
		}
		if m.t.Failed() {
			return
		}
	}
}

// session reads up to n events; at the end of the test, all that there are. It
// reports whether it read all.
func (m *model) session(ctx context.Context, w *watch.Watcher, initial bool, n int) bool {
	for n > 0 {
		ended := ctx.Err() != nil
		events, err := w.Next(ctx)
		if errors.Is(err, context.Canceled) {
			if !ended {
				continue // the end came while it waited: read what is there
			}
			return true
		}
		if err != nil {
			m.t.Errorf("%s: %v", m.name, err)
			return true
		}
		for _, e := range events {
			m.apply(e, &initial)
		}
		if !ended && !initial {
			n -= len(events)
		}
	}
	return false
}

func (m *model) apply(e watch.Event, initial *bool) {
	bad := func(why string) {
		m.t.Errorf("%s: %s: %s at %d, known up to %d: %+v", m.name, why, e.Type, e.Revision, m.at, e.Object)
	}
	if e.Type == watch.Bookmark {
		if e.Revision < m.at || e.InitialEnd != *initial {
			bad("bookmark out of place")
		}
		m.at, *initial = e.Revision, false
		return
	}
	if *initial {
		if e.Type != watch.Added || e.Prev != nil || m.objects[e.Object.Key] != 0 {
			bad("not an initial event")
		}
		m.objects[e.Object.Key] = e.Revision
		return
	}
	if e.Revision < m.at {
		bad("went back")
	}
	m.at = e.Revision
	known := m.objects[e.Object.Key]
	if known == e.Revision {
		bad("repeated")
	}
	switch {
	case e.Type == watch.Added && known == 0:
	case e.Type != watch.Added && e.Prev != nil && known == e.Prev.Revision:
	default:
		bad(fmt.Sprintf("gap: knew the object at %d", known))
	}
	if e.Type == watch.Deleted {
		delete(m.objects, e.Object.Key)
		return
	}
	m.objects[e.Object.Key] = e.Revision
	if p := e.Object.Obj.(*corev1.Pod); p.ResourceVersion != fmt.Sprint(e.Revision) || m.filter.Match != nil && !m.filter.Match(e.Object) {
		bad("wrong object")
	}
}

// compare checks the model against the cache's last state.
func (m *model) compare() {
	want := map[string]int64{}
	m.cache.Snapshot(pods).Ascend(m.filter.Namespace, "", func(o *watch.Object) bool {
		p := o.Obj.(*corev1.Pod)
		if (m.filter.Name == "" || m.filter.Name == o.Name) &&
			(m.filter.Field == "" || m.filter.Value == p.Spec.NodeName) &&
			(m.filter.Match == nil || m.filter.Match(o)) {
			want[o.Key] = o.Revision
		}
		return true
	})
	if diff := cmp.Diff(want, m.objects); diff != "" {
		m.t.Errorf("%s ends elsewhere (-cache +watcher):\n%s", m.name, diff)
	}
}

func compareWithStore(t *testing.T, s store.Store, c *watch.Cache) {
	t.Helper()
	kvs, _, _, err := s.List(t.Context(), "/registry/pods/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, kv := range kvs {
		p, err := decode(nil, kv.Value, kv.ModRevision)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(kv.Key, kv.ModRevision, p))
	}
	c.Snapshot(pods).Ascend("", "", func(o *watch.Object) bool {
		got = append(got, fmt.Sprint(o.Key, o.Revision, o.Obj))
		return true
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the cache differs (-store +cache):\n%s", diff)
	}
}

// TestSlowReader has one reader sleep while a hundred read. It is cut off, in
// bounded memory, and they receive everything.
func TestSlowReader(t *testing.T) {
	s := memory.New()
	const readers, events, queue = 100, 3000, 1000
	c := run(t, watch.Config{Store: s, Queue: queue})
	slow, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var received atomic.Int64
	for range readers {
		w, err := c.Watch(pods, 0, watch.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer w.Stop()
			for n := 0; n < events; {
				got, err := w.Next(t.Context())
				if err != nil {
					t.Errorf("a reader that reads: %v", err)
					return
				}
				n += len(got)
				received.Add(int64(len(got)))
			}
		})
	}
	for i := range events {
		rev := put(t, s, pod("a", fmt.Sprint(i%50), fmt.Sprint(i), nil))
		if i%(queue/2) == 0 { // writers faster than every reader would cut them all off, rightly
			if err := c.WaitFor(t.Context(), rev); err != nil {
				t.Fatal(err)
			}
			for received.Load() < int64(readers*(i+1)) && !t.Failed() {
				time.Sleep(time.Millisecond)
			}
		}
	}
	wg.Wait()
	if _, err := slow.Next(t.Context()); !errors.Is(err, watch.ErrSlow) {
		t.Errorf("the slow reader: got %v", err)
	}
	if st := c.Stats(); st.Slow != 1 || st.Watchers != 0 {
		t.Errorf("%d were cut off, %d are left", st.Slow, st.Watchers)
	}
}
