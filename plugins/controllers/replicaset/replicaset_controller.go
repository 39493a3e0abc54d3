// Package replicaset keeps the number of pods that a ReplicaSet asks for: it
// adopts pods that match and have no owner, creates what is missing from the
// template, deletes what is too much, and reports the count.
package replicaset

import (
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const kind = "ReplicaSet"

// maxBatch bounds the pods created or deleted by one reconcile; the rest
// follows in the next. A template that is refused so costs one batch.
const maxBatch = 500

func init() {
	sdk.Register(sdk.Plugin{Name: "replicaset", New: func([]byte) (*sdk.Points, error) {
		return &sdk.Points{Controller: &sdk.Controller{
			Watches: []sdk.Watch{
				{Resource: "apps/v1/replicasets"},
				{Resource: "v1/pods", Map: sdk.Owner("apps/v1/ReplicaSet")},
			},
			Workers:   2,
			Reconcile: reconcile,
		}}, nil
	}})
}

func reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	rs := &appsv1.ReplicaSet{}
	if err := c.Get(rs, req.Namespace, req.Name); err != nil {
		if sdk.IsNotFound(err) {
			return sdk.Result{}, nil
		}
		return sdk.Result{}, err
	}
	// Pods of a ReplicaSet carry its labels: the selector is the index.
	var all []*corev1.Pod
	if err := c.List(&all, sdk.ListOptions{Namespace: rs.Namespace, Labels: rs.Spec.Selector.String()}); err != nil {
		return sdk.Result{}, err
	}
	mine, orphans := sort(rs, all)
	if rs.DeletionTimestamp != nil {
		return sdk.Result{}, nil // the garbage collector takes it from here
	}
	adopted, err := adopt(c, rs, orphans)
	if err != nil {
		return sdk.Result{}, err
	}
	mine = append(mine, adopted...)
	mine, scaleErr := scale(c, rs, mine)
	now := time.Now()
	status, wait := summarize(rs, mine, scaleErr, now)
	if err := report(c, rs, status); err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{RequeueAfter: wait}, scaleErr
}

// adopt makes the ReplicaSet the owner of pods that have none.
func adopt(c sdk.Client, rs *appsv1.ReplicaSet, orphans []*corev1.Pod) ([]*corev1.Pod, error) {
	var adopted []*corev1.Pod
	for _, p := range orphans {
		p = sdk.Clone(p)
		p.OwnerReferences = append(p.OwnerReferences, metav1.NewControllerRef(rs, "apps/v1", kind))
		switch err := c.Update(p); {
		case err == nil:
			adopted = append(adopted, p)
		case sdk.IsConflict(err), sdk.IsNotFound(err): // the next event brings it back
		default:
			return nil, fmt.Errorf("adopt pod %s: %w", p.Name, err)
		}
	}
	return adopted, nil
}

// scale creates or deletes pods and returns those that exist then.
func scale(c sdk.Client, rs *appsv1.ReplicaSet, pods []*corev1.Pod) ([]*corev1.Pod, error) {
	want := int(*rs.Spec.Replicas)
	if len(pods) < want {
		return create(c, rs, pods, min(want-len(pods), maxBatch))
	}
	if len(pods) > want {
		return remove(c, rs, pods, min(len(pods)-want, maxBatch))
	}
	return pods, nil
}

func create(c sdk.Client, rs *appsv1.ReplicaSet, pods []*corev1.Pod, n int) ([]*corev1.Pod, error) {
	ops := make([]sdk.Op, n)
	for i := range ops {
		ops[i] = sdk.Op{Verb: sdk.VerbCreate, Object: newPod(rs)}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	var first error
	for i, err := range errs {
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		p := ops[i].Object.(*corev1.Pod)
		pods = append(pods, p)
		if n <= 100 { // beyond, one line for each says nothing more
			c.Event(rs, sdk.Note{Reason: "SuccessfulCreate", Message: "Created pod: " + p.Name})
		}
	}
	if n > 100 && first == nil {
		c.Event(rs, sdk.Note{Reason: "SuccessfulCreate", Message: fmt.Sprintf("Created %d pods", n)})
	}
	if first != nil {
		c.Event(rs, sdk.Note{Warning: true, Reason: "FailedCreate", Message: "Error creating: " + first.Error()})
		return pods, fmt.Errorf("create pods: %w", first)
	}
	if len(pods) < int(*rs.Spec.Replicas) {
		return pods, errMore
	}
	return pods, nil
}

func remove(c sdk.Client, rs *appsv1.ReplicaSet, pods []*corev1.Pod, n int) ([]*corev1.Pod, error) {
	doomed := choose(pods, n)
	ops := make([]sdk.Op, len(doomed))
	for i, p := range doomed {
		ops[i] = sdk.Op{Verb: sdk.VerbDelete, Object: p, Delete: sdk.DeleteOptions{UID: p.UID}}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	for i, err := range errs {
		if err != nil && !sdk.IsNotFound(err) && !sdk.IsConflict(err) {
			c.Event(rs, sdk.Note{Warning: true, Reason: "FailedDelete", Message: "Error deleting: " + err.Error()})
			return pods, fmt.Errorf("delete pod %s: %w", doomed[i].Name, err)
		}
		c.Event(rs, sdk.Note{Reason: "SuccessfulDelete", Message: "Deleted pod: " + doomed[i].Name})
	}
	left := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return slices.Contains(doomed, p) })
	if len(left) > int(*rs.Spec.Replicas) {
		return left, errMore
	}
	return left, nil
}

// report writes the status when it differs.
func report(c sdk.Client, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	if sameStatus(rs.Status, status) {
		return nil
	}
	rs.Status = status
	if err := c.UpdateStatus(rs); err != nil && !sdk.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}
