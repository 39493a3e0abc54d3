package selection

import (
	"context"
	"strings"
	"sync"
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

// restorable is a store that another can take the place of, as when etcd is
// restored from a backup.
type restorable struct {
	store.Store // only for what is not below
	mu          sync.Mutex
	now         store.Store
	restored    chan struct{} // closed when now changes
}

func (r *restorable) get() (store.Store, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.restored
}

func (r *restorable) restore(s store.Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = s
	close(r.restored)
	r.restored = make(chan struct{})
}

func (r *restorable) Revision(ctx context.Context) (int64, error) {
	s, _ := r.get()
	return s.Revision(ctx)
}

func (r *restorable) List(ctx context.Context, prefix string, o store.ListOptions) ([]store.KV, bool, int64, error) {
	s, _ := r.get()
	return s.List(ctx, prefix, o)
}

func (r *restorable) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	s, restored := r.get()
	w := &restorableWatcher{Watcher: s.Watch(ctx, prefix, after), out: make(chan store.Batch)}
	go func() {
		defer close(w.out)
		for {
			var b store.Batch
			select {
			case b = <-w.Watcher.Batches():
			case <-restored:
				s, _ := r.get()
				rev, err := s.Revision(ctx)
				if err != nil {
					return
				}
				b = store.Batch{Revision: rev} // a progress notice
				restored = nil
			case <-ctx.Done():
				return
			}
			select {
			case w.out <- b:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

type restorableWatcher struct {
	store.Watcher
	out chan store.Batch
}

func (w *restorableWatcher) Batches() <-chan store.Batch { return w.out }
func (w *restorableWatcher) Err() error                  { return nil }

var configMaps = schema.GroupResource{Resource: "configmaps"}

// held is a cache of ConfigMaps, and the pages kept of it.
type held struct {
	*restorable
	t     *testing.T
	cache *watch.Cache
	clock *clocktesting.FakePassiveClock
	pages *Pages
}

func newHeld(t *testing.T) *held {
	h := &held{t: t, restorable: &restorable{now: memory.New(), restored: make(chan struct{})}, clock: clocktesting.NewFakePassiveClock(time.Now())}
	h.pages = NewPages(h.clock)
	h.cache = watch.New(watch.Config{
		Store:   h.restorable,
		Catalog: resource.NewCatalog(&resource.Table{Definitions: []*resource.Definition{{Resource: "configmaps", Kind: "ConfigMap", Namespaced: true, KeyPrefix: "/registry/configmaps"}}}),
		Decode:  func(*resource.Definition, []byte, int64) (runtime.Object, error) { return &corev1.ConfigMap{}, nil },
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.cache.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-h.cache.Ready()
	return h
}

// write stores an object of n bytes and waits for the cache.
func (h *held) write(name string, n int) int64 {
	h.t.Helper()
	s, _ := h.get()
	rev, err := s.Commit(h.t.Context(), []store.Op{{Key: "/registry/configmaps/a/" + name, Value: []byte(strings.Repeat("x", n)), Expect: store.Any}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.cache.WaitFor(h.t.Context(), rev); err != nil {
		h.t.Fatal(err)
	}
	return rev
}

// keep keeps the present state for a page.
func (h *held) keep() int64 {
	s := h.cache.Snapshot(configMaps)
	h.pages.Keep(configMaps, s)
	return s.Revision()
}

func (h *held) has(rev int64) bool {
	_, ok := h.pages.Get(configMaps, rev)
	return ok
}

func (h *held) len() int {
	h.pages.mu.Lock()
	defer h.pages.mu.Unlock()
	return h.pages.order.Len()
}

func TestPagesAge(t *testing.T) {
	h := newHeld(t)
	h.write("x", 10)
	rev := h.keep()
	h.clock.SetTime(h.clock.Now().Add(pageAge - time.Second))
	if h.pages.Trim(); !h.has(rev) {
		t.Error("a snapshot was dropped before its time")
	}
	h.clock.SetTime(h.clock.Now().Add(2 * time.Second))
	if h.pages.Trim(); h.len() != 0 {
		t.Error("a snapshot that nobody asks for is held")
	}
}

// A snapshot costs nothing as long as it shows the present; then it holds what
// has changed.
func TestPagesBytes(t *testing.T) {
	h := newHeld(t)
	h.write("x", 1<<20)
	first := h.keep()
	h.write("x", 1<<20)
	second := h.keep()
	if h.pages.Trim(); !h.has(first) || !h.has(second) {
		t.Error("small snapshots were dropped")
	}
	for range 2 + maxPageBytes/(5<<20) {
		h.write("x", 1<<20)
	}
	last := h.keep()
	if h.has(first) || !h.has(last) {
		t.Errorf("first kept %t, last %t; want the last", h.has(first), h.has(last))
	}
	h.pages.mu.Lock()
	total, _ := h.pages.weigh()
	h.pages.mu.Unlock()
	if total > maxPageBytes {
		t.Errorf("pages hold %d bytes, want at most %d", total, maxPageBytes)
	}
}

func TestPagesCount(t *testing.T) {
	h := newHeld(t)
	var first, last int64
	for i := range maxPages + 10 {
		h.write("x", 10)
		if last = h.keep(); i == 0 {
			first = last
		}
	}
	if h.len() != maxPages || h.has(first) || !h.has(last) {
		t.Errorf("%d snapshots, the first %t, the last %t", h.len(), h.has(first), h.has(last))
	}
}

// After a restoration, a revision names another state than it did before.
func TestPagesRewound(t *testing.T) {
	h := newHeld(t)
	var rev int64
	for range 5 {
		h.write("x", 10)
		rev = h.keep()
	}
	stale := h.cache.Snapshot(configMaps)
	h.restore(memory.New())
	h.write("y", 10)
	for h.cache.Rewinds() == 0 {
		time.Sleep(time.Millisecond)
	}
	if h.has(rev) {
		t.Error("a page is answered from before the restoration")
	}
	h.pages.Keep(configMaps, stale) // by a list that began before
	if h.has(rev) || h.len() != 0 {
		t.Error("a snapshot of before the restoration is held")
	}
}
