package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Terminator brings deleted pods to their end.
type Terminator struct {
	Runtime interface {
		Pod(ctx context.Context, uid types.UID, known *state.Pod) (*state.Pod, error)
		StopSandbox(ctx context.Context, id string) error
	}
	// Pods are the API's.
	Pods      typedcorev1.PodsGetter
	Stopper   *Stopper
	Sandboxes *Sandboxes
	// Draining takes a pod out of every balancer. It returns when that is
	// done, or when ctx ends. Nil does nothing.
	Draining func(ctx context.Context, pod *corev1.Pod) error
	// DrainTimeout bounds Draining.
	DrainTimeout time.Duration
	Log          *slog.Logger
}

// Terminate takes a pod out of the balancers, ends everything that runs of it
// within a period, and returns what the runtime shows then.
func (e *Terminator) Terminate(ctx context.Context, a lifecycle.Terminate, within *Period) (*state.Pod, error) {
	pod, seen := a.Pod, a.Observed
	if seen.Active() {
		e.drain(ctx, pod)
		var ips []string
		if s := seen.ReadySandbox(); s != nil {
			ips = s.IPs
		}
		if err := e.Stopper.all(ctx, pod, plan.Stops(pod, seen), ips, within); err != nil {
			return nil, err
		}
	}
	for _, s := range seen.Sandboxes {
		if err := e.Sandboxes.Slots.do(ctx, func() error { return e.Runtime.StopSandbox(ctx, s.ID) }); err != nil {
			return nil, err
		}
	}
	// The pod's other observers come later: what follows removes the proof.
	last, err := e.Runtime.Pod(ctx, pod.UID, seen)
	if err != nil {
		return nil, err
	}
	for i := range last.Containers {
		if c := &last.Containers[i]; !c.Finished {
			c.Message = terminationMessage(c)
		}
	}
	return last, nil
}

// drain takes the pod out of the balancers before it is asked to end.
// RATIONALE.md: "Why is a pod drained before SIGTERM?"
func (e *Terminator) drain(ctx context.Context, pod *corev1.Pod) {
	if e.Draining == nil || podspec.Final(pod) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.DrainTimeout)
	defer cancel()
	if err := e.Draining(ctx, pod); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		e.Log.Warn("pod not drained", "namespace", pod.Namespace, "name", pod.Name, "uid", pod.UID, "error", err)
	}
}

// Cleanup removes everything of a pod from the node, while tell writes its last
// status, and then deletes its object. Without a status to tell, tell is nil,
// and the API has the object no more.
func (e *Terminator) Cleanup(ctx context.Context, a lifecycle.Cleanup, tell func(context.Context)) error {
	var told sync.WaitGroup
	if tell != nil {
		told.Go(func() { tell(ctx) })
	}
	err := e.remove(ctx, a.Pod, a.Last)
	told.Wait()
	if err != nil || tell == nil {
		return err
	}
	return e.deleteObject(ctx, a.Pod)
}

// remove removes everything of the pod from the node.
func (e *Terminator) remove(ctx context.Context, pod *corev1.Pod, last *state.Pod) error {
	s := e.Sandboxes
	// What still runs is in nobody's books: a task whose making was interrupted
	// when an agent was killed. The runtime removes nothing while it runs.
	if err := s.Groups.Kill(ctx, pod.UID); err != nil {
		return err
	}
	if err := s.Slots.do(ctx, func() error { return s.Remove(ctx, last) }); err != nil {
		return err
	}
	if err := s.Free(ctx, pod.UID, nil); err != nil {
		return err
	}
	if err := os.RemoveAll(podspec.LogDirectory(s.Node().Logs, pod)); err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	now, err := e.Runtime.Pod(ctx, pod.UID, nil)
	if err == nil && !now.Empty() {
		err = fmt.Errorf("the runtime still has %d sandboxes and %d containers of the pod", len(now.Sandboxes), len(now.Containers))
	}
	return err
}

// deleteObject deletes the API's object, unless another pod has its name.
func (e *Terminator) deleteObject(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	err := e.Pods.Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone already, or another pod of that name
	}
	if err != nil {
		return fmt.Errorf("delete from the API: %w", err)
	}
	return nil
}
