package pod

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/pod/executor"
	"github.com/pintle-io/pintle/node/resize"
)

// decide decides about all resizes that wait.
func (w *Workers) decide() {
	w.admission.mu.Lock()
	defer w.admission.mu.Unlock()
	w.decideResizes()
}

// roomMade decides again about resizes that wait, if there are any.
func (w *Workers) roomMade() {
	if w.admission.waiting.Load() > 0 {
		w.decide()
	}
}

// waitingPod is a pod whose resize waits.
type waitingPod struct {
	*worker
	resize.Waiting
}

// decideResizes decides about all resizes that wait, one after the other, beside
// arrivals: room is given once. All are decided about by who was there at one
// moment, or what becomes free meanwhile would go to whoever is looked at just
// then, and not to the first in the order. It is called with admission's lock
// held.
func (w *Workers) decideResizes() {
	if !w.admission.open {
		return // not all pods are known yet that take room
	}
	all, active := w.waitingResizes()
	slices.SortFunc(all, func(a, b waitingPod) int { return resize.Compare(a.Waiting, b.Waiting) })
	left := int32(0)
	for _, x := range all {
		granted, news := w.grant(x, active)
		if granted {
			active[x.uid] = x.view.current()
		} else {
			left++
		}
		if news {
			x.nudge()
		}
	}
	w.admission.waiting.Store(left)
}

// waitingResizes are the resizes that wait, and the pods that take something of
// the node. They are counted as waiting before others are looked at: whoever
// frees something later finds the count, and has them decided about once more.
func (w *Workers) waitingResizes() (all []waitingPod, active map[types.UID]*corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.workers {
		if x, ok := k.view.pendingResize(); ok {
			all = append(all, waitingPod{k, x})
		}
	}
	w.admission.waiting.Store(int32(len(all)))
	return all, activeOf(w.workers)
}

// grant grants a resize beside the active pods, or has it wait. news tells that
// the pod's status changes by it.
func (w *Workers) grant(x waitingPod, active map[types.UID]*corev1.Pod) (granted, news bool) {
	pod, now, allocated := x.Desired, w.cfg.Clock.Now(), x.view.allocated
	if !allocated.Again(now).IsZero() {
		return false, false
	}
	if refusal := w.ask(pod, active); refusal != nil {
		return false, postpone(x, w.do.events, now, refusal.Reason, refusal.Message)
	}
	if err := allocated.Grant(pod, now); err != nil {
		return false, postpone(x, w.do.events, now, corev1.PodReasonDeferred, "Node could not record what it allocates")
	}
	w.do.events.Tell(pod, "", corev1.EventTypeNormal, resize.Started, resize.Describe("Pod resize started", pod, pod.Generation, ""))
	x.view.markStale() // volumes may show limits
	return true, true
}

// postpone has a resize wait, and reports whether the pod's status changes by
// it. Why it began to wait an event tells once.
func postpone(x waitingPod, events executor.Events, now time.Time, reason, message string) (news bool) {
	pod, old := x.Desired, x.Pending
	c := &resize.Condition{Reason: corev1.PodReasonDeferred, Message: message, Generation: pod.Generation, Since: now}
	if old != nil && old.Reason == c.Reason {
		c.Since = old.Since
	}
	x.view.allocated.Pend(c)
	if old != nil && old.Generation == c.Generation && old.Reason == c.Reason {
		return old.Message != c.Message
	}
	events.Tell(pod, "", corev1.EventTypeWarning, resize.Deferred, resize.Describe("Pod resize "+reason, pod, pod.Generation, message))
	return true
}

var _ resizes = (*Workers)(nil)
