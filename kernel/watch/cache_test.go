package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

func TestNotReady(t *testing.T) {
	c := watch.New(watch.Config{Store: memory.New(), Catalog: resource.NewCatalog(table()), Decode: decode})
	if _, err := c.Watch(pods, 0, watch.Filter{}); !errors.Is(err, watch.ErrNotReady) {
		t.Errorf("watch: got %v", err)
	}
	if s := c.Snapshot(pods); s.Len("") != 0 || s.Revision() != 0 || s.Get("a", "b") != nil {
		t.Errorf("snapshot: %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.WaitFor(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: got %v", err)
	}
}

func TestUnknownResource(t *testing.T) {
	c := run(t, watch.Config{Store: memory.New()})
	for _, r := range []string{"unknown", "bindings", "pods.other"} {
		if _, err := c.Watch(schema.ParseGroupResource(r), 0, watch.Filter{}); !errors.Is(err, watch.ErrUnknown) {
			t.Errorf("%s: got %v", r, err)
		}
	}
}

func TestWaitFor(t *testing.T) {
	s := memory.New()
	c := run(t, watch.Config{Store: s})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			rev := int64(i%5) + 2
			if err := c.WaitFor(t.Context(), rev); err != nil || c.Revision() < rev {
				t.Errorf("wait for %d: at %d, %v", rev, c.Revision(), err)
			}
		})
	}
	for i := range 5 {
		put(t, s, pod("a", fmt.Sprint(i), "", nil))
	}
	wg.Wait()
	// What was waited for can be read.
	for i := range 50 {
		rev := put(t, s, pod("a", "x", fmt.Sprint("n", i), nil))
		if err := c.WaitFor(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		if o := c.Get(pods, "a", "x"); o == nil || o.Revision != rev {
			t.Fatalf("after revision %d: %+v", rev, o)
		}
		if got := c.Snapshot(pods); got.Revision() != rev || got.Get("a", "x").Revision != rev {
			t.Fatalf("snapshot after revision %d is of %d", rev, got.Revision())
		}
	}
}

