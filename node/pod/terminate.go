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
	grace int64 // seconds
	began time.Time
	tries int
}

// shownAfter is when a long termination's intermediate states are told.
const shownAfter = 500 * time.Millisecond

// terminate brings a pod that the API wants gone to its end:
//
//  1. starts under way are called off;
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
	grace := podspec.Grace(pod)
	if k.ending == nil {
		k.ending = &termination{grace: grace, began: k.Clock.Now()}
	} else if grace < k.ending.grace {
		k.ending.grace = grace
		k.hurry(ctx, time.Duration(grace)*time.Second)
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
	seen := k.seen
	k.do(ctx, endAction, func(ctx context.Context) func() {
		err := k.end(ctx, pod, seen, grace, gone)
		return func() {
			if err == nil {
				k.done = true
				k.Sources.Release(k.uid)
				return
			}
			if errors.Is(err, context.Canceled) {
				return
			}
			k.log.Warn("pod not ended", "err", err)
			k.ending.tries++
			k.nudgeAfter(context.WithoutCancel(ctx), min(firstRetry<<min(k.ending.tries, 10), maxRetry))
		}
	})
	return idleCheck
}

// hurry shortens the grace period of containers that are being stopped.
func (k *worker) hurry(ctx context.Context, grace time.Duration) {
	for _, c := range k.seen.Containers {
		if c.Phase != state.Exited {
			go func() {
				if err := k.Runtime.StopContainer(ctx, c.ID, grace); err != nil && ctx.Err() == nil {
					k.log.Debug("container not stopped sooner", "container", c.Name, "err", err)
				}
			}()
		}
	}
}

// end runs steps 2 to 5.
func (k *worker) end(ctx context.Context, pod *corev1.Pod, seen *state.Pod, grace int64, gone bool) error {
	if seen.Active() {
		k.drain(ctx, pod)
		if err := k.stopAll(ctx, pod, seen, time.Duration(grace)*time.Second); err != nil {
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
		k.log.Warn("pod not drained", "err", err)
	}
}

// stopAll stops every container: regular and debug ones at the same time,
// then sidecars, the last one first, all within grace.
func (k *worker) stopAll(ctx context.Context, pod *corev1.Pod, seen *state.Pod, grace time.Duration) error {
	deadline := k.Clock.Now().Add(grace)
	var ips []string
	if s := seen.ReadySandbox(); s != nil {
		ips = s.IPs
	}
	stop := func(c *state.Container) error {
		if c == nil || c.Phase == state.Exited {
			return nil
		}
		k.event(pod, c.Name, corev1.EventTypeNormal, "Killing", "Stopping container "+c.Name)
		left := grace
		if grace > 0 {
			left = max(deadline.Sub(k.Clock.Now()), 0)
		}
		return k.stopContainer(ctx, pod, podspec.Find(pod, c.Name), c.ID, ips, left, c.Phase == state.Running)
	}
	sidecars := map[string]bool{}
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; podspec.IsSidecar(c) {
			sidecars[c.Name] = true
		}
	}
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		errs  []error
	)
	for i := range seen.Containers {
		if c := &seen.Containers[i]; !sidecars[c.Name] && c.Phase != state.Exited {
			group.Go(func() {
				if err := stop(c); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	for i := len(pod.Spec.InitContainers) - 1; i >= 0; i-- {
		if name := pod.Spec.InitContainers[i].Name; sidecars[name] {
			errs = append(errs, stop(seen.Latest(name)))
		}
	}
	return errors.Join(errs...)
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
		k.log.Debug("last status not written", "err", err)
	}
}

// erase removes everything of the pod from the node.
func (k *worker) erase(ctx context.Context, pod *corev1.Pod, last *state.Pod) error {
	for _, s := range last.Sandboxes {
		if err := k.withSlot(ctx, func() error { return k.Runtime.RemoveSandbox(ctx, s.ID) }); err != nil {
			return err
		}
	}
	for _, c := range last.Containers { // of sandboxes that were lost
		if err := k.Runtime.RemoveContainer(ctx, c.ID); err != nil {
			return err
		}
	}
	if err := k.free(ctx, nil); err != nil {
		return err
	}
	if err := os.RemoveAll(podspec.LogDirectory(k.Node().Logs, pod)); err != nil {
		return fmt.Errorf("logs: %w", err)
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
