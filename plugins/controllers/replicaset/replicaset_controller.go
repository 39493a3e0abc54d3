// Package replicaset keeps the number of pods that a ReplicaSet asks for: it
// adopts pods that match and have no owner, lets go of those that match no
// longer, creates what is missing from the template, deletes what is too much,
// and reports the count.
package replicaset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const kind = "ReplicaSet"

// minBatch and maxBatch bound the pods created or deleted by one reconcile; the
// rest follows in the next. A batch is no larger than what is there already,
// beyond minBatch: a template that is refused costs one small batch, and one
// that is not gets there in few rounds, each of which looks at all pods.
const (
	minBatch = 500
	maxBatch = 2000
)

// maxNotes bounds the events of one batch: beyond, a line for each pod says
// nothing more.
const maxNotes = 100

// soon asks for the next batch.
const soon = time.Millisecond

func init() {
	sdk.Register(sdk.Plugin{Name: "replicaset", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "apps/v1/replicasets"},
				{Resource: "v1/pods", Map: controller.Owner("apps/v1/ReplicaSet")},
				{Resource: "v1/pods", Map: controller.OrphanLabels()},
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
	rs := &appsv1.ReplicaSet{}
	if err := c.Get(rs, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	pods, err := claim(c, rs)
	if err != nil {
		return controller.Result{}, err
	}
	now := time.Now()
	more := false
	var scaleErr error
	if rs.DeletionTimestamp == nil { // else the garbage collector takes it from here
		pods.active, more, scaleErr = scale(c, rs, pods.active, now)
		if client.IsNamespaceTerminating(scaleErr) {
			scaleErr = nil // nothing can be made there any more, and the ReplicaSet goes too
		}
	}
	status, wait := summarize(rs, pods, scaleErr, now)
	if err := report(c, rs, status); err != nil {
		return controller.Result{}, errors.Join(scaleErr, err)
	}
	if more {
		wait = soon
	}
	return controller.Result{RequeueAfter: wait}, scaleErr
}

// adopters names the ReplicaSets that select a pod without an owner.
func adopters(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*appsv1.ReplicaSet
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, rs := range all {
		if rs.DeletionTimestamp == nil && rs.Spec.Selector.Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: rs.Namespace, Name: rs.Name})
		}
	}
	return res, nil
}

// claim finds the pods of the ReplicaSet: those it controls and that match
// still, and those that it adopts now.
func claim(c client.Client, rs *appsv1.ReplicaSet) (owned, error) {
	var had, orphans []*pod
	if err := c.List(&had, client.ListOptions{Namespace: rs.Namespace, Owner: client.OwnedBy(rs.UID)}); err != nil {
		return owned{}, err
	}
	pods, astray := sort(rs, had)
	if rs.DeletionTimestamp != nil {
		return pods, nil
	}
	for _, p := range astray {
		if err := release(c, rs, p); err != nil {
			return owned{}, err
		}
	}
	if err := c.List(&orphans, client.ListOptions{Namespace: rs.Namespace, Owner: client.NoController(), Labels: rs.Spec.Selector.String()}); err != nil {
		return owned{}, err
	}
	orphans = slices.DeleteFunc(orphans, func(p *pod) bool { return !p.active() })
	adopted, err := adopt(c, rs, orphans)
	pods.active = append(pods.active, adopted...)
	return pods, err
}

