// Package executor does what package lifecycle asks for: each kind of task has
// a type of its own, which knows the part of the node that it works on and
// nothing of the others. They keep nothing between calls; what a task finds out
// is its result. A call ends soon after its context, but for what the runtime is
// making just then, which is waited for.
//
// All of them may be used concurrently, for different pods and for different
// tasks of one.
package executor

import (
	"context"
	"path"
	"runtime"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/cgroup"
)

// Slots bound the expensive calls to the runtime that are made at the same
// time.
type Slots chan struct{}

// NewSlots makes them for this machine: more at once do not come up faster, as
// starting a pod is CPU-bound.
func NewSlots() Slots { return make(Slots, max(2*runtime.NumCPU(), 4)) }

// acquire waits for a slot.
func (s Slots) acquire(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// do calls f in a slot.
func (s Slots) do(ctx context.Context, f func() error) error {
	release, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return f()
}

// Volumes are the pods' volumes; *volume.Manager is one.
type Volumes interface {
	TearDown(ctx context.Context, pod types.UID) error
}

// Groups are the cgroups of pods, one per pod.
type Groups struct {
	System *cgroup.System
	// Parent is the group that holds them.
	Parent string
}

// Of is the group of a pod.
func (g Groups) Of(pod types.UID) string { return path.Join(g.Parent, "pod"+string(pod)) }

// Kill ends every process of a pod's group.
func (g Groups) Kill(ctx context.Context, pod types.UID) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	return g.System.Kill(ctx, g.Of(pod))
}

// Remove removes the group of a pod, in which nothing runs.
func (g Groups) Remove(pod types.UID) error { return g.System.Remove(g.Of(pod)) }

// limit bounds a pod's group. A pod that has none yet is given one with the
// right limits.
func (g Groups) limit(pod *corev1.Pod, l cgroup.Limits) error {
	if !g.System.Exists(g.Of(pod.UID)) {
		return nil
	}
	return g.System.Limit(g.Of(pod.UID), l)
}
