// Package deployment turns a Deployment into ReplicaSets: one for the present
// template, and old ones that are scaled down as the new one becomes
// available, or kept at zero so that a rollout can be undone.
//
// The controller reads, plans and writes once per round; the plan is pure (see
// makePlan).
package deployment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "deployment", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "apps/v1/deployments"},
				{Resource: "apps/v1/replicasets", Map: controller.Owner("apps/v1/Deployment")},
				{Resource: "apps/v1/replicasets", Map: controller.OrphanLabels()},
			},
			Workers:   2,
			Reconcile: reconcile,
		}, nil
	}})
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	if req.Labels != "" {
		return adopters(c, req.Namespace, req.Labels.Map())
	}
	d := &appsv1.Deployment{}
	if err := c.Get(d, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	sets, err := owned(c, d)
	if err != nil {
		return controller.Result{}, err
	}
	oldPods := 0
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		if oldPods, err = podsOfOld(c, d, sets); err != nil {
			return controller.Result{}, err
		}
	}
	p, err := makePlan(d, sets, oldPods, c.Now())
	if err != nil {
		c.Event(d, client.Note{Warning: true, Reason: "InvalidDeployment", Message: err.Error()})
		return controller.Result{}, err
	}
	if err := execute(c, d, p); err != nil {
		return controller.Result{}, err
	}
	if p.undo != nil {
		return controller.Result{}, goBack(c, p.undo)
	}
	if p.annotateRevision != "" && d.Annotations[revisionAnnotation] != p.annotateRevision {
		if err := annotate(c, d, p.annotateRevision); err != nil {
			return controller.Result{}, err
		}
	}
	return controller.Result{RequeueAfter: p.again}, report(c, d, p.status)
}

// adopters names the Deployments that select a ReplicaSet without an owner.
func adopters(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*appsv1.Deployment
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, d := range all {
		if d.DeletionTimestamp == nil && d.Spec.Selector.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: d.Namespace, Name: d.Name})
		}
	}
	return res, nil
}

// owned lists the ReplicaSets of the Deployment after adopting those that
// match and have no owner, and letting go of those that match no longer.
func owned(c client.Client, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	var had, orphans []*appsv1.ReplicaSet
	if err := c.List(&had, client.ListOptions{Namespace: d.Namespace, Owner: client.OwnedBy(d.UID)}); err != nil {
		return nil, err
	}
	if d.DeletionTimestamp != nil {
		return slices.DeleteFunc(had, func(rs *appsv1.ReplicaSet) bool {
			return !metav1.IsControlledBy(rs, d) || !d.Spec.Selector.Matches(rs.Labels)
		}), nil
	}
	if err := c.List(&orphans, client.ListOptions{Namespace: d.Namespace, Owner: client.NoController(), Labels: d.Spec.Selector.String()}); err != nil {
		return nil, err
	}
	var mine []*appsv1.ReplicaSet
	for _, rs := range had {
		switch {
		case !metav1.IsControlledBy(rs, d):
		case d.Spec.Selector.Matches(rs.Labels):
			mine = append(mine, rs)
		case rs.DeletionTimestamp == nil:
			if err := release(c, d, rs); err != nil {
				return nil, err
			}
		}
	}
	orphans = slices.DeleteFunc(orphans, func(rs *appsv1.ReplicaSet) bool { return rs.DeletionTimestamp != nil })
	if len(orphans) == 0 {
		return mine, nil
	}
	if alive, err := stillThere(c, d); err != nil || !alive {
		return mine, err
	}
	for _, rs := range orphans {
		rs = client.Clone(rs)
		rs.OwnerReferences = append(rs.OwnerReferences, metav1.NewControllerRef(d, "apps/v1", "Deployment"))
		if err := c.Update(rs); err != nil {
			return nil, fmt.Errorf("adopt replica set %s: %w", rs.Name, err)
		}
		mine = append(mine, rs)
	}
	return mine, nil
}

func release(c client.Client, d *appsv1.Deployment, rs *appsv1.ReplicaSet) error {
	rs = client.Clone(rs)
	rs.OwnerReferences = slices.DeleteFunc(rs.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == d.UID })
	if err := c.Update(rs); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("release replica set %s: %w", rs.Name, err)
	}
	return nil
}

