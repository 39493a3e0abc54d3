package pod

import (
	"cmp"
	"context"
	"errors"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
)

// recall finds out what a pod was allocated that is taken up: by an agent
// before, or now what its spec asks for.
func (k *worker) recall(pod *corev1.Pod) {
	var r *resize.Record
	if k.Allocations != nil {
		var err error
		if r, err = k.Allocations.Load(k.uid); err != nil {
			k.log.Warn("what the pod was allocated before is not known; it is what it asks for now", "error", err)
		}
	}
	known := r != nil
	if !known {
		r = k.newRecord(pod)
		if pod.DeletionTimestamp == nil && !podspec.Final(pod) {
			if err := k.keep(r); err != nil {
				k.log.Warn("what the pod was allocated is not kept: a resize while no agent runs will not be told from it", "error", err)
			}
		}
	}
	k.grants.begin(r, pod, known)
}

// newRecord allocates what a pod asks for. What runs of it already was made
// with what nobody remembers: it is brought to that.
func (k *worker) newRecord(pod *corev1.Pod) *resize.Record {
	r := &resize.Record{Allocated: resize.Of(pod)}
	if slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(s corev1.ContainerStatus) bool { return s.ContainerID != "" }) {
		r.Applying, r.Group, r.Whole = true, podspec.PodLimits(pod, k.PIDs), r.Allocated.Pod
	}
	return r
}

func (k *worker) keep(r *resize.Record) error {
	if k.Allocations == nil {
		return nil
	}
	return k.Allocations.Save(k.uid, r)
}

// forget is for a pod that is gone. What is left the sweep removes.
func (k *worker) forget() {
	if k.Allocations == nil {
		return
	}
	if err := k.Allocations.Remove(k.uid); err != nil {
		k.log.Debug("allocation not removed", "error", err)
	}
}

