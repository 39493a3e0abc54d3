package simnodes

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// retryPause is the wait after a list or watch that failed.
const retryPause = 200 * time.Millisecond

// runPods follows all pods and does what their nodes' agents would.
func (n *Nodes) runPods(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.follow(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("follow pods", "error", err)
			select {
			case <-n.cfg.Clock.After(retryPause):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// follow lists pods and watches them until the watch ends.
func (n *Nodes) follow(ctx context.Context) error {
	t := registry.Target{Resource: podResource}
	list, err := n.cfg.Registry.List(ctx, t, metav1.ListOptions{})
	if err != nil {
		return err
	}
	w, err := n.cfg.Registry.Watch(ctx, t, metav1.ListOptions{ResourceVersion: strconv.FormatInt(list.Revision, 10)})
	if err != nil {
		return err
	}
	defer w.Stop()
	n.act(ctx, list.Items)
	for e := range w.Events() {
		objects := n.collect(e, nil)
	more:
		for len(objects) < batchSize {
			select {
			case e, ok := <-w.Events():
				if !ok {
					break more
				}
				objects = n.collect(e, objects)
			default:
				break more
			}
		}
		n.act(ctx, objects)
	}
	return w.Err()
}

func (n *Nodes) collect(e watch.Event, to []*watch.Object) []*watch.Object {
	if e.Object == nil || e.Type == watch.Deleted {
		return to
	}
	return append(to, e.Object)
}

// act starts the pods that were bound and ends those that are being deleted.
// What fails is left to the pod's next event, or to the controller that reads
// the state.
func (n *Nodes) act(ctx context.Context, objects []*watch.Object) {
	var items []registry.BatchItem
	for _, o := range objects {
		p, ok := o.Obj.(*corev1.Pod)
		if !ok || !n.names[p.Spec.NodeName] {
			continue
		}
		t := registry.Target{Resource: podResource, Namespace: p.Namespace, Name: p.Name}
		switch {
		case p.DeletionTimestamp != nil:
			now := int64(0)
			items = append(items, registry.BatchItem{Verb: "delete", Target: t, Delete: metav1.DeleteOptions{
				GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID}}})
		case p.Status.Phase == corev1.PodPending || p.Status.Phase == "":
			t.Subresource = "status"
			items = append(items, registry.BatchItem{Verb: "update", Target: t, Object: n.running(p)})
		}
	}
	for len(items) > 0 {
		part := items[:min(len(items), batchSize)]
		items = items[len(part):]
		results, err := n.cfg.Registry.Batch(ctx, part, false)
		if err != nil {
			if ctx.Err() == nil {
				n.cfg.Log.Warn("write pods", "error", err)
			}
			return
		}
		for i, r := range results {
			if r.Err != nil && !apierrors.IsNotFound(r.Err) && !apierrors.IsConflict(r.Err) {
				n.cfg.Log.Warn("write pod", "namespace", part[i].Target.Namespace, "name", part[i].Target.Name, "error", r.Err)
			}
		}
	}
}

// running is the pod as its node would report it.
func (n *Nodes) running(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	now := metav1.NewTime(n.cfg.Clock.Now())
	s := &p.Status
	s.Phase, s.StartTime, s.HostIP = corev1.PodRunning, &now, "10.0.0.1"
	s.PodIP = address(p)
	s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, c := range p.Spec.Containers {
		started := true
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &started,
			ContainerID: "sim://" + string(p.UID) + "/" + c.Name,
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return p
}

// address derives a pod's address from its uid.
func address(p *corev1.Pod) string {
	h := uint32(2166136261)
	for i := range len(p.UID) {
		h = (h ^ uint32(p.UID[i])) * 16777619
	}
	return fmt.Sprintf("10.%d.%d.%d", 128+h>>16&127, h>>8&255, 1+h&127)
}