// stillThere reads the Deployment again: what an orphaning deletion let go
// just now must not be taken back.
func stillThere(c client.Client, d *appsv1.Deployment) (bool, error) {
	now := &appsv1.Deployment{}
	err := c.Get(now, d.Namespace, d.Name)
	if client.IsNotFound(err) {
		return false, nil
	}
	return err == nil && now.UID == d.UID && now.DeletionTimestamp == nil, err
}

// podsOfOld counts the pods, terminating ones included, of every template but
// the present: Recreate waits until none is left.
func podsOfOld(c client.Client, d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (int, error) {
	var pods []*corev1.Pod
	if err := c.List(&pods, client.ListOptions{Namespace: d.Namespace, Labels: d.Spec.Selector.String()}); err != nil {
		return 0, err
	}
	current := findNew(d, sets)
	old := map[string]bool{}
	for _, rs := range sets {
		if rs != current {
			old[rs.UID] = true
		}
	}
	n := 0
	for _, p := range pods {
		if o := metav1.ControllerOf(p); o != nil && old[o.UID] && !p.Finished() {
			n++
		}
	}
	return n, nil
}

func execute(c client.Client, d *appsv1.Deployment, p *plan) error {
	if p.create != nil {
		if err := c.Create(p.create); err != nil {
			return createFailed(c, d, p.create, err)
		}
		if n := *p.create.Spec.Replicas; n > 0 {
			c.Event(d, client.Note{Reason: "ScalingReplicaSet", Message: fmt.Sprintf("Scaled up replica set %s from 0 to %d", p.create.Name, n)})
		}
	}
	for _, u := range p.update {
		if err := c.Update(u.set); err != nil {
			return fmt.Errorf("scale replica set %s: %w", u.set.Name, err)
		}
		if to := *u.set.Spec.Replicas; to != u.from {
			dir := "up"
			if to < u.from {
				dir = "down"
			}
			c.Event(d, client.Note{Reason: "ScalingReplicaSet", Message: fmt.Sprintf("Scaled %s replica set %s from %d to %d", dir, u.set.Name, u.from, to)})
		}
	}
	for _, rs := range p.remove {
		if err := c.Delete(rs, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(rs.UID)}); err != nil && !client.IsNotFound(err) {
			return fmt.Errorf("delete old replica set %s: %w", rs.Name, err)
		}
	}
	return nil
}

// createFailed tells a collision of names from a real failure: another
// ReplicaSet of that name with another template makes the next hash differ.
func createFailed(c client.Client, d *appsv1.Deployment, rs *appsv1.ReplicaSet, err error) error {
	if client.IsNamespaceTerminating(err) {
		return fmt.Errorf("create replica set %s: %w", rs.Name, err) // the Deployment goes with the namespace
	}
	if !client.IsAlreadyExists(err) {
		message := fmt.Sprintf("Failed to create new replica set %q: %v", rs.Name, err)
		c.Event(d, client.Note{Warning: true, Reason: "ReplicaSetCreateError", Message: message})
		failed := client.Clone(&d.Status)
		if hasDeadline(d) {
			set(failed, appsv1.DeploymentProgressing, corev1.ConditionFalse, "ReplicaSetCreateError", message, c.Now())
		}
		return errors.Join(fmt.Errorf("create replica set %s: %w", rs.Name, err), report(c, d, *failed))
	}
	there := &appsv1.ReplicaSet{}
	if gerr := c.Get(there, rs.Namespace, rs.Name); gerr != nil {
		return errors.Join(err, gerr)
	}
	if metav1.IsControlledBy(there, d) && sameTemplate(&there.Spec.Template, &d.Spec.Template) {
		return err // ours; the list lagged, the next round sees it
	}
	status := d.Status
	next := int32(1)
	if status.CollisionCount != nil {
		next = *status.CollisionCount + 1
	}
	status.CollisionCount = &next
	return errors.Join(err, report(c, d, status))
}

// goBack writes what was decided on a request to go back to a revision, and says it.
func goBack(c client.Client, u *undo) error {
	if err := c.Update(u.next); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	c.Event(u.next, u.note)
	return nil
}

func annotate(c client.Client, d *appsv1.Deployment, revision string) error {
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{revisionAnnotation: revision}}}
	if err := c.Patch(d, client.Patch{Data: patch}); err != nil {
		return fmt.Errorf("annotate revision: %w", err)
	}
	return nil
}

func report(c client.Client, d *appsv1.Deployment, s appsv1.DeploymentStatus) error {
	if sameStatus(d.Status, s) {
		return nil
	}
	d.Status = s
	if err := c.UpdateStatus(d); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}