// wish is the pod with what it asks for, when that is not what it was
// allocated and it is still to be had.
func (k *worker) wish() (w resize.Waiting, ok bool) {
	allocated, gone := k.snapshot()
	if gone || k.refused != nil || allocated.DeletionTimestamp != nil || podspec.Final(allocated) {
		return w, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.grants.apply(k.pod) == k.pod {
		return w, false
	}
	desired := *k.pod
	desired.Status = allocated.Status
	pending, _ := k.grants.conditions()
	return resize.Waiting{Desired: &desired, Allocated: allocated, Pending: pending}, true
}

// roomMade decides again about resizes that wait, if there are any.
func (w *Workers) roomMade() {
	if w.admission.waiting.Load() == 0 {
		return
	}
	w.admission.mu.Lock()
	defer w.admission.mu.Unlock()
	w.settle()
}

// settle decides about all resizes that wait, one after the other, beside
// arrivals: room is given once. It is called with admission's lock held.
func (w *Workers) settle() {
	if !w.admission.open {
		return // not all pods are known yet that take room
	}
	type waiting struct {
		*worker
		resize.Waiting
	}
	var all []waiting
	w.mu.Lock()
	for _, k := range w.workers {
		if x, ok := k.wish(); ok {
			all = append(all, waiting{k, x})
		}
	}
	w.mu.Unlock()
	slices.SortFunc(all, func(a, b waiting) int { return resize.Compare(a.Waiting, b.Waiting) })
	left := int32(0)
	for _, x := range all {
		granted, news := x.answer(x.Waiting)
		if !granted {
			left++
		}
		if news {
			x.nudge()
		}
	}
	w.admission.waiting.Store(left)
}

// answer grants a resize, or has it wait. news tells that the pod's status
// changes by it.
func (k *worker) answer(x resize.Waiting) (granted, news bool) {
	pod, now := x.Desired, k.Clock.Now()
	if !k.grants.again(now).IsZero() {
		return false, false
	}
	if refusal := k.decide(pod); refusal != nil {
		return false, k.postpone(x, refusal.Reason, refusal.Message)
	}
	if err := k.grants.replace(k.keep, func(r *resize.Record, _ int) {
		r.Grant(pod, func(p *corev1.Pod) cgroup.Limits { return podspec.PodLimits(p, k.PIDs) })
	}, &resize.Condition{Generation: pod.Generation, Since: now}); err != nil {
		k.grants.unkept(k.log, now, err)
		return false, k.postpone(x, corev1.PodReasonDeferred, "Node could not record what it allocates")
	}
	k.grants.keeping.Succeeded(k.log)
	k.event(pod, "", corev1.EventTypeNormal, resize.Started, resize.Describe("Pod resize started", pod, pod.Generation, ""))
	k.mu.Lock()
	k.stale = true // volumes may show limits
	k.mu.Unlock()
	return true, true
}

// postpone has a resize wait, and reports whether the pod's status changes by
// it. Why it began to wait an event tells once.
func (k *worker) postpone(x resize.Waiting, reason, message string) (news bool) {
	pod := x.Desired
	c := &resize.Condition{Reason: corev1.PodReasonDeferred, Message: message, Generation: pod.Generation, Since: k.Clock.Now()}
	old := x.Pending
	if old != nil && old.Reason == c.Reason {
		c.Since = old.Since
	}
	k.grants.pend(c)
	if old != nil && old.Generation == c.Generation && old.Reason == c.Reason {
		return old.Message != c.Message
	}
	k.event(pod, "", corev1.EventTypeWarning, resize.Deferred, resize.Describe("Pod resize "+reason, pod, pod.Generation, message))
	return true
}

// resize asks for what the pod wants and was not allocated, and brings on
// what it was. It returns the pod as it is allocated then.
func (k *worker) resize(ctx context.Context) (pod *corev1.Pod) {
	if _, ok := k.wish(); ok {
		k.admission.mu.Lock()
		k.settle()
		k.admission.mu.Unlock()
	}
	r, number := k.grants.current()
	// Not older than the record: others may have had it granted just now.
	pod, _ = k.snapshot()
	if r == nil || !r.Applying || podspec.Final(pod) {
		return pod
	}
	if k.resized != number {
		k.resized = number
		k.clear(resizeAction) // it need not fail as the one before
	}
	if k.busy(resizeAction) || k.busy(sandboxAction) || !k.held(resizeAction).IsZero() {
		return pod
	}
	limits := podspec.PodLimits(pod, k.PIDs)
	work := resize.Next(pod, k.seen, r, limits, k.busy)
	if err := k.beginResize(r, &work); err != nil {
		k.notResized(pod, err)
		return pod
	}
	if len(work.Updates) == 0 && work.After == nil {
		return pod // instances are being replaced
	}
	k.do(ctx, resizeAction, func(ctx context.Context) func() {
		done, err := k.carryOutResize(ctx, pod, &work)
		return func() { k.resizeEnded(pod, number, &work, done, err) }
	})
	return pod
}

// beginResize gives the pod's group room for what comes, and has the instances
// ended that must be replaced.
func (k *worker) beginResize(r *resize.Record, w *resize.Work) error {
	if w.Before != r.Group {
		if err := k.limit(w.Before); err != nil {
			return err
		}
	}
	if w.Before == r.Group && slices.Equal(w.Replace, r.Replaced) {
		return nil
	}
	err := k.grants.replace(k.keep, func(r *resize.Record, _ int) { r.Group, r.Replaced = w.Before, w.Replace }, nil)
	if err == nil {
		k.grants.overlay(k.seen)
	}
	return err
}

// limit bounds the pod's group. A pod that has none yet is given one with the
// right limits.
func (k *worker) limit(l cgroup.Limits) error {
	if !k.Cgroups.Exists(k.cgroup()) {
		return nil
	}
	return k.Cgroups.Limit(k.cgroup(), l)
}

// carryOutResize changes running instances, and then the pod's group. It
// returns what was done, which is less than all if it fails.
func (k *worker) carryOutResize(ctx context.Context, pod *corev1.Pod, w *resize.Work) (done []resize.Update, err error) {
	if err := w.Check(k.memoryUsage); err != nil {
		return nil, err
	}
	for _, u := range w.Updates {
		if err := k.Runtime.UpdateResources(ctx, u.ID, podspec.ContainerResources(pod, podspec.Find(pod, u.Name), k.Node())); err != nil {
			return done, err
		}
		done = append(done, u)
	}
	if w.After != nil {
		err = k.limit(*w.After)
	}
	return done, err
}

// memoryUsage is what an instance, or the pod for "", uses in bytes and could
// not give back at once.
func (k *worker) memoryUsage(id string) (int64, error) {
	u, err := k.Cgroups.Usage(path.Join(k.cgroup(), id))
	return int64(u.Memory), err
}

// resizeEnded takes in how it went.
func (k *worker) resizeEnded(pod *corev1.Pod, number int, w *resize.Work, done []resize.Update, failed error) {
	over := failed == nil && w.After != nil
	latest := false
	err := k.grants.replace(k.keep, func(r *resize.Record, now int) {
		for id := range r.Resized {
			if !k.instance(id) {
				delete(r.Resized, id)
			}
		}
		for _, u := range done {
			if r.Resized == nil {
				r.Resized = map[string]corev1.ResourceRequirements{}
			}
			r.Resized[u.ID] = u.Resources
		}
		if latest = now == number; latest && over {
			r.Done()
		}
	}, nil)
	switch err = cmp.Or(failed, err); {
	case errors.Is(err, context.Canceled):
	case err != nil:
		if latest {
			k.notResized(pod, err)
		}
	default:
		k.clear(resizeAction)
		if !over {
			return
		}
		if generation, ok := k.grants.completed(number); ok {
			k.event(pod, "", corev1.EventTypeNormal, resize.Completed, resize.Describe("Pod resize completed", pod, generation, ""))
		}
	}
}

// instance reports whether the runtime has an instance.
func (k *worker) instance(id string) bool {
	for i := range k.seen.Containers {
		if k.seen.Containers[i].ID == id {
			return true
		}
	}
	return false
}

// notResized tells why a resize does not come on. It is tried again.
func (k *worker) notResized(pod *corev1.Pod, err error) {
	text := cri.Message(err)
	k.holds[resizeAction] = plan.Hold{Until: k.Clock.Now().Add(k.retriesOf(resizeAction).Again())}
	generation, news := k.grants.fail(resize.Condition{Reason: corev1.PodReasonError, Message: text, Since: k.Clock.Now()})
	if news {
		k.log.Info("pod not resized", "error", err)
		k.event(pod, "", corev1.EventTypeWarning, resize.Failed, resize.Describe("Pod resize error", pod, generation, text))
	}
}
