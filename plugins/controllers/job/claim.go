package job

import (
	"fmt"
	"slices"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// list finds the pods of the Job.
func list(c client.Client, j *batchv1.Job) ([]*pod, error) {
	var had []*pod
	if err := c.List(&had, client.ListOptions{Namespace: j.Namespace, Owner: client.OwnedBy(j.UID)}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(had, func(p *pod) bool { return !metav1.IsControlledBy(p, j) || !j.Spec.Selector.Matches(p.Labels) }), nil
}

// claim finds the pods of the Job: it lets go of those that match no longer and
// adopts those that match and have no owner, which it tracks from then on. A Job
// that is being deleted only lets those that do not match go that are being
// deleted too: in the foreground, it waits for them.
func claim(c client.Client, j *batchv1.Job) ([]*pod, error) {
	var had, free []*pod
	if err := c.List(&had, client.ListOptions{Namespace: j.Namespace, Owner: client.OwnedBy(j.UID)}); err != nil {
		return nil, err
	}
	var own []*pod
	for _, p := range had {
		switch {
		case !metav1.IsControlledBy(p, j):
		case j.Spec.Selector.Matches(p.Labels):
			own = append(own, p)
		case j.DeletionTimestamp == nil:
			if err := release(c, j, p); err != nil {
				return nil, err
			}
		case p.deleting():
			if _, err := untrack(c, []*pod{p}); err != nil && !client.IsConflict(err) {
				return nil, err
			}
		}
	}
	if j.DeletionTimestamp != nil || j.Spec.Selector == nil {
		return own, nil
	}
	if err := c.List(&free, client.ListOptions{Namespace: j.Namespace, Owner: client.NoController(), Labels: j.Spec.Selector.String()}); err != nil {
		return nil, err
	}
	free = slices.DeleteFunc(free, (*pod).deleting)
	adopted, err := adopt(c, j, free)
	return append(own, adopted...), err
}

// adopt makes the Job the owner of pods that have none.
func adopt(c client.Client, j *batchv1.Job, free []*pod) ([]*pod, error) {
	if len(free) == 0 {
		return nil, nil
	}
	// What an orphaning deletion let go just now must not be taken back.
	now := &batchv1.Job{}
	switch err := c.Get(now, j.Namespace, j.Name); {
	case client.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case now.UID != j.UID || now.DeletionTimestamp != nil:
		return nil, nil
	}
	var adopted []*pod
	for _, p := range free {
		refs := append(slices.Clone(p.OwnerReferences), metav1.NewControllerRef(j, "batch/v1", kind))
		finalizers := p.Finalizers
		if !p.tracked() {
			finalizers = append(slices.Clone(finalizers), batchv1.JobTrackingFinalizer)
		}
		switch p, err := rewrite(c, p, refs, finalizers); {
		case err == nil:
			adopted = append(adopted, p)
		case client.IsConflict(err), client.IsNotFound(err): // the next event brings it back
		default:
			return nil, fmt.Errorf("adopt pod %s: %w", p.Name, err)
		}
	}
	return adopted, nil
}

// release lets go of a pod whose labels match no longer.
func release(c client.Client, j *batchv1.Job, p *pod) error {
	refs := slices.DeleteFunc(slices.Clone(p.OwnerReferences), func(r metav1.OwnerReference) bool { return r.UID == j.UID })
	if _, err := rewrite(c, p, refs, untracked(p)); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("release pod %s: %w", p.Name, err)
	}
	return nil
}

func untracked(p *pod) []string {
	return slices.DeleteFunc(slices.Clone(p.Finalizers), func(f string) bool { return f == batchv1.JobTrackingFinalizer })
}

// rewrite writes owners and finalizers of a pod that is as it was read.
func rewrite(c client.Client, p *pod, refs []metav1.OwnerReference, finalizers []string) (*pod, error) {
	next := *p
	patch := map[string]any{"metadata": map[string]any{"uid": p.UID, "resourceVersion": p.ResourceVersion, "ownerReferences": refs, "finalizers": finalizers}}
	return &next, c.Patch(&next, client.Patch{Data: patch})
}
