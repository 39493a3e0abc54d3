// Package daemonset keeps one pod of a DaemonSet on every node that it is for: it makes
// those that are missing, removes those that do not belong, and replaces them when the
// template changes, on so many nodes at a time as the strategy allows.
//
// The controller reads, decides and writes once per round; what it decides is pure (see
// decide). What templates were is kept by package history. A change of one pod costs
// the reading of that pod, and a look at all nodes and pods in memory.
package daemonset

import (
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/plugins/history"
	"github.com/pintle-io/pintle/sdk"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// soon asks for the next batch.
const soon = time.Millisecond

// nodes is the request that stands for every DaemonSet: a node came or went, or changed
// in what they ask for. A thousand nodes that join make one. It has no namespace, which
// tells it from a DaemonSet of this name.
const nodes = "nodes"

func init() {
	sdk.Register(sdk.Plugin{Name: "daemonset", New: func([]byte) (sdk.Points, error) {
		r := newReconciler()
		name := []string{"metadata.name"}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "apps/v1/daemonsets"},
				{Resource: "v1/pods", Map: controller.Owner(apiVersion + "/" + kind)},
				{Resource: "v1/pods", Map: controller.OrphanLabels()},
				{Resource: "v1/nodes", Map: controller.Added(anyNode), Fields: name},
				{Resource: "v1/nodes", Map: controller.Deleted(anyNode), Fields: name},
				{Resource: "v1/nodes", Map: controller.Changed(anyNode, "metadata.labels", "spec.taints"), Fields: name},
				{Resource: "apps/v1/controllerrevisions", Map: controller.OrphanLabels()},
				{Resource: "apps/v1/controllerrevisions", Map: controller.Deleted(ownerOf), Fields: []string{"metadata.namespace", "metadata.ownerReferences"}},
			},
			Workers: 1, // how long failed pods wait is remembered by one hand
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return r.reconcile(c, q, c.Now())
			},
		}, nil
	}})
}

// reconciler is the controller of one instance. What it remembers may be lost at any
// time: failed pods are then removed earlier than they would be, and nothing else.
type reconciler struct {
	// known are templates that were found to be what the newest revision holds, so
	// that the same is not encoded and compared at each change of a pod.
	known  map[known]bool
	memory map[string]remembered // by namespace/name
	fleet  *fleet                // of the last round, of whatever DaemonSet
}

// remembered is what is remembered of a DaemonSet, as long as it does not change.
type remembered struct {
	uid        string
	generation int64
	retries    backoffs
	size       int // of the next batch of pods
}

// maxRemembered bounds the memory of an instance.
const maxRemembered = 10_000

func newReconciler() *reconciler {
	return &reconciler{known: map[known]bool{}, memory: map[string]remembered{}}
}

// recalled is what is remembered of a set.
func (r *reconciler) recalled(set *appsv1.DaemonSet) remembered {
	if m := r.memory[set.Namespace+"/"+set.Name]; m.uid == set.UID && m.generation == set.Generation {
		return m
	}
	return remembered{uid: set.UID, generation: set.Generation}
}

func (r *reconciler) remember(set *appsv1.DaemonSet, m remembered) {
	key := set.Namespace + "/" + set.Name
	if _, ok := r.memory[key]; !ok && len(r.memory) >= maxRemembered {
		clear(r.memory)
	}
	r.memory[key] = m
}

func (r *reconciler) reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	switch {
	case q.Labels != "":
		return selecting(c, q.Namespace, q.Labels.Map())
	case q.Namespace == "":
		return everySet(c)
	}
	set := &appsv1.DaemonSet{}
	if err := c.Get(set, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			delete(r.memory, q.Namespace+"/"+q.Name)
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if selectsAll(set.Spec.Selector) {
		c.Event(set, client.Note{Warning: true, Reason: "SelectingAll", Message: "This daemon set is selecting all pods. A non-empty selector is required."})
		return controller.Result{}, nil
	}
	if set.DeletionTimestamp != nil { // the garbage collector takes it from here
		return controller.Result{}, nil
	}
	s := &session{Client: c, set: set, known: r.known, fleet: r.fleet, now: now}
	s.revisions = &history.Revisions{Client: c, Owner: set, Kind: kind, Selector: set.Spec.Selector,
		HashLabel: appsv1.DefaultDaemonSetUniqueLabelKey, MayAdopt: s.mayAdopt}
	m := r.recalled(set)
	res, err := s.sync(&m)
	r.fleet = s.fleet
	r.remember(set, m)
	return res, err
}

// session is one reconcile of one DaemonSet.
type session struct {
	Client    client.Client
	set       *appsv1.DaemonSet
	revisions *history.Revisions
	known     map[known]bool
	fleet     *fleet
	now       time.Time
	asked     bool // whether the set may adopt, and what the answer was
	may       bool
}

// sync is one round: read, decide, write, and count what there is then.
func (s *session) sync(m *remembered) (controller.Result, error) {
	var nodes []*node
	if err := s.Client.List(&nodes, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	s.fleet = fleetOf(nodes, s.fleet)
	pods, err := s.claim()
	if err != nil {
		return controller.Result{}, err
	}
	all, err := s.revisions.List()
	if err != nil {
		return controller.Result{}, err
	}
	collisions := int32(0)
	if n := s.set.Status.CollisionCount; n != nil {
		collisions = *n
	}
	cur, old, err := s.current(all, pods, &collisions)
	if client.IsNamespaceTerminating(err) {
		return controller.Result{}, nil // nothing can be made there any more, and the set goes too
	}
	if err != nil {
		return controller.Result{}, err
	}
	st := newState(s.set, s.fleet, hashOf(cur), s.now)
	st.retries = m.retries
	st.sort(pods)
	p := decide(st)
	more, failed := s.act(st, p, m)
	if len(p.create)+len(p.remove) > 0 {
		if pods, _, err = s.mine(); err != nil {
			return controller.Result{}, errors.Join(failed, err)
		}
		st.sort(pods)
	}
	status, ready := st.count()
	p.look(ready)
	status.ObservedGeneration = s.set.Generation
	if collisions > 0 {
		status.CollisionCount = &collisions
	}
	if failed == nil {
		failed = s.trim(old, pods)
	}
	if err := errors.Join(failed, s.report(status)); err != nil {
		return controller.Result{}, err
	}
	if more {
		p.wait = soon
	}
	return controller.Result{RequeueAfter: p.wait}, nil
}

// act carries a plan out, and remembers how it went.
func (s *session) act(st *state, p *plan, m *remembered) (more bool, err error) {
	e := &executor{Client: s.Client, set: s.set, size: m.size}
	more, err = e.run(p, st.hash)
	m.size, m.retries = e.size, m.retries.with(p.retried, s.now)
	if client.IsNamespaceTerminating(err) {
		return false, nil // the set goes too
	}
	return more, err
}

// report writes the status when it differs.
func (s *session) report(status appsv1.DaemonSetStatus) error {
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
