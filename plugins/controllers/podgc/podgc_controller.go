// Package podgc removes pods that nobody else will: those whose node is gone, those that
// are being deleted on a node that is off for good, those that are deleted before they
// have a node, and of those that have ended the oldest, when there are too many.
//
// Who has not come to an end is Failed first, and where a node is gone says why: whoever
// counts pods, such as a Job, finds the reason, and its finalizer holds the pod until
// then. Behaviour, times and texts are those of upstream's pod garbage collector; it is
// woken by what makes a pod garbage instead of looking at all pods every 20 seconds.
package podgc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Config is the plugin's configuration.
type Config struct {
	// TerminatedPodThreshold is how many pods that have ended are kept; absent it is
	// 12500, upstream's default, and with 0 or less all are.
	TerminatedPodThreshold *int `json:"terminatedPodThreshold"`
	// QuarantineSeconds is how long a node must have been gone before its pods go, so
	// that one that registers anew keeps them; 0 is 40, upstream's time.
	QuarantineSeconds float64 `json:"quarantineSeconds"`
}

func newCollector(raw []byte) (*collector, error) {
	c := Config{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	k := &collector{keep: 12500, quarantine: 40 * time.Second, missing: map[string]time.Time{}}
	if c.TerminatedPodThreshold != nil {
		k.keep = *c.TerminatedPodThreshold
	}
	switch {
	case c.QuarantineSeconds < 0:
		return nil, fmt.Errorf("config.quarantineSeconds: %v is negative", c.QuarantineSeconds)
	case c.QuarantineSeconds > 0:
		k.quarantine = time.Duration(c.QuarantineSeconds * float64(time.Second))
	}
	return k, nil
}

func init() {
	sdk.Register(sdk.Plugin{Name: "pod-garbage-collector", New: func(raw []byte) (sdk.Points, error) {
		k, err := newCollector(raw)
		if err != nil {
			return nil, err
		}
		name, whereabouts := []string{"metadata.name"}, []string{"metadata.namespace", "metadata.name", "metadata.deletionTimestamp", "spec.nodeName"}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/nodes", Map: controller.Deleted(named), Fields: name},
				{Resource: "v1/nodes", Map: controller.Added(named), Fields: name, Present: []string{"spec.taints"}},
				{Resource: "v1/nodes", Map: controller.Changed(named, "spec.taints"), Fields: name},
				{Resource: "v1/nodes", Map: controller.Condition(named, string(corev1.NodeReady)), Fields: name},
				{Resource: "v1/pods", Map: controller.FieldChanged("spec.nodeName")},
				{Resource: "v1/pods", Map: controller.Added(going), Fields: whereabouts, Present: []string{"metadata.deletionTimestamp"}},
				{Resource: "v1/pods", Map: controller.Changed(going, "metadata.deletionTimestamp"), Fields: whereabouts},
				{Resource: "v1/pods", Map: controller.FieldChanged("status.phase")},
			},
			Workers:    1, // what was seen of nodes is remembered by one hand
			Implements: []string{},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				k.now = c.Now
				return k.reconcile(c, q)
			},
		}, nil
	}})
}

// named requests a node.
func named(node sdk.Value) []controller.Request {
	return []controller.Request{{Name: node.Get("metadata.name").String()}}
}

// going requests the node of a pod that is being deleted, or the pod when it has none.
func going(p sdk.Value) []controller.Request {
	if node := p.Get("spec.nodeName").String(); node != "" {
		return []controller.Request{{Name: node}}
	}
	return []controller.Request{{Namespace: p.Get("metadata.namespace").String(), Name: p.Get("metadata.name").String()}}
}

// collector is one instance's memory.
type collector struct {
	now        func() time.Time
	keep       int // of pods that have ended
	quarantine time.Duration
	// missing is since when a node that pods name has not been there.
	missing map[string]time.Time
	// counted is when the pods that have ended were counted last.
	counted time.Time
}

// reconcile serves three sorts of requests: a pod, a phase, which begins with a capital
// letter, and a node, whose name never does.
func (k *collector) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	switch {
	case q.Namespace != "":
		return controller.Result{}, k.unscheduled(c, q)
	case q.Name == string(corev1.PodSucceeded) || q.Name == string(corev1.PodFailed):
		return k.ended(c)
	case q.Name == "" || q.Name[0] >= 'A' && q.Name[0] <= 'Z':
		return controller.Result{}, nil
	}
	n := &node{}
	switch err := c.Get(n, "", q.Name); {
	case client.IsNotFound(err):
		return k.orphans(c, q.Name)
	case err != nil:
		return controller.Result{}, err
	}
	delete(k.missing, q.Name)
	return controller.Result{}, k.abandoned(c, n)
}

// unscheduled removes a pod that is being deleted and has no node.
func (k *collector) unscheduled(c client.Client, q controller.Request) error {
	p := &pod{}
	if err := c.Get(p, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return nil
		}
		return err
	}
	if p.DeletionTimestamp == nil || p.Spec.NodeName != "" {
		return nil
	}
	return k.remove(c, p, "")
}

// abandoned removes the pods that are being deleted on a node out of service.
func (k *collector) abandoned(c client.Client, n *node) error {
	if !n.outOfService() {
		return nil
	}
	return k.each(c, n.Metadata.Name, func(p *pod) error {
		if p.DeletionTimestamp == nil {
			return nil
		}
		return k.remove(c, p, "")
	})
}

// orphans removes the pods of a node that is gone, and has been for the time of quarantine.
func (k *collector) orphans(c client.Client, node string) (controller.Result, error) {
	var some []*pod
	if err := c.List(&some, client.ListOptions{Fields: "spec.nodeName=" + node, Limit: 1}); err != nil {
		return controller.Result{}, err
	}
	if len(some) == 0 { // there is nothing to remember it for
		delete(k.missing, node)
		return controller.Result{}, nil
	}
	since, ok := k.missing[node]
	if !ok {
		since = k.now()
		k.missing[node] = since
	}
	if left := k.quarantine - k.now().Sub(since); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	// What this process knows may be behind: only the store says that a node is gone.
	switch exists, err := there(c, node); {
	case err != nil:
		return controller.Result{}, fmt.Errorf("look for node %s: %w", node, err)
	case exists:
		delete(k.missing, node)
		return controller.Result{RequeueAfter: time.Second}, nil
	}
	if err := k.each(c, node, func(p *pod) error { return k.remove(c, p, "PodGC: node no longer exists") }); err != nil {
		return controller.Result{}, err
	}
	delete(k.missing, node)
	return controller.Result{}, nil
}
