package watch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// spelled are Types that a test decodes by: objects carry the spelling.
type spelled struct {
	resource.Types
	spelling string
}

func (*spelled) Recognizes(schema.GroupVersionKind) bool             { return true }
func (*spelled) New(schema.GroupVersionKind) (runtime.Object, error) { return &corev1.Pod{}, nil }

func spelledPods(spelling string) *resource.Definition {
	return spelledKind("pods", "Pod", spelling)
}

func spelledKind(plural, kind, spelling string) *resource.Definition {
	return &resource.Definition{Resource: plural, Kind: kind, Namespaced: true, KeyPrefix: "/registry/" + plural, Versions: []string{"v1"}, StorageVersion: "v1",
		Types: &spelled{spelling: spelling}, JSONStored: true}
}

// changing is a catalog whose kinds come and go, and counts what is decoded.
type changing struct {
	*resource.Producer
	catalog *resource.Catalog
	decoded atomic.Int64
}

func newChanging(t testing.TB, first ...*resource.Definition) *changing {
	t.Helper()
	base := &resource.Table{Scheme: runtime.NewScheme()}
	if err := base.Index(); err != nil {
		t.Fatal(err)
	}
	c := &changing{catalog: resource.NewCatalog(base)}
	c.Producer = c.catalog.Producer("test")
	c.apply(t, first)
	return c
}

func (c *changing) apply(t testing.TB, set []*resource.Definition, remove ...schema.GroupResource) {
	t.Helper()
	if err := c.Apply(set, remove...); err != nil {
		t.Fatal(err)
	}
}

func (c *changing) decode(d *resource.Definition, value []byte, rev int64) (runtime.Object, error) {
	c.decoded.Add(1)
	obj, err := decode(d, value, rev)
	if err == nil {
		obj.(*corev1.Pod).Spec.SchedulerName = d.Types.(*spelled).spelling
	}
	return obj, err
}

func (c *changing) config(s store.Store) watch.Config {
	return watch.Config{Store: s, Catalog: c.catalog, Decode: c.decode}
}

func spelling(o *watch.Object) string { return o.Obj.(*corev1.Pod).Spec.SchedulerName }

func load(t testing.TB, c *watch.Cache, gr schema.GroupResource) {
	t.Helper()
	if err := c.Load(t.Context(), gr); err != nil {
		t.Fatal(err)
	}
}

// A resource that comes while the cache runs is not read, and its events are
// not decoded, before somebody asks for it; then it is all there, and followed.
func TestLoadOnDemand(t *testing.T) {
	s := memory.New()
	kinds := newChanging(t, spelledKind("nodes", "Node", "a"))
	c := run(t, kinds.config(s))
	put(t, s, pod("a", "early", "n", nil))
	kinds.apply(t, []*resource.Definition{spelledPods("a")})
	put(t, s, pod("a", "x", "n", nil))
	catchUp(t, s, c)
	if n := kinds.decoded.Load(); n != 0 {
		t.Errorf("%d objects of a resource that nobody asked for were decoded", n)
	}
	if _, err := c.Watch(pods, 0, watch.Filter{}); !errors.Is(err, watch.ErrNotReady) {
		t.Errorf("watch before it is loaded: %v", err)
	}
	load(t, c, pods)
	if n := c.Snapshot(pods).Len(""); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	rev := put(t, s, pod("a", "y", "n", nil))
	catchUp(t, s, c)
	events, err := available(w)
	if err != nil || len(events) != 1 || events[0].Type != watch.Added || events[0].Revision != rev {
		t.Errorf("events %v, %v", events, err)
	}
	if err := c.Load(t.Context(), schema.GroupResource{Resource: "nonesuch"}); !errors.Is(err, watch.ErrUnknown) {
		t.Errorf("load of what there is not: %v", err)
	}
}

