package pod

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/pod/allocation"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/status"
)

// view is one pod as this node has it: what the API wants, what the node has
// allocated, and what the API was told. The API's informer, the pod's worker,
// and whoever decides about other pods share it; it may be used concurrently.
type view struct {
	// refused is why the node did not take the pod up; nil when it did.
	refused   *admit.Refusal
	allocated *allocation.Pod

	mu     sync.Mutex
	pod    *corev1.Pod       // as the API has it; guarded by mu
	gone   bool              // the API has it no more; guarded by mu
	stale  bool              // what volumes show has changed; guarded by mu
	status *corev1.PodStatus // last told; nil before the first; guarded by mu
	base   *corev1.PodStatus // last taken by the API; nil when not known; guarded by mu
	merged merged            // guarded by mu
}

// merged is what current made of a pod. It is made anew when a part of it is
// another, and not for each reader: every decision about a pod reads all others.
type merged struct {
	api, granted *corev1.Pod
	status       *corev1.PodStatus
	out          *corev1.Pod
}

// set takes in a change from the API, and reports whether it is more than the
// echo of what was written there.
func (v *view) set(pod *corev1.Pod, gone bool) (changed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed = gone != v.gone || needsLook(v.pod, pod)
	v.stale = v.stale || shownChanged(v.pod, pod)
	v.allocated.Update(pod)
	if !v.gone {
		v.pod, v.gone = pod, gone
	}
	return changed
}

// uid is the pod's.
func (v *view) uid() types.UID {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.pod.UID
}

// markStale notes that something has changed that volumes show.
func (v *view) markStale() {
	v.mu.Lock()
	v.stale = true
	v.mu.Unlock()
}

// take is the pod as it is now, and whether what volumes show has changed since
// the last call.
func (v *view) take() (pod *corev1.Pod, gone, stale bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stale, v.stale = v.stale, false
	return v.currentLocked(), v.gone, stale
}

// current is the pod with the status that the node last computed, as the API's
// lags behind, and with the resources that it was allocated: nobody on the
// node is shown others.
func (v *view) current() *corev1.Pod {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.currentLocked()
}

func (v *view) currentLocked() *corev1.Pod {
	granted := v.allocated.Apply(v.pod)
	if v.status == nil {
		return granted
	}
	if m := &v.merged; m.api != v.pod || m.granted != granted || m.status != v.status {
		*m = merged{v.pod, granted, v.status, merge(v.pod, granted, v.status)}
	}
	return v.merged.out
}

// merge is granted with a status of the node's. Others' conditions, and a phase
// that they made final, are the API's.
func merge(api, granted *corev1.Pod, s *corev1.PodStatus) *corev1.Pod {
	p := *granted
	p.Status = *s
	p.Status.Conditions = nil
	for _, c := range api.Status.Conditions {
		if !status.Owned(c.Type) {
			p.Status.Conditions = append(p.Status.Conditions, c)
		}
	}
	for _, c := range s.Conditions {
		if status.Owned(c.Type) {
			p.Status.Conditions = append(p.Status.Conditions, c)
		}
	}
	if f := api.Status.Phase; f == corev1.PodFailed || f == corev1.PodSucceeded {
		p.Status.Phase, p.Status.Reason, p.Status.Message = f, api.Status.Reason, api.Status.Message
	}
	return &p
}

// setStatus notes what the API is told next, and returns what it has: the pod,
// and the status that the change is made from.
func (v *view) setStatus(s *corev1.PodStatus) (api *corev1.Pod, base corev1.PodStatus) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = s
	if v.base == nil {
		return v.pod, v.pod.Status
	}
	return v.pod, *v.base
}

// written is told the pod as the API has it after a status was written.
func (v *view) written(pod *corev1.Pod) {
	v.mu.Lock()
	v.base = &pod.Status
	v.mu.Unlock()
}

// pendingResize is the pod with what it asks for, when that is not what it was
// allocated and it is still to be had.
func (v *view) pendingResize() (w resize.Waiting, ok bool) {
	if v.refused != nil {
		return w, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	allocated := v.currentLocked()
	if v.gone || v.pod.DeletionTimestamp != nil || podspec.Final(allocated) || v.allocated.Apply(v.pod) == v.pod {
		return w, false
	}
	desired := *v.pod
	desired.Status = allocated.Status
	return resize.Waiting{Desired: &desired, Allocated: allocated, Pending: v.allocated.State().Pending}, true
}
