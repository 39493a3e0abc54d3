// Package nodelifecycle watches over nodes: one whose lease is not renewed is
// marked and tainted, its pods are taken out of their Services and, when they
// no longer tolerate the taint, deleted so that they are replaced elsewhere.
// Pods of a node that is no more are removed.
//
// Behaviour follows upstream's node lifecycle, taint eviction and pod garbage
// collection controllers; the times are configuration.
package nodelifecycle

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/pintle-io/pintle/sdk"
	coordinationv1 "github.com/pintle-io/pintle/sdk/api/coordination/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Config is the plugin's configuration.
type Config struct {
	// GraceSeconds is how long a node may be silent before it counts as
	// unreachable; 0 is 40, upstream's default.
	GraceSeconds float64 `json:"graceSeconds"`
	// The others are flags of upstream's controller manager with its defaults,
	// which an absent field takes. UnhealthyZoneThreshold is the part of a
	// zone's nodes that must be not ready for the zone to count as disrupted
	// (0.55); LargeClusterSizeThreshold the number of nodes above which a
	// disrupted zone is still emptied, at the secondary rate (50); the rates are
	// nodes a second and zone (0.1 and 0.01), 0 empties none.
	UnhealthyZoneThreshold    *float64 `json:"unhealthyZoneThreshold"`
	LargeClusterSizeThreshold *int     `json:"largeClusterSizeThreshold"`
	NodeEvictionRate          *float64 `json:"nodeEvictionRate"`
	SecondaryNodeEvictionRate *float64 `json:"secondaryNodeEvictionRate"`
}

func parseConfig(raw []byte) (grace time.Duration, r disruptionRules, err error) {
	c := Config{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &c); err != nil {
			return 0, r, fmt.Errorf("config: %w", err)
		}
	}
	if c.GraceSeconds == 0 {
		c.GraceSeconds = 40
	}
	r = disruptionRules{
		unhealthy: or(c.UnhealthyZoneThreshold, 0.55), large: or(c.LargeClusterSizeThreshold, 50),
		rate: or(c.NodeEvictionRate, 0.1), secondary: or(c.SecondaryNodeEvictionRate, 0.01),
	}
	switch {
	case c.GraceSeconds < 0:
		err = fmt.Errorf("config.graceSeconds: %v is negative", c.GraceSeconds)
	case !(r.unhealthy >= 0 && r.unhealthy <= 1):
		err = fmt.Errorf("config.unhealthyZoneThreshold: %v is not between 0 and 1", r.unhealthy)
	case !(r.rate >= 0 && r.secondary >= 0):
		err = fmt.Errorf("config.nodeEvictionRate, config.secondaryNodeEvictionRate: %v, %v: want 0 or more", r.rate, r.secondary)
	}
	return time.Duration(c.GraceSeconds * float64(time.Second)), r, err
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

const leaseNamespace = "kube-node-lease"

func init() {
	sdk.Register(sdk.Plugin{Name: "node-lifecycle", New: func(raw []byte) (sdk.Points, error) {
		grace, rules, err := parseConfig(raw)
		if err != nil {
			return nil, err
		}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/nodes"},
				{Resource: "coordination.k8s.io/v1/leases", Map: controller.Func(leaseOf)},
				{Resource: "v1/pods", Map: controller.FieldChanged("spec.nodeName")},
			},
			Workers:   1, // what was seen of a node is remembered by one hand
			Reconcile: newKeeper(grace, rules, time.Now).reconcile,
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
	grace time.Duration
	now   func() time.Time
	zones *zones
	seen  map[string]*sighting
	// missing is since when a node that pods name has not been there.
	missing map[string]time.Time
	last    time.Time // of the last reconcile; zero before the first
	worked  bool      // some node has been seen to be ready
}

// monitor is the request by which the keeper sees that it is at work itself.
var monitor = controller.Request{Namespace: "node-lifecycle", Name: "monitor"}

func newKeeper(grace time.Duration, r disruptionRules, now func() time.Time) *keeper {
	return &keeper{grace: grace, now: now, zones: newZones(r), seen: map[string]*sighting{}, missing: map[string]time.Time{}}
}

// sighting is what is known of a node's life.
type sighting struct {
	renewed string    // the lease's own time
	at      time.Time // when that changed last, or when the keeper began to look
	since   time.Time // when the keeper began to look
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
		delete(k.seen, req.Name)
		k.zones.remove(req.Name)
		s := k.zones.updateRates(now)
		res, err := k.forget(c, req.Name)
		res.Enqueue = requests(s.again)
		return res, err
	}
	delete(k.missing, req.Name)
	s, err := k.look(c, node)
	if err != nil {
		return controller.Result{}, err
	}
	silentIn := k.grace - now.Sub(s.at)
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
	next, err := evict(c, node, k.healthSince(node, s), now)
	if err != nil {
		return controller.Result{Enqueue: enqueue}, err
	}
	recheck, err := abandon(c, node, now)
	return controller.Result{RequeueAfter: soonest(silentIn, admitIn, next, recheck), Enqueue: enqueue}, err
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

// look answers what is known of the node's life.
func (k *keeper) look(c client.Client, node *nodeState) (*sighting, error) {
	lease := &coordinationv1.Lease{}
	renewed := ""
	switch err := c.Get(lease, leaseNamespace, node.Name); {
	case err == nil && lease.Spec.RenewTime != nil:
		renewed = string(*lease.Spec.RenewTime)
	case err != nil && !client.IsNotFound(err):
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
		s = &sighting{renewed, now, now}
		k.seen[node.Name] = s
	case s.renewed != renewed:
		s.renewed, s.at = renewed, now
	}
	return s, nil
}

// markLost says of a node that nobody knows how it is, and takes its pods out
// of their Services.
func markLost(c client.Client, node *nodeState, now time.Time) error {
	if next := lostConditions(node, now); !reflect.DeepEqual(next, node.Status.Conditions) {
		patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion}, "status": map[string]any{"conditions": next}}
		if err := c.Patch(node, client.Patch{Data: patch, Subresource: "status"}); err != nil {
			return fmt.Errorf("mark node %s: %w", node.Name, err)
		}
		c.Event(node, client.Note{Reason: "NodeNotReady", Message: fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name)})
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

// unready takes the pods of a lost node out of their Services: nobody else
// can say that they no longer answer.
func unready(c client.Client, node *nodeState, now time.Time) error {
	pods, err := podsOn(c, node.Name)
	if err != nil {
		return err
	}
	var ops []client.Op
	for _, p := range pods {
		if p.Ready() {
			ops = append(ops, client.Op{Verb: client.VerbUpdate, Subresource: "status", Object: notReady(p, now)})
		}
	}
	return batch(c, ops, "mark pods of node "+node.Name)
}

func podsOn(c client.Client, node string) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	err := c.List(&pods, client.ListOptions{Fields: "spec.nodeName=" + node})
	return pods, err
}

func batch(c client.Client, ops []client.Op, what string) error {
	if len(ops) == 0 {
		return nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