// Watchers of a resource that goes are told so; when it comes back it has a
// life of its own.
func TestRemovedResource(t *testing.T) {
	s := memory.New()
	kinds := newChanging(t, spelledPods("a"), spelledKind("nodes", "Node", "a"))
	c := run(t, kinds.config(s))
	put(t, s, pod("a", "x", "n", nil))
	catchUp(t, s, c)
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.Watch(nodes, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	kinds.apply(t, nil, pods)
	if _, err := w.Next(t.Context()); !errors.Is(err, watch.ErrRemoved) { // without anybody else's asking
		t.Errorf("the watch ended with %v, want ErrRemoved", err)
	}
	if err := kept.Err(); err != nil {
		t.Errorf("a watch of another resource ended: %v", err)
	}
	if c.Get(pods, "a", "x") != nil || c.Snapshot(pods).Len("") != 0 || c.Stats().Watchers != 1 {
		t.Error("what is gone is still there")
	}
	if _, err := c.Watch(pods, 0, watch.Filter{}); !errors.Is(err, watch.ErrUnknown) {
		t.Errorf("watch of what is gone: %v", err)
	}
	w.Stop()
	kinds.apply(t, []*resource.Definition{spelledPods("b")})
	load(t, c, pods)
	if o := c.Get(pods, "a", "x"); o == nil || spelling(o) != "b" {
		t.Errorf("back again, the object is %v", o)
	}
}

// What happened before a resource went is told: its last deletions, to whoever reads
// late. A watch that nobody reads ends by Stop.
func TestRemovedResourceTellsItsLastEvents(t *testing.T) {
	s := memory.New()
	kinds := newChanging(t, spelledPods("a"))
	c := run(t, kinds.config(s))
	catchUp(t, s, c)
	var watchers [3]*watch.Watcher
	for i := range watchers {
		w, err := c.Watch(pods, 0, watch.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		watchers[i] = w
	}
	put(t, s, pod("a", "x", "n", nil))
	put(t, s, pod("a", "y", "n", nil))
	catchUp(t, s, c)
	kinds.apply(t, nil, pods)
	if got := c.Snapshot(pods).Len(""); got != 0 {
		t.Errorf("%d objects of what is gone", got)
	}
	var told int
	for {
		events, err := watchers[0].Next(t.Context())
		if err != nil {
			if !errors.Is(err, watch.ErrRemoved) {
				t.Errorf("the watch ended with %v", err)
			}
			break
		}
		told += len(events)
	}
	if told != 2 {
		t.Errorf("%d events were told, want 2", told)
	}
	told = 0
	for range watchers[1].Events() {
		told++
	}
	if told != 2 || !errors.Is(watchers[1].Err(), watch.ErrRemoved) {
		t.Errorf("%d events in the channel, which ended with %v", told, watchers[1].Err())
	}
	watchers[2].Stop()
	if _, err := watchers[2].Next(t.Context()); !errors.Is(err, watch.ErrStopped) {
		t.Errorf("a stopped watch: %v", err)
	}
	if n := c.Stats().Watchers; n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

// A changed definition keeps objects and watchers. Objects are decoded anew
// only if they have other types.
func TestChangedResource(t *testing.T) {
	s := memory.New()
	first := spelledPods("a")
	kinds := newChanging(t, first)
	c := run(t, kinds.config(s))
	put(t, s, pod("a", "x", "n", nil))
	catchUp(t, s, c)
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	held := c.Get(pods, "a", "x")
	columns := *first
	columns.ShortNames = []string{"po"}
	kinds.apply(t, []*resource.Definition{&columns})
	if got := c.Get(pods, "a", "x"); got != held || kinds.decoded.Load() != 1 {
		t.Errorf("other names had the objects decoded again (%d times)", kinds.decoded.Load())
	}
	kinds.apply(t, []*resource.Definition{spelledPods("b")})
	waitUntil(t, "the object is decoded by its new definition", func() bool { return spelling(c.Get(pods, "a", "x")) == "b" })
	rev := put(t, s, pod("a", "x", "m", nil))
	catchUp(t, s, c)
	events, err := available(w)
	if err != nil || len(events) != 1 || events[0].Type != watch.Modified || events[0].Revision != rev || spelling(events[0].Object) != "b" || spelling(events[0].Prev) != "b" {
		t.Errorf("events %v, %v: want the one change", events, err)
	}
}

// Objects come and go while a resource is read, while the whole cache is read
// again, and while the definition changes: what is seen in the end is what the
// store has, by the last definition, and a watch tells how it came to that, also
// one that begins anew because a reload ended the last.
func TestDemandUnderLoad(t *testing.T) {
	undisturbed, ended := 0, 0
	for round := range 12 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			interrupts := round % 4
			n := demandUnderLoad(t, rand.New(rand.NewPCG(uint64(round), 1)), interrupts)
			if ended += n; n == 0 && !t.Failed() {
				undisturbed++
			}
		})
	}
	if !t.Failed() && (undisturbed < 3 || ended == 0) {
		t.Errorf("%d rounds compared one watch from its beginning to the end, and %d watches were ended: want three at least, and one", undisturbed, ended)
	}
}

