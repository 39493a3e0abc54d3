// Package nodelifecycle watches over nodes: one whose lease is not renewed is
// marked and tainted, its pods are taken out of their Services and, when they
// no longer tolerate the taint, deleted so that they are replaced elsewhere.
// What is left of pods on a node that is gone, or out of service, is podgc's.
//
// Behaviour follows upstream's node lifecycle and taint eviction controllers; the
// times are configuration.
package nodelifecycle

import (
	"fmt"
	"reflect"
	"time"

	"github.com/pintle-io/pintle/sdk"
	coordinationv1 "github.com/pintle-io/pintle/sdk/api/coordination/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const leaseNamespace = "kube-node-lease"

func init() {
	sdk.Register(sdk.Plugin{Name: "node-lifecycle", New: func(raw []byte) (sdk.Points, error) {
		times, rules, err := parseConfig(raw)
		if err != nil {
			return nil, err
		}
		k := newKeeper(times, rules, nil)
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/nodes"},
				{Resource: "coordination.k8s.io/v1/leases", Map: controller.Func(leaseOf)},
				{Resource: "v1/pods", Map: controller.FieldChanged("spec.nodeName")},
			},
			Workers: 1, // what was seen of a node is remembered by one hand
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				k.now = c.Now
				return k.reconcile(c, q)
			},
		}, nil
	}})
}

func leaseOf(lease sdk.Value) []controller.Request {
	if lease.Get("metadata.namespace").String() != leaseNamespace {
		return nil
	}
	return []controller.Request{{Name: lease.Get("metadata.name").String()}}
}

// keeper is one instance's memory: when it last saw a node renew its lease, by
// its own clock, so that the clocks of nodes need not agree with it.
type keeper struct {
	graces
	now     func() time.Time
	zones   *zones
	seen    map[string]*sighting
	waiting map[string]pending // by node
	last    time.Time          // of the last reconcile; zero before the first
	worked  bool               // some node has been seen to be ready
}

// monitor is the request by which the keeper sees that it is at work itself.
var monitor = controller.Request{Namespace: "node-lifecycle", Name: "monitor"}

func newKeeper(g graces, r disruptionRules, now func() time.Time) *keeper {
	return &keeper{graces: g, now: now, zones: newZones(r), seen: map[string]*sighting{}, waiting: map[string]pending{}}
}

// sighting is what is known of a node's life.
type sighting struct {
	renewed string    // the lease's own time
	stored  string    // the same when it was last asked for fresh from the store
	at      time.Time // when that changed last, or when the keeper began to look
	since   time.Time // when the keeper began to look
	uid     string
}

func (k *keeper) reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	now := k.now()
	first := k.last.IsZero()
	if err := k.attend(c, now); err != nil {
		return controller.Result{}, err
	}
	if first {
		return controller.Result{Enqueue: []controller.Request{req, monitor}}, nil
	}
	if req == monitor {
		return controller.Result{RequeueAfter: k.grace / 4}, nil
	}
	node := &nodeState{}
	if err := c.Get(node, "", req.Name); err != nil {
		if !client.IsNotFound(err) {
			return controller.Result{}, err
		}
		return k.lacking(c, req.Name, now)
	}
	s, err := k.look(c, node, false)
	if err != nil {
		return controller.Result{}, err
	}
	silentIn := k.graceOf(node) - now.Sub(s.at)
	if r := readyOf(node); silentIn <= 0 && r != nil && r.Status != corev1.ConditionUnknown {
		// Before it is given up: what is read here may be behind what nodes write.
		if s, err = k.look(c, node, true); err != nil {
			return controller.Result{}, err
		}
		silentIn = k.graceOf(node) - now.Sub(s.at)
	}
	if silentIn <= 0 {
		if err := markLost(c, node, now); err != nil {
			if client.IsUnavailable(err) {
				k.restart(k.now()) // nor could nodes write that they are well
			}
			return controller.Result{}, err
		}
	}
	enqueue := k.weigh(c, node, now)
	admitIn, err := k.taint(c, node, silentIn <= 0, now)
	if err != nil {
		return controller.Result{Enqueue: enqueue}, err
	}
	if err := label(c, node); err != nil {
		return controller.Result{Enqueue: enqueue}, err
	}
	next, err := k.evict(c, node, k.healthSince(node, s), now)
	return controller.Result{RequeueAfter: soonest(silentIn, admitIn, next), Enqueue: enqueue}, err
}

// lacking is reconcile for a node that is not there.
func (k *keeper) lacking(c client.Client, name string, now time.Time) (controller.Result, error) {
	k.removed(c, name)
	k.zones.remove(name)
	return controller.Result{Enqueue: requests(k.zones.updateRates(now).again)}, nil
}

// attend makes sure that nodes are held against what this controller saw itself.
// Before the first look all nodes are counted, so that the first ones are not
// taken for the whole cluster. Who was away (stopped, starved, asleep) has seen
// no renewal meanwhile: all begin anew.
func (k *keeper) attend(c client.Client, now time.Time) error {
	last := k.last
	if last.IsZero() {
		var nodes []*nodeState
		if err := c.List(&nodes, client.ListOptions{}); err != nil {
			return err
		}
		for _, n := range nodes {
			k.zones.observe(n, isReady(n))
		}
		k.zones.updateRates(now)
	}
	k.last = now
	if !last.IsZero() && now.Sub(last) > k.grace/2 {
		k.restart(now)
	}
	return nil
}