// adopt makes the ReplicaSet the owner of pods that have none.
func adopt(c client.Client, rs *appsv1.ReplicaSet, orphans []*pod) ([]*pod, error) {
	if len(orphans) == 0 {
		return nil, nil
	}
	// What an orphaning deletion let go just now must not be taken back.
	now := &appsv1.ReplicaSet{}
	switch err := c.Get(now, rs.Namespace, rs.Name); {
	case client.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case now.UID != rs.UID || now.DeletionTimestamp != nil:
		return nil, nil
	}
	var adopted []*pod
	for _, p := range orphans {
		refs := append(slices.Clone(p.OwnerReferences), metav1.NewControllerRef(rs, "apps/v1", kind))
		switch p, err := setOwners(c, p, refs); {
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
func release(c client.Client, rs *appsv1.ReplicaSet, p *pod) error {
	refs := slices.DeleteFunc(slices.Clone(p.OwnerReferences), func(r metav1.OwnerReference) bool { return r.UID == rs.UID })
	if _, err := setOwners(c, p, refs); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("release pod %s: %w", p.Name, err)
	}
	return nil
}

// setOwners writes the owners of a pod that is as it was read.
func setOwners(c client.Client, p *pod, refs []metav1.OwnerReference) (*pod, error) {
	next := *p
	patch := map[string]any{"metadata": map[string]any{"uid": p.UID, "resourceVersion": p.ResourceVersion, "ownerReferences": refs}}
	return &next, c.Patch(&next, client.Patch{Data: patch})
}

// scale moves the number of pods towards the number wanted, by one batch.
// more tells that another is needed.
func scale(c client.Client, rs *appsv1.ReplicaSet, pods []*pod, now time.Time) (left []*pod, more bool, err error) {
	want := int(*rs.Spec.Replicas)
	n := min(max(want-len(pods), len(pods)-want), max(minBatch, len(pods)), maxBatch)
	switch {
	case len(pods) < want:
		left, err = create(c, rs, pods, n)
	case len(pods) > want:
		left, err = remove(c, rs, pods, n, now)
	default:
		return pods, false, nil
	}
	return left, err == nil && len(left) != want, err
}

func create(c client.Client, rs *appsv1.ReplicaSet, pods []*pod, n int) ([]*pod, error) {
	body, err := json.Marshal(newPod(rs))
	if err != nil {
		return pods, fmt.Errorf("encode pod: %w", err)
	}
	ops := make([]client.Op, n)
	for i := range ops {
		ops[i] = client.Op{Verb: client.VerbCreate, Object: &draft{body: body}, Brief: true}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	var failed error
	for i, err := range errs {
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		p := &pod{ObjectMeta: ops[i].Object.(*draft).ObjectMeta}
		p.Namespace, p.Labels = rs.Namespace, rs.Spec.Template.Labels // not in the brief answer
		pods = append(pods, p)
		if n <= maxNotes {
			c.Event(rs, client.Note{Reason: "SuccessfulCreate", Message: "Created pod: " + p.Name})
		}
	}
	if failed != nil {
		if client.IsNamespaceTerminating(failed) {
			return pods, failed
		}
		c.Event(rs, client.Note{Warning: true, Reason: "FailedCreate", Message: "Error creating: " + failed.Error()})
		return pods, failed // as it is: it becomes the message of ReplicaFailure
	}
	if n > maxNotes {
		c.Event(rs, client.Note{Reason: "SuccessfulCreate", Message: fmt.Sprintf("Created %d pods", n)})
	}
	return pods, nil
}

func remove(c client.Client, rs *appsv1.ReplicaSet, pods []*pod, n int, now time.Time) ([]*pod, error) {
	crowd, err := crowding(c, rs, pods, n)
	if err != nil {
		return pods, err
	}
	doomed := choose(pods, crowd, n, now)
	ops := make([]client.Op, len(doomed))
	for i, p := range doomed {
		ops[i] = client.Op{Verb: client.VerbDelete, Object: p, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(p.UID)}}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	gone := make(map[*pod]bool, len(doomed))
	var failed error
	for i, err := range errs {
		if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
			failed = err
			continue
		}
		gone[doomed[i]] = true
		if n <= maxNotes {
			c.Event(rs, client.Note{Reason: "SuccessfulDelete", Message: "Deleted pod: " + doomed[i].Name})
		}
	}
	left := slices.DeleteFunc(slices.Clone(pods), func(p *pod) bool { return gone[p] })
	if failed != nil {
		c.Event(rs, client.Note{Warning: true, Reason: "FailedDelete", Message: "Error deleting: " + failed.Error()})
		return left, failed
	}
	if n > maxNotes {
		c.Event(rs, client.Note{Reason: "SuccessfulDelete", Message: fmt.Sprintf("Deleted %d pods", n)})
	}
	return left, nil
}

// crowding counts, for each node, the active pods of this ReplicaSet and of
// its siblings (those of the same Deployment): of two pods the one that is
// doubled up on its node goes first.
func crowding(c client.Client, rs *appsv1.ReplicaSet, pods []*pod, n int) (map[string]int, error) {
	out := map[string]int{}
	if n == len(pods) {
		return out, nil // all go, in whatever order
	}
	count(out, pods)
	owner := metav1.ControllerOf(rs)
	if owner == nil {
		return out, nil
	}
	var siblings []*appsv1.ReplicaSet
	if err := c.List(&siblings, client.ListOptions{Namespace: rs.Namespace, Owner: client.OwnedBy(owner.UID)}); err != nil {
		return nil, err
	}
	for _, s := range siblings {
		if s.UID == rs.UID || s.Status.Replicas == 0 {
			continue
		}
		var theirs []*pod
		if err := c.List(&theirs, client.ListOptions{Namespace: rs.Namespace, Owner: client.OwnedBy(s.UID)}); err != nil {
			return nil, err
		}
		count(out, theirs)
	}
	return out, nil
}

func count(perNode map[string]int, pods []*pod) {
	for _, p := range pods {
		if p.active() && p.Spec.NodeName != "" {
			perNode[p.Spec.NodeName]++
		}
	}
}

// report writes the status when it differs.
func report(c client.Client, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	if sameStatus(rs.Status, status) {
		return nil
	}
	rs.Status = status
	if err := c.UpdateStatus(rs); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}