// chronicle is what a reader knows who watches, and begins again whenever a
// reload ends his watch.
type chronicle struct {
	mu    sync.Mutex
	have  map[string]int64
	ended int // watches
}

// known is what the reader has been told so far.
func (x *chronicle) known() map[string]int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.have)
}

// follow reads until ctx ends.
func (x *chronicle) follow(ctx context.Context, c *watch.Cache) error {
	for {
		w, err := c.WatchWith(pods, watch.WatchOptions{Initial: true})
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		x.mu.Lock()
		x.have = map[string]int64{}
		x.mu.Unlock()
		switch err := x.read(ctx, w); {
		case errors.Is(err, context.Canceled):
			return nil
		case !errors.Is(err, watch.ErrTooOld):
			return fmt.Errorf("the watch ended: %w", err)
		}
		x.ended++
	}
}

func (x *chronicle) read(ctx context.Context, w *watch.Watcher) error {
	defer w.Stop()
	for {
		events, err := w.Next(ctx)
		x.mu.Lock()
		for _, e := range events {
			switch e.Type {
			case watch.Added, watch.Modified:
				x.have[e.Object.Key] = e.Revision
			case watch.Deleted:
				delete(x.have, e.Object.Key)
			}
		}
		x.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// demandUnderLoad is one round; it returns how often a reload ended the watch.
func demandUnderLoad(t *testing.T, r *rand.Rand, interrupts int) int {
	s := &faulty{Store: memory.New()}
	kinds := newChanging(t, spelledKind("nodes", "Node", "a"))
	c := run(t, kinds.config(s))
	kinds.apply(t, []*resource.Definition{spelledPods("0")})
	ctx, cancel := context.WithCancel(t.Context())
	var writers, others sync.WaitGroup
	for i := range 3 {
		seed := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
		writers.Go(func() {
			for range 300 {
				key := fmt.Sprintf("/registry/pods/a/%d", seed.IntN(20))
				op := store.Op{Key: key, Expect: store.Any}
				if seed.IntN(3) > 0 {
					op.Value = encode(t, pod("a", key[strings.LastIndexByte(key, '/')+1:], strconv.Itoa(seed.IntN(9)), nil))
				}
				if _, err := s.Commit(ctx, []store.Op{op}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	others.Go(func() {
		for range interrupts {
			s.breakAll(store.ErrCompacted)
		}
	})
	load(t, c, pods)
	var reader chronicle
	read := make(chan error, 1)
	reading, enough := context.WithCancel(context.WithoutCancel(ctx))
	defer enough()
	go func() { read <- reader.follow(reading, c) }()
	for i := range 5 {
		kinds.apply(t, []*resource.Definition{spelledPods(strconv.Itoa(i + 1))})
		if err := c.Load(ctx, pods); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	others.Wait()
	cancel()
	catchUp(t, s, c)
	kvs, _, _, err := s.List(t.Context(), "/registry/pods/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, kv := range kvs {
		want[kv.Key] = kv.ModRevision
	}
	same := func(have map[string]int64) bool {
		return fmt.Sprint(have) == fmt.Sprint(want)
	}
	waitUntil(t, "the cache has what the store has, by the last definition", func() bool {
		have := map[string]int64{}
		c.Snapshot(pods).Ascend("", "", func(o *watch.Object) bool {
			if spelling(o) == "5" {
				have[o.Key] = o.Revision
			}
			return true
		})
		return same(have)
	})
	// A snapshot is there before the watches hear of it, so the reader may have
	// some events to come.
	waitUntil(t, "the watch tells what the store has", func() bool { return same(reader.known()) })
	enough()
	if err := <-read; err != nil {
		t.Error(err)
	}
	if reader.ended > interrupts {
		t.Errorf("%d watches ended by %d reloads", reader.ended, interrupts)
	}
	return reader.ended
}

// breakAll ends the watches that there are with err, those that only look at
// one revision too.
func (f *faulty) breakAll(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watches {
		select {
		case w.broken <- err:
		default: // it is ending
		}
	}
}

// A reading that fails is told to who waits, and tried again by the next.
func TestLoadFails(t *testing.T) {
	broken := errors.New("no etcd")
	s := &unreadable{Store: memory.New()}
	kinds := newChanging(t)
	c := run(t, kinds.config(s))
	put(t, s, pod("a", "x", "n", nil))
	kinds.apply(t, []*resource.Definition{spelledPods("a")})
	s.fail.Store(&broken)
	if err := c.Load(t.Context(), pods); !errors.Is(err, broken) {
		t.Errorf("load from a store that fails: %v", err)
	}
	s.fail.Store(nil)
	load(t, c, pods)
	if c.Get(pods, "a", "x") == nil {
		t.Error("the object is not there")
	}
}

// A changed definition whose objects cannot be read: readers have them as they
// were, by the old one, and nobody waits; once the store answers they have them
// by the new one.
func TestRereadFails(t *testing.T) {
	broken := errors.New("no etcd")
	s := &unreadable{Store: memory.New()}
	kinds := newChanging(t, spelledPods("a"))
	now := clocktesting.NewFakeClock(time.Unix(1, 0))
	cfg := kinds.config(s)
	cfg.Clock = now
	c := run(t, cfg)
	put(t, s, pod("a", "x", "n", nil))
	catchUp(t, s, c)
	s.fail.Store(&broken)
	kinds.apply(t, []*resource.Definition{spelledPods("b")})
	for range 3 { // each try waits for the clock when it has failed
		tried := s.refused.Load()
		waitUntil(t, "the reading is tried and fails", func() bool {
			now.Step(time.Second)
			return s.refused.Load() > tried
		})
		load(t, c, pods)
		if got := spelling(c.Get(pods, "a", "x")); got != "a" {
			t.Fatalf("while it cannot be read again the object is %q, want it as it was", got)
		}
	}
	s.fail.Store(nil)
	waitUntil(t, "the object is decoded by the new definition", func() bool {
		now.Step(time.Second)
		return spelling(c.Get(pods, "a", "x")) == "b"
	})
	rev := put(t, s, pod("a", "y", "n", nil))
	catchUp(t, s, c)
	if o := c.Get(pods, "a", "y"); o == nil || o.Revision != rev || spelling(o) != "b" {
		t.Errorf("a later object: %v", o)
	}
}

// unreadable is a store whose lists fail.
type unreadable struct {
	store.Store
	fail    atomic.Pointer[error]
	refused atomic.Int64 // lists
}

func (u *unreadable) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	if err := u.fail.Load(); err != nil {
		u.refused.Add(1)
		return nil, false, 0, *err
	}
	return u.Store.List(ctx, prefix, o)
}

// BenchmarkUnusedResource shows what a resource costs that nobody asks for.
func BenchmarkUnusedResource(b *testing.B) {
	const n = 5000
	kinds := newChanging(b)
	c := run(b, kinds.config(memory.New()))
	var before, after runtimeMemory
	for b.Loop() {
		before.read()
		set := make([]*resource.Definition, n)
		for i := range set {
			set[i] = spelledKind(fmt.Sprint("things", i), fmt.Sprint("Thing", i), "a")
		}
		kinds.apply(b, set)
		c.Snapshot(pods) // follows
		after.read()
		b.ReportMetric(float64(after.heap-before.heap)/n, "B/resource")
		remove := make([]schema.GroupResource, n)
		for i := range remove {
			remove[i] = set[i].GroupResource()
		}
		kinds.apply(b, nil, remove...)
		c.Snapshot(pods)
	}
}

// waitUntil looks again and again, for what nobody can be told of.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come about that %s", what)
		}
		goruntime.Gosched()
	}
}

type runtimeMemory struct{ heap uint64 }

func (m *runtimeMemory) read() {
	goruntime.GC()
	var s goruntime.MemStats
	goruntime.ReadMemStats(&s)
	m.heap = s.HeapAlloc
}
