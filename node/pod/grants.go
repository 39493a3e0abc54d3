package pod

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// grants is what a worker's pod was allocated, and what waits and is under way
// to change that. It may be used concurrently.
type grants struct {
	saving sync.Mutex // held while the record is replaced; before mu

	mu     sync.Mutex
	record *resize.Record // nil for a pod that was not taken up; never changed, but replaced; guarded by mu
	// number counts the allocations, to tell a new one from the one that was
	// worked on. Guarded by mu.
	number            int
	pending, applying *resize.Condition // guarded by mu
	// A new allocation that could not be kept is not tried before.
	later   time.Time // guarded by mu
	keeping *backoff.Retry
}

// unkept notes that a new allocation could not be kept, and warns when that
// begins or has another cause.
func (g *grants) unkept(log *slog.Logger, now time.Time, err error) {
	later := now.Add(g.keeping.Failed(log, "resize not granted: it could not be kept", err))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.later = later
}

// again is when a new allocation may be tried; zero is at once.
func (g *grants) again(now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.later) {
		return g.later
	}
	return time.Time{}
}

// begin sets what was allocated to a pod that its worker just meets. Its status
// tells what an agent before knew. Without a known record nobody asked for a
// resize now, and none is told of.
func (g *grants) begin(r *resize.Record, pod *corev1.Pod, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record = r
	if r.Allocated.Apply(pod) != pod {
		g.pending = resize.Recall(pod, corev1.PodResizePending)
	}
	if r.Applying && known {
		if g.applying = resize.Recall(pod, corev1.PodResizeInProgress); g.applying == nil {
			g.applying = &resize.Condition{Generation: pod.Generation, Since: pod.CreationTimestamp.Time}
		}
	}
}

// apply is the pod with what it was allocated; pod itself if it asks for
// nothing else.
func (g *grants) apply(pod *corev1.Pod) *corev1.Pod {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.record == nil {
		return pod
	}
	return g.record.Allocated.Apply(pod)
}

// seen takes in a change of the pod: a wish may have been taken back.
func (g *grants) seen(pod *corev1.Pod) {
	if g.apply(pod) == pod {
		g.pend(nil)
	}
}

func (g *grants) pend(c *resize.Condition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = c
}

// fail notes why a resize does not come on, and reports whether that is news.
func (g *grants) fail(c resize.Condition) (generation int64, news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.applying == nil {
		return 0, false
	}
	old := *g.applying
	c.Generation = old.Generation
	if c.Reason == old.Reason {
		c.Since = old.Since
	}
	g.applying = &c
	return c.Generation, c.Reason != old.Reason || c.Message != old.Message
}

func (g *grants) conditions() (pending, applying *resize.Condition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pending, g.applying
}

// whole is what bounds the pod as a whole at present.
func (g *grants) whole() *corev1.ResourceRequirements {
	if r, _ := g.current(); r != nil {
		return r.Has()
	}
	return nil
}

// current is the record, which must not be changed, and the number of its
// allocation.
func (g *grants) current() (*resize.Record, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.record, g.number
}

// replace changes the record to what change makes of it, once save has kept
// that. change is told the number of the allocation that the record is of. With
// began, the record is of a new one, whose condition that is.
func (g *grants) replace(save func(*resize.Record) error, change func(r *resize.Record, number int), began *resize.Condition) error {
	g.saving.Lock() // a slow disk keeps nobody from reading
	defer g.saving.Unlock()
	old, number := g.current()
	r := *old
	r.Resized, r.Replaced = maps.Clone(r.Resized), slices.Clone(r.Replaced)
	change(&r, number)
	if err := save(&r); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record = &r
	if began != nil {
		g.number++
		g.pending, g.applying = nil, began
	}
	return nil
}

// completed ends the resize, if it is still the one of that number, and
// reports of which generation it was.
func (g *grants) completed(number int) (generation int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number != number || g.applying == nil {
		return 0, false
	}
	generation, g.applying = g.applying.Generation, nil
	return generation, true
}

// overlay adds to what the runtime shows what only the record knows.
func (g *grants) overlay(seen *state.Pod) {
	r, _ := g.current()
	if r == nil {
		return
	}
	for i := range seen.Containers {
		c := &seen.Containers[i]
		if q, ok := r.Resized[c.ID]; ok {
			c.Granted = &q
		}
		c.Replace = slices.Contains(r.Replaced, c.ID)
	}
}
