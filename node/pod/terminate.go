package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// termination is the end of a pod, under way.
type termination struct {
	grace  int64 // seconds
	within *period
	began  time.Time
}

// shownAfter is when a long termination's intermediate states are told.
const shownAfter = 500 * time.Millisecond

// terminate brings a pod that the API wants gone to its end:
//
//  1. starts under way are called off, but for what the runtime is making just
//     then, which is waited for;
//  2. the balancers drop the pod (Config.Draining);
//  3. preStop hooks run and containers are stopped within the grace period,
//     sidecars after the others;
//  4. sandbox, volumes, cgroup and logs are removed while the last status is
//     written;
//  5. the API's object is deleted, if it is still the same pod.
//
// Each step may be done again, by this process or by its successor.
func (k *worker) terminate(ctx context.Context, pod *corev1.Pod, gone bool) time.Duration {
	for name, a := range k.actions {
		if name != endAction {
			a.cancel()
		}
	}
	// At least a second, as upstream: a preStop hook may run that long.
	grace := max(podspec.Grace(pod), 1)
	now := k.Clock.Now()
	if k.ending == nil {
		k.ending = &termination{grace: grace, began: now, within: newPeriod(k.Clock, time.Duration(grace)*time.Second)}
		delete(k.holds, endAction) // of tearing down a pod that had ended by itself
	} else if grace < k.ending.grace {
		k.ending.grace = grace
		k.ending.within.shorten(time.Duration(grace) * time.Second)
		delete(k.holds, endAction)
	}
	if k.busy(endAction) {
		if k.Clock.Since(k.ending.began) > shownAfter {
			k.publish(pod, plan.Plan{}, false)
		}
		return idleCheck
	}
	if len(k.actions) > 0 {
		return idleCheck // their ends wake us
	}
	if again := k.held(endAction); !again.IsZero() {
		return until(now, again)
	}
	seen, within := k.seen, k.ending.within
	k.do(ctx, endAction, func(ctx context.Context) func() {
		err := k.end(ctx, pod, seen, within, gone)
		return func() {
			switch {
			case err == nil:
				k.clear(endAction)
				k.done = true
				k.Sources.Release(k.uid)
			case !errors.Is(err, context.Canceled):
				k.failed(endAction, "pod not ended", err)
			}
		}
	})
	return idleCheck
}

// end runs steps 2 to 5.
func (k *worker) end(ctx context.Context, pod *corev1.Pod, seen *state.Pod, within *period, gone bool) error {
	if seen.Active() {
		k.drain(ctx, pod)
		var ips []string
		if s := seen.ReadySandbox(); s != nil {
			ips = s.IPs
		}
		if err := k.stopAll(ctx, pod, plan.Stops(pod, seen), ips, within); err != nil {
			return err
		}
	}
	for _, s := range seen.Sandboxes {
		if err := k.withSlot(ctx, func() error { return k.Runtime.StopSandbox(ctx, s.ID) }); err != nil {
			return err
		}
	}
	// The pod's other observers come later: what follows removes the proof.
	last, err := k.Runtime.Pod(ctx, k.uid, seen)
	if err != nil {
		return err
	}
	for i := range last.Containers {
		if c := &last.Containers[i]; !c.Finished {
			c.Message = lastWords(c)
		}
	}
	var told sync.WaitGroup
	if !gone {
		told.Go(func() { k.lastStatus(ctx, pod, last) })
	}
	err = k.erase(ctx, pod, last)
	told.Wait()
	if err != nil || gone {
		return err
	}
	return k.deleteObject(ctx, pod)
}

// drain takes the pod out of the balancers before it is asked to end.
func (k *worker) drain(ctx context.Context, pod *corev1.Pod) {
	if k.Draining == nil || podspec.Final(pod) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, k.DrainTimeout)
	defer cancel()
	if err := k.Draining(ctx, pod); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		k.log.Warn("pod not drained", "error", err)
	}
}

func (k *Workers) withSlot(ctx context.Context, f func() error) error {
	release, err := k.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	return f()
}

// lastStatus writes how the pod ended. That it could not be written does not
// keep the pod from being deleted.
func (k *worker) lastStatus(ctx context.Context, pod *corev1.Pod, last *state.Pod) {
	s := k.finalStatus(pod, last)
	k.mu.Lock()
	k.status = &s
	base, api := k.base, k.pod
	k.mu.Unlock()
	if base == nil {
		base = &api.Status
	}
	if err := k.writer.now(ctx, api, *base, s); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) {
		k.log.Debug("last status not written", "error", err)
	}
}

// erase removes everything of the pod from the node.
func (k *worker) erase(ctx context.Context, pod *corev1.Pod, last *state.Pod) error {
	// What still runs is in nobody's books: a task whose making was interrupted
	// when an agent was killed. The runtime removes nothing while it runs.
	if err := k.killGroup(ctx, k.uid); err != nil {
		return err
	}
	if err := k.withSlot(ctx, func() error { return k.Workers.remove(ctx, last) }); err != nil {
		return err
	}
	if err := k.free(ctx, nil); err != nil {
		return err
	}
	if err := os.RemoveAll(podspec.LogDirectory(k.Node().Logs, pod)); err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	now, err := k.Runtime.Pod(ctx, k.uid, nil)
	if err == nil && !now.Empty() {
		err = fmt.Errorf("the runtime still has %d sandboxes and %d containers of the pod", len(now.Sandboxes), len(now.Containers))
	}
	return err
}

// remove removes a pod, nothing of which runs any more, from the runtime.
func (k *Workers) remove(ctx context.Context, p *state.Pod) error {
	for _, s := range p.Sandboxes {
		if err := k.Runtime.RemoveSandbox(ctx, s.ID); err != nil {
			return err
		}
	}
	for _, c := range p.Containers { // of sandboxes that were lost
		if err := k.Runtime.RemoveContainer(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// deleteObject deletes the API's object, unless another pod has its name.
func (k *worker) deleteObject(ctx context.Context, pod *corev1.Pod) error {
	return k.Workers.deleteObject(ctx, pod.Namespace, pod.Name, k.uid)
}

func (k *Workers) deleteObject(ctx context.Context, namespace, name string, uid types.UID) error {
	now := int64(0)
	err := k.Client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone already, or another pod of that name
	}
	if err != nil {
		return fmt.Errorf("delete from the API: %w", err)
	}
	return nil
}