// TestStop checks that the end of the cache ends everything that hangs on it,
// its goroutines included.
func TestStop(t *testing.T) {
	before := runtime.NumGoroutine()
	s := memory.New()
	put(t, s, pod("a", "x", "", nil))
	c, stop := runUntil(t, watch.Config{Store: s})
	channel, err := c.WatchWith(pods, watch.WatchOptions{Initial: true})
	if err != nil {
		t.Fatal(err)
	}
	out := channel.Events()
	next, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- c.WaitFor(t.Context(), 1000) }()
	stop()
	for range out { // ends
	}
	if err := channel.Err(); !errors.Is(err, watch.ErrStopped) {
		t.Errorf("channel: got %v", err)
	}
	if _, err := next.Next(t.Context()); !errors.Is(err, watch.ErrStopped) {
		t.Errorf("next: got %v", err)
	}
	if err := <-waited; !errors.Is(err, watch.ErrStopped) {
		t.Errorf("wait: got %v", err)
	}
	if _, err := c.Watch(pods, 0, watch.Filter{}); !errors.Is(err, watch.ErrStopped) {
		t.Errorf("watch: got %v", err)
	}
	if o := c.Get(pods, "a", "x"); o == nil {
		t.Error("a stopped cache has forgotten its objects")
	}
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestEventsChannel(t *testing.T) {
	s := memory.New()
	put(t, s, pod("a", "0", "", nil))
	c := run(t, watch.Config{Store: s})
	w, err := c.WatchWith(pods, watch.WatchOptions{Initial: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 100; i++ {
		put(t, s, pod("a", fmt.Sprint(i), "", nil))
	}
	var got []string
	for e := range w.Events() {
		if e.Type == watch.Bookmark {
			continue
		}
		if got = append(got, e.Object.Name); len(got) == 100 {
			w.Stop()
			w.Stop()
		}
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
	}
	if diff := cmp.Diff(want, got); diff != "" || w.Err() != nil {
		t.Errorf("%v (-want +got):\n%s", w.Err(), diff)
	}
	if n := c.Stats().Watchers; n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

func TestNextEndsWithContext(t *testing.T) {
	c := run(t, watch.Config{Store: memory.New()})
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if events, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", events, err)
	}
}

// TestPrime checks that a deposited object is used, whether the event comes
// before or after it, and that nothing is left over.
func TestPrime(t *testing.T) {
	s := memory.New()
	f := &faulty{Store: s}
	release := make(chan struct{})
	c := run(t, watch.Config{Store: &gated{Store: f, gate: release}})
	early := pod("a", "early", "n", nil)
	rev := put(t, s, early)
	early.ResourceVersion = fmt.Sprint(rev)
	deposited := c.Prime("/registry/pods/a/early", rev, early)
	close(release) // only now do events arrive
	catchUp(t, s, c)
	held := c.Get(pods, "a", "early")
	if held == nil || held != deposited || held.Obj != kruntime.Object(early) {
		t.Errorf("the deposited object is not the one held: %p, %p", held, deposited)
	}
	if st := c.Stats(); st.Primed != 1 || st.Decoded != 0 {
		t.Errorf("primed %d, decoded %d", st.Primed, st.Decoded)
	}
	late := pod("a", "late", "n", nil)
	rev = put(t, s, late)
	catchUp(t, s, c)
	late.ResourceVersion = fmt.Sprint(rev)
	if got, held := c.Prime("/registry/pods/a/late", rev, late), c.Get(pods, "a", "late"); got != held {
		t.Errorf("a late deposit is not answered with the object held: %p, %p", got, held)
	}
	if got := c.Prime("/registry/unknown/a", rev, late); got != nil {
		t.Errorf("a key of no resource: got %+v", got)
	}
	// A hint is for its revision only.
	stale := pod("a", "x", "stale", nil)
	c.Prime("/registry/pods/a/x", rev+5, stale)
	put(t, s, pod("a", "x", "fresh", nil))
	catchUp(t, s, c)
	if got := c.Get(pods, "a", "x").Obj.(*corev1.Pod).Spec.NodeName; got != "fresh" {
		t.Errorf("a hint of another revision was used: %s", got)
	}
}

// gated holds the batches of watches back until the gate opens.
type gated struct {
	store.Store
	gate chan struct{}
}

type gatedWatcher struct {
	store.Watcher
	out chan store.Batch
}

func (g *gated) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	w := &gatedWatcher{g.Store.Watch(ctx, prefix, after), make(chan store.Batch)}
	go func() {
		defer close(w.out)
		<-g.gate
		for b := range w.Watcher.Batches() {
			select {
			case w.out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

func (w *gatedWatcher) Batches() <-chan store.Batch { return w.out }

func TestEncodingOnce(t *testing.T) {
	s := memory.New()
	c := run(t, watch.Config{Store: s})
	put(t, s, pod("a", "x", "", nil))
	catchUp(t, s, c)
	o := c.Get(pods, "a", "x")
	var mu sync.Mutex
	made := map[string]int{}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			version, media := fmt.Sprint("v", i%2), fmt.Sprint("m", i%4/2)
			b, err := o.Encoding(version, media, func(kruntime.Object) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				made[version+media]++
				return []byte(version + media), nil
			})
			if err != nil || string(b) != version+media {
				t.Errorf("got %s, %v", b, err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"v0m0": 1, "v0m1": 1, "v1m0": 1, "v1m1": 1}, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	boom := errors.New("boom")
	if _, err := o.Encoding("v", "bad", func(kruntime.Object) ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if b, err := o.Encoding("v", "bad", func(kruntime.Object) ([]byte, error) { return []byte("ok"), nil }); string(b) != "ok" || err != nil {
		t.Errorf("a failed encoding was kept: %s, %v", b, err)
	}
}

// TestLoadMany loads more than a page, decoded by several goroutines, and
// finds the same after a reload, which decodes only what has changed.
func TestLoadMany(t *testing.T) {
	s := &faulty{Store: memory.New()}
	const n = 5000
	for i := 0; i < n; i += 500 {
		var ops []store.Op
		for j := i; j < i+500; j++ {
			p := pod(fmt.Sprint("ns", j%7), fmt.Sprintf("p%05d", j), "", nil)
			ops = append(ops, store.Op{Key: "/registry/pods/" + p.Namespace + "/" + p.Name, Value: encode(t, p), Expect: store.Any})
		}
		commit(t, s, ops...)
	}
	c := run(t, watch.Config{Store: s})
	if got := c.Snapshot(pods).Len(""); got != n {
		t.Errorf("loaded %d objects, want %d", got, n)
	}
	w, err := c.WatchWith(pods, watch.WatchOptions{Initial: true, Filter: watch.Filter{Namespace: "ns3"}})
	if err != nil {
		t.Fatal(err)
	}
	initial, err := available(w)
	if err != nil || len(initial) != (n+3)/7+1 || !initial[len(initial)-1].InitialEnd {
		t.Errorf("%d initial events, %v", len(initial), err)
	}
	before := c.Stats()
	kept := c.Get(pods, "ns0", "p00000")
	s.interrupt(store.ErrCompacted)
	if _, err := w.Next(t.Context()); !errors.Is(err, watch.ErrTooOld) {
		t.Errorf("watch over a reload: got %v", err)
	}
	put(t, s, pod("ns0", "new", "", nil))
	catchUp(t, s, c)
	after := c.Stats()
	if after.Loads != before.Loads+1 || after.Decoded > before.Decoded+1 {
		t.Errorf("a reload decoded %d objects", after.Decoded-before.Decoded)
	}
	if c.Get(pods, "ns0", "p00000") != kept {
		t.Error("a reload replaced an object that has not changed")
	}
}

// TestStoreGoesBack restores, in effect, an older backup under the cache.
func TestStoreGoesBack(t *testing.T) {
	old, restored := memory.New(), memory.New()
	for i := range 10 {
		put(t, old, pod("a", fmt.Sprint(i), "", nil))
	}
	put(t, restored, pod("a", "0", "restored", nil))
	s := &switched{Store: old}
	f := &faulty{Store: s}
	c := run(t, watch.Config{Store: f})
	w, err := c.Watch(pods, 0, watch.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	s.set(restored)
	f.interrupt(store.ErrUnavailable)
	// The restored store tells its revision, as etcd's progress notices do.
	if _, err := w.Next(t.Context()); !errors.Is(err, watch.ErrTooOld) {
		t.Errorf("got %v", err)
	}
	put(t, restored, pod("a", "1", "restored", nil))
	catchUp(t, restored, c)
	if got := c.Snapshot(pods); got.Len("") != 2 || got.Revision() != 3 {
		t.Errorf("%d objects at %d", got.Len(""), got.Revision())
	}
	if got := c.Get(pods, "a", "0").Obj.(*corev1.Pod).Spec.NodeName; got != "restored" {
		t.Errorf("got %q", got)
	}
}

// switched passes on to a store that can be exchanged, and begins every watch
// with a progress notice.
type switched struct {
	store.Store
	mu  sync.Mutex
	now store.Store
}

func (s *switched) set(now store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

func (s *switched) get() store.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return s.Store
	}
	return s.now
}

func (s *switched) Revision(ctx context.Context) (int64, error) { return s.get().Revision(ctx) }

func (s *switched) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	return s.get().List(ctx, prefix, o)
}

func (s *switched) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	now := s.get()
	inner := now.Watch(ctx, prefix, after)
	w := &gatedWatcher{inner, make(chan store.Batch)}
	go func() {
		defer close(w.out)
		rev, err := now.Revision(ctx)
		// What is behind after has been delivered; what is ahead has not.
		for b := (store.Batch{Revision: min(rev, after)}); err == nil; {
			select {
			case w.out <- b:
			case <-ctx.Done():
				return
			}
			var ok bool
			if b, ok = <-inner.Batches(); !ok {
				return
			}
		}
	}()
	return w
}

// TestUnavailableStore starts a cache on a store that does not answer yet.
func TestUnavailableStore(t *testing.T) {
	var log bytes.Buffer
	s := &failing{Store: memory.New(), left: 2}
	put(t, s.Store, pod("a", "x", "", nil))
	c, stop := runUntil(t, watch.Config{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
	stop()
	if c.Get(pods, "a", "x") == nil {
		t.Error("nothing was loaded")
	}
	if n := strings.Count(log.String(), "watch cache interrupted"); n != 2 {
		t.Errorf("%d failures were logged:\n%s", n, log.String())
	}
}

type failing struct {
	store.Store
	left int
}

func (f *failing) Revision(ctx context.Context) (int64, error) {
	if f.left > 0 {
		f.left--
		return 0, store.ErrUnavailable
	}
	return f.Store.Revision(ctx)
}

// TestUndecodableLoggedOnce counts log lines, not failures.
func TestUndecodableLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	s := memory.New()
	key := "/registry/pods/a/x"
	for range 3 {
		commit(t, s, store.Op{Key: key, Value: []byte("garbage"), Expect: store.Any})
	}
	c, stop := runUntil(t, watch.Config{
		Store: s, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
		Decode: func(*resource.Definition, []byte, int64) (kruntime.Object, error) { return nil, errors.New("boom") },
	})
	for range 3 {
		commit(t, s, store.Op{Key: key, Value: []byte("garbage"), Expect: store.Any})
	}
	catchUp(t, s, c)
	stop()
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), key) {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	if n := c.Stats().Undecodable; n != 1 {
		t.Errorf("%d failures", n)
	}
}
