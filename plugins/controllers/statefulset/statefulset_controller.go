// Package statefulset keeps the pods of a StatefulSet, each with a name, volumes
// and a place in the order of its own: it makes what is missing, removes what is
// too much, replaces pods when the template changes, and gives their claims the
// owners with which they go.
//
// The controller reads, plans and writes once per round; the plan is pure (see
// makePlan). What templates were is kept by package history.
package statefulset

import (
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/plugins/history"
	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// soon asks for the next batch.
const soon = time.Millisecond

// retry is when a round looks again whether a claim in the way of a pod is gone:
// that may have labels by which its end wakes nobody.
const retry = 5 * time.Second

func init() {
	sdk.Register(sdk.Plugin{Name: "statefulset", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "apps/v1/statefulsets"},
				{Resource: "v1/pods", Map: controller.Owner(apiVersion + "/" + kind)},
				{Resource: "v1/pods", Map: controller.OrphanLabels()},
				{Resource: "v1/persistentvolumeclaims", Map: controller.Deleted(claimGone), Fields: []string{"metadata.namespace", "metadata.labels"}},
			},
			Workers:   2,
			Reconcile: (&reconciler{known: map[known]bool{}}).reconcile,
		}, nil
	}})
}

// claimGone wakes the sets whose claim may have gone: one that is about to go holds
// up the pod that is to use the next one of its name. Claims that somebody else made
// need not have labels that lead to the set; for those see retry.
func claimGone(claim sdk.Value) []controller.Request {
	labels := map[string]string{}
	for k, v := range claim.Get("metadata.labels").Fields() {
		labels[k] = v.String()
	}
	if len(labels) == 0 {
		return nil
	}
	return []controller.Request{{Namespace: claim.Get("metadata.namespace").String(), Labels: controller.LabelSetOf(labels)}}
}

// reconciler is the controller of one instance.
type reconciler struct {
	// known are templates that were found to be what the newest revision holds, so
	// that the same is not encoded and compared at each change of a pod.
	known map[known]bool
}

func (r *reconciler) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	if req.Labels != "" {
		return selecting(c, req.Namespace, req.Labels.Map())
	}
	set := &appsv1.StatefulSet{}
	if err := c.Get(set, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if set.Spec.UpdateStrategy.Type == appsv1.RecreateStatefulSetStrategyType {
		err := fmt.Errorf("statefulset %s/%s uses Recreate strategy but feature gate StatefulSetRecreateStrategy is disabled", set.Namespace, set.Name)
		c.Event(set, client.Note{Warning: true, Reason: "UnknownStrategy", Message: err.Error()})
		return controller.Result{}, err
	}
	s := &session{Client: c, set: set, known: r.known}
	s.revisions = &history.Revisions{Client: c, Owner: set, Kind: kind, Selector: set.Spec.Selector, MayAdopt: s.mayAdopt}
	return s.sync()
}

// selecting names the StatefulSets that select a pod without an owner, or whose
// claims are labelled so.
func selecting(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var all []*appsv1.StatefulSet
	if err := c.List(&all, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, set := range all {
		if sel := set.Spec.Selector; sel != nil && set.DeletionTimestamp == nil && (&metav1.LabelSelector{MatchLabels: sel.MatchLabels}).Matches(labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: set.Namespace, Name: set.Name})
		}
	}
	return res, nil
}

// session is one reconcile of one StatefulSet.
type session struct {
	Client    client.Client
	set       *appsv1.StatefulSet
	revisions *history.Revisions
	known     map[known]bool
	asked     bool // whether the set may adopt, and what the answer was
	may       bool
}

// sync is one round: read, plan, write.
func (s *session) sync() (controller.Result, error) {
	all, err := s.revisions.List()
	if err != nil {
		return controller.Result{}, err
	}
	pods, err := s.claimPods()
	if err != nil {
		return controller.Result{}, err
	}
	st := &state{set: s.set, pods: pods, now: s.Client.Now()}
	from, to, err := s.chooseRevisions(all, st)
	if client.IsNamespaceTerminating(err) {
		return controller.Result{}, nil // nothing can be made there any more, and the set goes too
	}
	if err != nil {
		return controller.Result{}, err
	}
	if st.claims, err = s.readClaims(claimNames(s.set, pods)); err != nil {
		return controller.Result{}, err
	}
	p := makePlan(st)
	e := &executor{Client: s.Client, set: s.set, templates: s.templates(from, to), molds: map[string]*mold{}}
	failed := e.run(p.groups)
	if errors.Is(failed, errHeld) || client.IsNamespaceTerminating(failed) {
		failed, p.more = nil, false
	}
	if err := errors.Join(failed, s.report(p.status), s.trim(all, st)); err != nil {
		return controller.Result{}, err
	}
	if p.more && e.done > 0 {
		p.again = soon
	}
	return controller.Result{RequeueAfter: p.again}, nil
}

// report writes the status when it differs.
func (s *session) report(status appsv1.StatefulSetStatus) error {
	if sameStatus(s.set.Status, status) {
		return nil
	}
	next := *s.set
	next.Status = status
	if err := s.Client.UpdateStatus(&next); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status: %w", err)
	}
	return nil
}
