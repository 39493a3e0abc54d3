package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
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

// model is what a follower told, and whether it makes sense.
type model struct {
	mu     sync.Mutex
	known  map[string]*watch.Object
	faults []string
	rev    int64
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
	case e.Type == watch.Modified && (e.Prev == nil || uidOf(old) != uidOf(e.Object)):
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

func (m *model) caught(rev int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev < m.rev {
		m.faults = append(m.faults, fmt.Sprintf("went back from %d to %d", m.rev, rev))
	}
	m.rev = rev
}

// TestFollowLosesNothing writes at random while the watches of a follower are
// cut off and refused. What it tells is a history without gaps, and ends with
// what is there.
func TestFollowLosesNothing(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			k := newKit(t)
			f := &flaky{Registry: k, rand: rand.New(rand.NewPCG(1, 1)), plain: plain}
			m := &model{known: map[string]*watch.Object{}}
			fast := &hasty{RealClock: clock.RealClock{}}
			background(t, newFollower(f, fast, configMaps, m.event, m.caught).run)
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
			eventually(t, "same state", func() bool {
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

func TestFollowRefreshes(t *testing.T) {
	k := newKit(t)
	m := &model{known: map[string]*watch.Object{}}
	f := newFollower(k, clock.RealClock{}, configMaps, m.event, m.caught)
	background(t, f.run)
	at := func() int64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.rev
	}
	eventually(t, "first list", func() bool { return at() > 0 })
	before := at()
	if _, err := k.Create(t.Context(), in(podsR, ""), pod("p"), registry.WriteOptions{}); err != nil { // no event of config maps
		t.Fatal(err)
	}
	f.refresh()
	eventually(t, "a later revision", func() bool { return at() > before })
}
