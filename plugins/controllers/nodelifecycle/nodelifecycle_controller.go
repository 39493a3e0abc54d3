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
)

// Config is the plugin's configuration.
type Config struct {
	// GraceSeconds is how long a node may be silent before it counts as
	// unreachable; 0 is 40, upstream's default.
	GraceSeconds float64 `json:"graceSeconds"`
}

const leaseNamespace = "kube-node-lease"

func init() {
	sdk.Register(sdk.Plugin{Name: "node-lifecycle", New: func(raw []byte) (*sdk.Points, error) {
		c := Config{}
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, fmt.Errorf("config: %w", err)
			}
		}
		if c.GraceSeconds == 0 {
			c.GraceSeconds = 40
		}
		if c.GraceSeconds < 0 {
			return nil, fmt.Errorf("config.graceSeconds: %v is negative", c.GraceSeconds)
		}
		k := &keeper{grace: time.Duration(c.GraceSeconds * float64(time.Second)), now: time.Now, seen: map[string]sighting{}, missing: map[string]time.Time{}}
		return &sdk.Points{Controller: &sdk.Controller{
			Watches: []sdk.Watch{
				{Resource: "v1/nodes"},
				{Resource: "coordination.k8s.io/v1/leases", Map: sdk.Func(leaseOf)},
				{Resource: "v1/pods", Map: sdk.FieldChanged("spec.nodeName")},
			},
			Workers:   1, // what was seen of a node is remembered by one hand
			Reconcile: k.reconcile,
		}}, nil
	}})
}

func leaseOf(lease sdk.Value) []sdk.Request {
	if lease.Get("metadata.namespace").String() != leaseNamespace {
		return nil
	}
	return []sdk.Request{{Name: lease.Get("metadata.name").String()}}
}

// keeper is one instance's memory: when it last saw a node renew its lease, by
// its own clock, so that the clocks of nodes need not agree with it.
type keeper struct {
	grace time.Duration
	now   func() time.Time
	seen  map[string]sighting
	// missing is since when a node that pods name has not been there.
	missing map[string]time.Time
}

type sighting struct {
	renewed string // the lease's own time
	at      time.Time
}

func (k *keeper) reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	node := &nodeState{}
	if err := c.Get(node, "", req.Name); err != nil {
		if !sdk.IsNotFound(err) {
			return sdk.Result{}, err
		}
		delete(k.seen, req.Name)
		return k.forget(c, req.Name)
	}
	delete(k.missing, req.Name)
	silentIn, err := k.look(c, node)
	if err != nil {
		return sdk.Result{}, err
	}
	now := k.now()
	if err := mark(c, node, silentIn <= 0, now); err != nil {
		return sdk.Result{}, err
	}
	next, err := evict(c, node, now)
	if err != nil {
		return sdk.Result{}, err
	}
	recheck, err := abandon(c, node, now)
	if err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{RequeueAfter: soonest(silentIn, next, recheck)}, nil
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

// look answers how long the node may still be silent; 0 or less: it is
// unreachable.
func (k *keeper) look(c sdk.Client, node *nodeState) (time.Duration, error) {
	lease := &coordinationv1.Lease{}
	renewed := ""
	switch err := c.Get(lease, leaseNamespace, node.Name); {
	case err == nil && lease.Spec.RenewTime != nil:
		renewed = string(*lease.Spec.RenewTime)
	case err != nil && !sdk.IsNotFound(err):
		return 0, err
	}
	if r := readyOf(node); r != nil && r.Status != corev1.ConditionUnknown {
		renewed += "/" + string(r.LastHeartbeatTime) // a status report is a sign of life too
	}
	now := k.now()
	s, ok := k.seen[node.Name]
	if !ok || s.renewed != renewed {
		s = sighting{renewed, now}
		if !ok && alreadyLost(node) {
			// This controller started after the node was lost: it stays lost
			// until it gives a sign of life.
			s.at = now.Add(-k.grace)
		}
		k.seen[node.Name] = s
	}
	return k.grace - now.Sub(s.at), nil
}

// mark brings the node's conditions and taints, and the readiness of its
// pods, in line with whether it is reachable.
func mark(c sdk.Client, node *nodeState, lost bool, now time.Time) error {
	if lost {
		if next := lostConditions(node, now); !reflect.DeepEqual(next, node.Status.Conditions) {
			patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion}, "status": map[string]any{"conditions": next}}
			if err := c.Patch(node, sdk.Patch{Data: patch, Subresource: "status"}); err != nil {
				return fmt.Errorf("mark node %s: %w", node.Name, err)
			}
			c.Event(node, sdk.Note{Reason: "NodeNotReady", Message: fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name)})
		}
	}
	if next := taints(node, now); !reflect.DeepEqual(next, node.Spec.Taints) {
		patch := map[string]any{"metadata": map[string]any{"resourceVersion": node.ResourceVersion}, "spec": map[string]any{"taints": next}}
		if err := c.Patch(node, sdk.Patch{Data: patch}); err != nil {
			return fmt.Errorf("taint node %s: %w", node.Name, err)
		}
	}
	if lost {
		return unready(c, node, now)
	}
	return nil
}

// unready takes the pods of a lost node out of their Services: nobody else
// can say that they no longer answer.
func unready(c sdk.Client, node *nodeState, now time.Time) error {
	pods, err := podsOn(c, node.Name)
	if err != nil {
		return err
	}
	var ops []sdk.Op
	for _, p := range pods {
		if p.Ready() {
			ops = append(ops, sdk.Op{Verb: sdk.VerbUpdate, Subresource: "status", Object: notReady(p, now)})
		}
	}
	return batch(c, ops, "mark pods of node "+node.Name)
}

func podsOn(c sdk.Client, node string) ([]*corev1.Pod, error) {
	var pods []*corev1.Pod
	err := c.List(&pods, sdk.ListOptions{Fields: "spec.nodeName=" + node})
	return pods, err
}

func batch(c sdk.Client, ops []sdk.Op, what string) error {
	if len(ops) == 0 {
		return nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil && !sdk.IsNotFound(err) && !sdk.IsConflict(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
