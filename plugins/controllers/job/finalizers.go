package job

import (
	"fmt"
	"slices"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// strip removes the finalizers of pods that are named in the status. left are
// those of all pods that were not changed.
func strip(c client.Client, v *view, pods []*pod) (left []*pod, failed error) {
	done, failed := untrack(c, pods)
	left = slices.DeleteFunc(slices.Clone(v.pods), func(p *pod) bool { return done[p] })
	return left, failed
}

// untrack removes the finalizers of pods that are as they were read; that one is gone
// is as good. done are those that have it no longer, the error is the first of the
// others'.
func untrack(c client.Client, pods []*pod) (done map[*pod]bool, failed error) {
	errs, err := client.RemoveFinalizers(c, pods, batchv1.JobTrackingFinalizer)
	if err != nil {
		return nil, fmt.Errorf("remove the finalizers of %d pods: %w", len(pods), err)
	}
	done = make(map[*pod]bool, len(pods))
	for i, err := range errs {
		if err == nil {
			done[pods[i]] = true
		} else if failed == nil {
			failed = fmt.Errorf("remove the finalizer of pod %s: %w", pods[i].Name, err)
		}
	}
	return done, failed
}

// sweep removes finalizers that a finished Job left.
func sweep(c client.Client, j *batchv1.Job) error {
	pods, err := list(c, j)
	if err != nil {
		return err
	}
	_, err = strip(c, &view{}, pods)
	return err
}

// orphans looks after pods with these labels that nobody controls: a Job that
// selects them adopts them; what none does needs no finalizer.
func orphans(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*batchv1.Job
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, j := range all {
		if j.DeletionTimestamp == nil && !finished(j) && !managedElsewhere(j) && j.Spec.Selector.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: j.Namespace, Name: j.Name})
		}
	}
	if len(res.Enqueue) > 0 {
		return res, nil
	}
	var free []*pod
	exact := &metav1.LabelSelector{MatchLabels: labels}
	if err := c.List(&free, client.ListOptions{Namespace: namespace, Owner: client.NoController(), Labels: exact.String()}); err != nil {
		return controller.Result{}, err
	}
	_, err := strip(c, &view{}, free)
	return res, err
}

// counts tells that the Job will count the pod, or let go of it. A Job that is
// being deleted does not look at pods that match no longer.
func counts(j *batchv1.Job, p *pod) bool {
	return !finished(j) && (j.DeletionTimestamp == nil || j.Spec.Selector.Matches(p.Labels))
}

// letGo removes the finalizer of a pod that is being deleted and that no Job
// will count any more.
func letGo(c client.Client, namespace, name string) error {
	p := &pod{}
	if err := c.Get(p, namespace, name); err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return err
	}
	if ref := metav1.ControllerOf(p); ref != nil {
		if ref.Kind != kind || ref.APIVersion != "batch/v1" {
			return nil
		}
		j := &batchv1.Job{}
		switch err := c.Get(j, namespace, ref.Name); {
		case client.IsNotFound(err):
		case err != nil:
			return err
		case j.UID == ref.UID && (managedElsewhere(j) || counts(j, p)):
			return nil
		}
	}
	_, err := untrack(c, []*pod{p})
	return err
}
