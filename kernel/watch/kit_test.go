package watch_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

var (
	pods     = schema.GroupResource{Resource: "pods"}
	nodes    = schema.GroupResource{Resource: "nodes"}
	events   = schema.GroupResource{Resource: "events"}
	newEvent = schema.GroupResource{Group: "events.k8s.io", Resource: "events"}
)

// table has a namespaced kind with a selectable field, a cluster-scoped one
// whose prefix is another word, one below another's prefix, two that share a
// prefix, and one that is not stored.
func table() *resource.Table {
	return &resource.Table{Definitions: []*resource.Definition{
		{Resource: "pods", Kind: "Pod", Namespaced: true, KeyPrefix: "/registry/pods", Strategy: resource.Strategy{
			Fields: func(obj runtime.Object) fields.Set {
				return fields.Set{"spec.nodeName": obj.(*corev1.Pod).Spec.NodeName}
			},
		}},
		{Resource: "nodes", Kind: "Node", KeyPrefix: "/registry/minions"},
		{Resource: "services", Kind: "Service", Namespaced: true, KeyPrefix: "/registry/services/specs"},
		{Resource: "endpoints", Kind: "Endpoints", Namespaced: true, KeyPrefix: "/registry/services/endpoints"},
		{Resource: "events", Kind: "Event", Namespaced: true, KeyPrefix: "/registry/events"},
		{Group: "events.k8s.io", Resource: "events", Kind: "Event", Namespaced: true, KeyPrefix: "/registry/events"},
		{Resource: "bindings", Kind: "Binding", Namespaced: true, Virtual: true},
	}}
}

var prefixes = map[string]string{
	"pods": "/registry/pods/", "nodes": "/registry/minions/", "services": "/registry/services/specs/",
	"endpoints": "/registry/services/endpoints/", "events": "/registry/events/",
}

// decode reads every kind as a Pod; only the keys differ.
func decode(_ *resource.Definition, value []byte, rev int64) (runtime.Object, error) {
	p := &corev1.Pod{}
	if err := p.Unmarshal(value); err != nil {
		return nil, err
	}
	if p.Name == "" {
		return nil, errors.New("no name")
	}
	p.ResourceVersion = strconv.FormatInt(rev, 10)
	return p, nil
}

func pod(namespace, name, node string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: node},
	}
}

func encode(t testing.TB, p *corev1.Pod) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func label(key, value string) func(*watch.Object) bool {
	return func(o *watch.Object) bool { return o.Obj.(*corev1.Pod).Labels[key] == value }
}

// run starts a cache, waits until it is ready and stops it with the test.
func run(t testing.TB, c watch.Config) *watch.Cache {
	t.Helper()
	cache, stop := runUntil(t, c)
	t.Cleanup(stop)
	return cache
}

func runUntil(t testing.TB, c watch.Config) (*watch.Cache, func()) {
	t.Helper()
	if c.Catalog == nil {
		c.Catalog = resource.NewCatalog(table())
	}
	if c.Decode == nil {
		c.Decode = decode
	}
	cache := watch.New(c)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	select {
	case <-cache.Ready():
	case <-time.After(time.Minute):
		stop()
		t.Fatal("the cache does not become ready")
	}
	return cache, stop
}

// catchUp waits until the cache has come to the store's revision.
func catchUp(t testing.TB, s store.Store, c *watch.Cache) {
	t.Helper()
	rev := mustRevision(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.WaitFor(ctx, rev); err != nil {
		t.Fatal(err)
	}
}

// available returns what a watcher can read without waiting.
func available(w *watch.Watcher) (all []watch.Event, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		events, err := w.Next(ctx)
		all = append(all, events...)
		if errors.Is(err, context.Canceled) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func put(t testing.TB, s store.Store, p *corev1.Pod) int64 {
	t.Helper()
	return commit(t, s, store.Op{Key: fmt.Sprintf("/registry/pods/%s/%s", p.Namespace, p.Name), Value: encode(t, p), Expect: store.Any})
}

func mustRevision(t testing.TB, s store.Store) int64 {
	t.Helper()
	rev, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func commit(t testing.TB, s store.Store, ops ...store.Op) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// faulty is a store whose watches can be broken.
type faulty struct {
	store.Store
	mu      sync.Mutex
	watches []*breakable
}

type breakable struct {
	store.Watcher
	out    chan store.Batch
	broken chan error
	ended  chan struct{}
	err    error
}

func (f *faulty) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	w := &breakable{Watcher: f.Store.Watch(ctx, prefix, after), out: make(chan store.Batch), broken: make(chan error, 1), ended: make(chan struct{})}
	f.mu.Lock()
	f.watches = append(f.watches, w)
	f.mu.Unlock()
	go w.run(ctx)
	return w
}

// opened counts the watches so far.
func (f *faulty) opened() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watches)
}

// interrupt ends the present watch with err. A cache that has just become ready
// may have yet to open it.
func (f *faulty) interrupt(err error) {
	for {
		f.mu.Lock()
		w := f.watches[len(f.watches)-1]
		f.mu.Unlock()
		select {
		case <-w.ended:
			time.Sleep(time.Millisecond)
		default:
			w.broken <- err
			return
		}
	}
}

func (w *breakable) Batches() <-chan store.Batch { return w.out }
func (w *breakable) Err() error                  { return w.err }

func (w *breakable) run(ctx context.Context) {
	defer close(w.ended)
	defer close(w.out)
	for {
		select {
		case b, ok := <-w.Watcher.Batches():
			if !ok {
				w.err = w.Watcher.Err()
				return
			}
			select {
			case w.out <- b:
			case <-ctx.Done():
				return
			}
		case w.err = <-w.broken:
			return
		}
	}
}