// restart lets the time of all nodes begin now.
func (k *keeper) restart(now time.Time) {
	for _, s := range k.seen {
		s.at, s.since = now, now
	}
}

// weigh counts a node in and answers which others this concerns.
func (k *keeper) weigh(c client.Client, node *nodeState, now time.Time) []controller.Request {
	ready := isReady(node)
	k.zones.observe(node, ready)
	s := k.zones.updateRates(now)
	if s.left {
		k.restart(now)
	}
	if !k.worked { // before its first node is ready a cluster is new, not disrupted
		k.worked = ready
		return requests(s.again)
	}
	switch {
	case s.entered:
		c.Event(node, client.Note{Warning: true, Reason: "FullDisruption", Message: "No node is ready: no pod is evicted for it until one is"})
	case s.left:
		c.Event(node, client.Note{Reason: "FullDisruptionEnded", Message: fmt.Sprintf("Node %s is ready: the others have %v to report", node.Name, k.grace)})
	}
	return requests(s.again)
}

func requests(names []string) []controller.Request {
	var out []controller.Request
	for _, n := range names {
		out = append(out, controller.Request{Name: n})
	}
	return out
}

// healthSince is the earliest time from which pods tolerate that a node is not
// well: not what was before this controller looked, as nobody could see then
// whether the node was.
func (k *keeper) healthSince(node *nodeState, s *sighting) time.Time {
	if r := readyOf(node); r != nil && r.Status == corev1.ConditionUnknown {
		return s.at.Add(k.grace)
	}
	return s.since
}

// soonest is the shortest of the times that are not over; 0 when all are.
func soonest(all ...time.Duration) time.Duration {
	var out time.Duration
	for _, d := range all {
		if d > 0 && (out == 0 || d < out) {
			out = d
		}
	}
	return out
}

// renewal is the time of a node's lease, "" if it has none: as this controller knows it,
// or fresh from the store.
func renewal(c client.Client, node string, fresh bool) (string, error) {
	lease := &coordinationv1.Lease{}
	if fresh {
		var list []*coordinationv1.Lease
		if err := c.List(&list, client.ListOptions{Namespace: leaseNamespace, Fields: "metadata.name=" + node, Fresh: true}); err != nil {
			return "", err
		}
		if len(list) > 0 {
			lease = list[0]
		}
	} else if err := c.Get(lease, leaseNamespace, node); err != nil && !client.IsNotFound(err) {
		return "", err
	}
	if lease.Spec.RenewTime == nil {
		return "", nil
	}
	return string(*lease.Spec.RenewTime), nil
}

// look answers what is known of the node's life; fresh asks for its lease as it is in the
// store. Upstream: NodeControllerLeaseCircuitBreaker.
func (k *keeper) look(c client.Client, node *nodeState, fresh bool) (*sighting, error) {
	renewed, err := renewal(c, node.Name, fresh)
	if err != nil {
		return nil, err
	}
	renewed += "/"
	if r := readyOf(node); r != nil {
		renewed += string(r.LastHeartbeatTime) // a status report is a sign of life too
	}
	now := k.now()
	s := k.seen[node.Name]
	switch {
	case s == nil:
		s = &sighting{renewed: renewed, at: now, since: now, uid: node.UID}
		k.seen[node.Name] = s
		registered(c, node)
	case s.renewed != renewed && s.stored != renewed:
		s.at = now
	}
	if fresh {
		s.stored = renewed
	} else {
		s.renewed = renewed
	}
	return s, nil
}

// markLost says of a node that nobody knows how it is, and takes its pods out
// of their Services.
func markLost(c client.Client, node *nodeState, now time.Time) error {
	wasReady := isReady(node)
	if next := lostConditions(node, now); !reflect.DeepEqual(next, node.Status.Conditions) {
		patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion}, "status": map[string]any{"conditions": next}}
		if err := c.Patch(node, client.Patch{Data: patch, Subresource: "status"}); err != nil {
			return fmt.Errorf("mark node %s: %w", node.Name, err)
		}
		if wasReady {
			c.Event(node, client.Note{Reason: "NodeNotReady", Message: fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name)})
		}
	}
	return unready(c, node, now)
}

// taint brings the node's taints in line with its conditions, and answers when
// to ask again whether its pods may be evicted.
func (k *keeper) taint(c client.Client, node *nodeState, lost bool, now time.Time) (time.Duration, error) {
	empties, wait := k.empties(node, lost, now)
	next := taints(node, empties, now)
	if reflect.DeepEqual(next, node.Spec.Taints) {
		return wait, nil
	}
	patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion}, "spec": map[string]any{"taints": next}}
	if err := c.Patch(node, client.Patch{Data: patch}); err != nil {
		return 0, fmt.Errorf("taint node %s: %w", node.Name, err)
	}
	return wait, nil
}

// empties tells whether a node that is not well has the taints by which its
// pods are evicted, or in which time to ask again.
func (k *keeper) empties(node *nodeState, lost bool, now time.Time) (bool, time.Duration) {
	switch r := readyOf(node); {
	case isReady(node):
		k.zones.cancel(node.Name)
		return false, 0
	case k.zones.full || r == nil:
		return false, 0 // nil: it has never reported, it is still starting
	case hasNoExecute(node, taintNotReady) || hasNoExecute(node, taintUnreachable):
		return true, 0
	case r.Status == corev1.ConditionUnknown && !lost:
		return false, 0 // it was lost before this controller looked
	}
	return k.zones.admit(node.Name, now)
}
