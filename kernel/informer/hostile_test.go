package informer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/watch"
)

// flaky is a registry whose watches are cut off, and sometimes cannot be
// resumed.
type flaky struct {
	registry.Registry
	mu      sync.Mutex
	rand    *rand.Rand // guarded by mu
	refused int
	cut     int
	plain   bool // watchers without Next
}

func (f *flaky) Watch(ctx context.Context, t registry.Target, o metav1.ListOptions) (registry.Watcher, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rand.IntN(3) == 0 {
		f.refused++
		return nil, apierrors.NewResourceExpired("too old")
	}
	w, err := f.Registry.Watch(ctx, t, o)
	if err != nil {
		return nil, err
	}
	s := &short{BatchWatcher: w.(registry.BatchWatcher), f: f, left: f.rand.IntN(4)}
	if f.plain {
		return s.channel(ctx), nil
	}
	return s, nil
}

// short gives a few batches and then fails.
type short struct {
	registry.BatchWatcher
	f    *flaky
	left int
}

func (s *short) Next(ctx context.Context) ([]watch.Event, error) {
	if s.left--; s.left < 0 {
		s.f.mu.Lock()
		defer s.f.mu.Unlock()
		s.f.cut++
		return nil, watch.ErrSlow
	}
	return s.BatchWatcher.Next(ctx)
}

// channel hands the events out one by one, and may end within a revision.
func (s *short) channel(ctx context.Context) registry.Watcher {
	out := &channelled{short: s, out: make(chan watch.Event)}
	go func() {
		defer close(out.out)
		for {
			events, err := s.Next(ctx)
			if err != nil {
				return
			}
			for i, e := range events {
				if i > 0 && s.left == 0 {
					return
				}
				select {
				case out.out <- e:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

type channelled struct {
	short *short
	out   chan watch.Event
}

func (c *channelled) Events() <-chan watch.Event { return c.out }
func (c *channelled) Err() error                 { return watch.ErrSlow }
func (c *channelled) Stop()                      { c.short.Stop() }

// model is what an informer told, and whether it makes sense.
type model struct {
	mu     sync.Mutex
	known  map[string]*watch.Object
	faults []string
}

func (m *model) event(e watch.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.known[e.Object.Key]
	fault := ""
	switch {
	case e.Type == watch.Added && old != nil:
		fault = "added twice"
	case e.Type != watch.Added && old == nil:
		fault = "not known"
	case e.Type == watch.Modified && (e.Prev == nil || uid(old) != uid(e.Object)):
		fault = "modified into another object"
	case e.Type == watch.Modified && e.Object.Revision <= old.Revision:
		fault = "out of order"
	}
	if fault != "" {
		m.faults = append(m.faults, fmt.Sprintf("%s %s: %s", e.Type, e.Object.Name, fault))
	}
	if e.Type == watch.Deleted {
		delete(m.known, e.Object.Key)
	} else {
		m.known[e.Object.Key] = e.Object
	}
}

func uid(o *watch.Object) types.UID { return o.Obj.(*corev1.ConfigMap).UID }

// TestLosesNothing writes at random while the watches of an informer are
// cut off and refused. What it tells is a history without gaps, and ends with
// what is there.
func TestLosesNothing(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			k := newKit(t)
			f := &flaky{Registry: k, rand: rand.New(rand.NewPCG(1, 1)), plain: plain}
			m := &model{known: map[string]*watch.Object{}}
			registrytest.Background(t, informer.New(informer.Config{Registry: f, Target: registry.Target{Resource: configMaps}, Clock: hasty{}, Handler: informer.NewDiffer(m.event)}).Run)
			r := rand.New(rand.NewPCG(2, 2))
			there := map[string]*watch.Object{}
			for range 2000 {
				name := fmt.Sprint("c", r.IntN(10))
				switch {
				case there[name] == nil:
					there[name] = k.config(t, name)
				case r.IntN(2) == 0:
					there[name] = k.set(t, name, fmt.Sprint(r.Int()))
				default:
					k.remove(t, name)
					delete(there, name)
					if r.IntN(2) == 0 {
						there[name] = k.config(t, name) // the name at once again
					}
				}
			}
			registrytest.Eventually(t, "same state", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				if len(m.known) != len(there) {
					return false
				}
				for _, o := range there {
					if got := m.known[o.Key]; got == nil || got.Revision != o.Revision {
						return false
					}
				}
				return true
			})
			if len(m.faults) > 0 {
				t.Errorf("%d faults, first %s", len(m.faults), m.faults[0])
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.refused == 0 || f.cut == 0 {
				t.Errorf("%d watches were refused and %d cut off: the test tested nothing", f.refused, f.cut)
			}
		})
	}
}

// TestWaitForAnothersRevision: a revision that is no event's of the resource is
// reached by a new list.
func TestWaitForAnothersRevision(t *testing.T) {
	k := newKit(t)
	i := informer.New(informer.Config{Registry: k, Target: registry.Target{Resource: configMaps}, Handler: informer.NewDiffer(func(watch.Event) {})})
	registrytest.Background(t, i.Run)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := i.WaitFor(ctx, 0); err != nil || !i.HasSynced() {
		t.Fatalf("synced %v: %v", i.HasSynced(), err)
	}
	ns, err := k.Create(t.Context(), registry.Target{Resource: namespaces}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.WaitFor(ctx, ns.Revision); err != nil || i.Revision() < ns.Revision {
		t.Errorf("at revision %d, want %d: %v", i.Revision(), ns.Revision, err)
	}
}

// TestIndexByOwnFunction: what an index holds is what a function reads.
func TestIndexByOwnFunction(t *testing.T) {
	k := newKit(t)
	index := informer.NewIndex(func(o *watch.Object) []string {
		if v := o.Obj.(*corev1.ConfigMap).Data["v"]; v != "" {
			return []string{v}
		}
		return nil
	})
	i := informer.New(informer.Config{Registry: k, Target: registry.Target{Resource: configMaps}, Handler: informer.NewDiffer(index.Apply)})
	registrytest.Background(t, i.Run)
	want := func(value string, rev int64, want ...string) {
		t.Helper()
		if err := i.WaitFor(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range index.List(value, "") {
			got = append(got, o.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", value, got, want)
		}
	}
	for _, name := range []string{"b", "a", "c"} {
		k.config(t, name)
		k.set(t, name, "red")
	}
	want("red", k.set(t, "c", "blue").Revision, "a", "b")
	want("blue", 0, "c")
	k.remove(t, "b")
	want("red", k.set(t, "c", "").Revision, "a")
	want("blue", 0)
}
