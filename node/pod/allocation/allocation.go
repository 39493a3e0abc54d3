// Package allocation keeps what the node has granted one pod of its resources,
// and what waits and is under way to change that. What is decided about it is
// package resize's.
package allocation

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// Pauses between tries to keep an allocation.
const (
	firstRetry = 500 * time.Millisecond
	maxRetry   = 30 * time.Second
)

// Pod is what one pod was allocated. It may be used concurrently.
type Pod struct {
	uid   types.UID
	store *checkpoint.Store // nil keeps nothing beyond the agent's life
	pids  int64
	log   *slog.Logger

	saving sync.Mutex // held while the record is replaced; before mu

	mu     sync.Mutex
	record *resize.Record // nil for a pod that was not taken up; never changed, but replaced; guarded by mu
	// number counts the allocations, to tell a new one from the one that was
	// worked on. Guarded by mu.
	number            int
	pending, applying *resize.Condition // guarded by mu
	applied           applied           // guarded by mu
	// A new allocation that could not be kept is not tried before.
	later   time.Time // guarded by mu
	keeping *backoff.Retry
}

// applied is a pod with what it was allocated by a record.
type applied struct {
	pod, with *corev1.Pod
	record    *resize.Record
}

// State is an allocation at one moment. Record must not be changed.
type State struct {
	Record *resize.Record
	// Number tells a new allocation from one before it.
	Number            int
	Pending, Applying *resize.Condition
}

// New makes an empty allocation, which leaves the pod what it asks for. store
// may be nil. pids bounds the tasks of the pod; 0 means no limit.
func New(uid types.UID, store *checkpoint.Store, pids int64, log *slog.Logger) *Pod {
	return &Pod{uid: uid, store: store, pids: pids, log: log, keeping: backoff.New(firstRetry, maxRetry)}
}

// Restore finds out what a pod was allocated that is taken up: by an agent
// before, or now what its spec asks for.
func (g *Pod) Restore(pod *corev1.Pod) {
	var r *resize.Record
	if g.store != nil {
		var err error
		if r, err = g.store.Load(g.uid); err != nil {
			g.log.Warn("what the pod was allocated before is not known; it is what it asks for now", "error", err)
		}
	}
	known := r != nil
	if !known {
		r = g.newRecord(pod)
		if pod.DeletionTimestamp == nil && !podspec.Final(pod) {
			if err := g.save(r); err != nil {
				g.log.Warn("what the pod was allocated is not kept: a resize while no agent runs will not be told from it", "error", err)
			}
		}
	}
	g.begin(r, pod, known)
}

// newRecord allocates what a pod asks for. What runs of it already was made
// with what nobody remembers: it is brought to that.
func (g *Pod) newRecord(pod *corev1.Pod) *resize.Record {
	r := &resize.Record{Allocated: resize.Of(pod)}
	if slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(s corev1.ContainerStatus) bool { return s.ContainerID != "" }) {
		r.Applying, r.Group, r.Whole = true, podspec.PodLimits(pod, g.pids), r.Allocated.Pod
	}
	return r
}

func (g *Pod) save(r *resize.Record) error {
	if g.store == nil {
		return nil
	}
	return g.store.Save(g.uid, r)
}

// Forget is for a pod that is gone.
func (g *Pod) Forget() {
	if g.store == nil {
		return
	}
	if err := g.store.Remove(g.uid); err != nil {
		g.log.Debug("allocation not removed", "error", err) // the sweep does
	}
}

// Grant allocates what pod asks for. condition is that of the resize that it
// begins. It fails when the allocation could not be kept, and is not to be
// tried before Again.
func (g *Pod) Grant(pod *corev1.Pod, now time.Time) error {
	err := g.replace(func(r *resize.Record, _ int) {
		r.Grant(pod, func(p *corev1.Pod) cgroup.Limits { return podspec.PodLimits(p, g.pids) })
	}, &resize.Condition{Generation: pod.Generation, Since: now})
	if err != nil {
		g.unkept(now, err)
		return err
	}
	g.keeping.Succeeded(g.log)
	return nil
}

// unkept notes that a new allocation could not be kept, and warns when that
// begins or has another cause.
func (g *Pod) unkept(now time.Time, err error) {
	later := now.Add(g.keeping.Failed(g.log, "resize not granted: it could not be kept", err))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.later = later
}

// Again is when a new allocation may be tried; zero is at once.
func (g *Pod) Again(now time.Time) time.Time {
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
func (g *Pod) begin(r *resize.Record, pod *corev1.Pod, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record = r
	if r.Allocated.Apply(pod) != pod {
		g.pending = resize.Restore(pod, corev1.PodResizePending)
	}
	if r.Applying && known {
		if g.applying = resize.Restore(pod, corev1.PodResizeInProgress); g.applying == nil {
			g.applying = &resize.Condition{Generation: pod.Generation, Since: pod.CreationTimestamp.Time}
		}
	}
}

// Apply is the pod with what it was allocated; pod itself if it asks for
// nothing else. It compares when the pod or the allocation is another than the
// last time, and not each time that somebody wants to know.
func (g *Pod) Apply(pod *corev1.Pod) *corev1.Pod {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.record == nil {
		return pod
	}
	if a := &g.applied; a.pod != pod || a.record != g.record {
		*a = applied{pod, g.record.Allocated.Apply(pod), g.record}
	}
	return g.applied.with
}

// Update is told of a change of the pod: a wish may have been taken back.
func (g *Pod) Update(pod *corev1.Pod) {
	if g.Apply(pod) == pod {
		g.Pend(nil)
	}
}

// Pend notes that a resize waits; nil is none.
func (g *Pod) Pend(c *resize.Condition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = c
}

// Fail notes why a resize does not come on, and reports whether that is news.
func (g *Pod) Fail(c resize.Condition) (generation int64, news bool) {
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

// State is the allocation at this moment.
func (g *Pod) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return State{g.record, g.number, g.pending, g.applying}
}

// Change changes the record to what change makes of it, once that is kept.
// change is told the number of the allocation that the record is of.
func (g *Pod) Change(change func(r *resize.Record, number int)) error { return g.replace(change, nil) }

// replace is Change. With began, the record is of a new allocation, whose
// condition that is.
func (g *Pod) replace(change func(r *resize.Record, number int), began *resize.Condition) error {
	g.saving.Lock() // a slow disk keeps nobody from reading
	defer g.saving.Unlock()
	old := g.State()
	r := *old.Record
	r.Resized, r.Replaced = maps.Clone(r.Resized), slices.Clone(r.Replaced)
	change(&r, old.Number)
	if err := g.save(&r); err != nil {
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

// Completed ends the resize, if it is still the one of that number, and
// reports of which generation it was.
func (g *Pod) Completed(number int) (generation int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.number != number || g.applying == nil {
		return 0, false
	}
	generation, g.applying = g.applying.Generation, nil
	return generation, true
}

// Overlay adds to what the runtime shows what only the record knows.
func (g *Pod) Overlay(seen *state.Pod) {
	r := g.State().Record
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
