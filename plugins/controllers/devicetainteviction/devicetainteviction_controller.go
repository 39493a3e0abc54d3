// Package devicetainteviction deletes pods whose devices are tainted with effect
// NoExecute, by their driver (in a ResourceSlice) or by a DeviceTaintRule, unless their
// claims tolerate it, or as soon as they do no longer. What a rule brings about stands in
// its status.
//
// Behaviour and texts are those of upstream's device taint eviction controller. KEP-5055.
package devicetainteviction

import (
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// A request is for a claim, or its name begins with what no claim is called.
const (
	ofPod    = "pod "
	ofPool   = "pool "   // DRIVER/POOL, of which taints have changed
	ofSlices = "slices " // DRIVER/POOL, of which a slice is gone or replaced
	ofRule   = "rule "   // NAME, which has changed
	ofStatus = "status " // NAME, whose pods have
)

func init() {
	sdk.Register(sdk.Plugin{Name: "device-taint-eviction", New: func([]byte) (sdk.Points, error) {
		e := newEvictor(nil)
		return &controller.Points{
			Watches:    append(podWatches("spec.resourceClaims"), append(podWatches("status.extendedResourceClaimStatus"), deviceWatches()...)...),
			Workers:    1, // which pods wait is remembered by one hand
			Implements: []string{rules},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				e.now = c.Now
				return e.reconcile(c, q)
			},
		}, nil
	}})
}

func deviceWatches() []controller.Watch {
	with, fields := []string{"spec.devices.taints"}, []string{"spec.driver", "spec.pool.name"}
	name := []string{"metadata.name"}
	return []controller.Watch{
		{Resource: claims, Present: []string{"status.allocation"}},
		{Resource: inSlices, Map: controller.Added(poolOf), Fields: fields, Present: with},
		{Resource: inSlices, Map: controller.Changed(poolOf, "spec.pool.generation", "spec.devices.name", "spec.devices.taints"), Fields: fields, Present: with},
		{Resource: inSlices, Map: controller.Deleted(poolOf), Fields: fields, Present: with},
		{Resource: inSlices, Map: controller.Changed(slicesOf, "spec.pool.generation"), Fields: fields},
		{Resource: inSlices, Map: controller.Deleted(slicesOf), Fields: fields},
		{Resource: rules, Map: controller.Added(named), Fields: name},
		{Resource: rules, Map: controller.Changed(named, "metadata.uid", "spec"), Fields: name},
		{Resource: rules, Map: controller.Deleted(named), Fields: name},
	}
}

// podWatches are those of pods that have claims, which the path tells.
func podWatches(path string) []controller.Watch {
	present, fields := []string{path}, []string{"metadata.namespace", "metadata.name"}
	return []controller.Watch{
		{Resource: pods, Map: controller.Added(itself), Fields: fields, Present: present},
		{Resource: pods, Map: controller.Changed(itself, "metadata.uid", "spec.nodeName", "status.resourceClaimStatuses", "status.extendedResourceClaimStatus"),
			Fields: fields, Present: present},
		{Resource: pods, Map: controller.Deleted(itself), Fields: fields, Present: present},
	}
}

func itself(p sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: p.Get("metadata.namespace").String(), Name: ofPod + p.Get("metadata.name").String()}}
}

func poolOf(s sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofPool + s.Get("spec.driver").String() + "/" + s.Get("spec.pool.name").String()}}
}

func slicesOf(s sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofSlices + s.Get("spec.driver").String() + "/" + s.Get("spec.pool.name").String()}}
}

func named(r sdk.Value) []controller.Request {
	return []controller.Request{{Name: ofRule + r.Get("metadata.name").String()}}
}

func (e *evictor) reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	if name, ok := strings.CutPrefix(q.Name, ofPod); ok {
		return e.reconcilePod(c, q.Namespace, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofPool); ok {
		return usersOf(c, parsePool(name))
	}
	if name, ok := strings.CutPrefix(q.Name, ofSlices); ok {
		list, err := slicesIn(c, parsePool(name))
		if err != nil || !tainted(list) {
			return controller.Result{}, err
		}
		return controller.Result{Enqueue: []controller.Request{{Name: ofPool + name}}}, nil
	}
	if name, ok := strings.CutPrefix(q.Name, ofRule); ok {
		return e.reconcileRule(c, name)
	}
	if name, ok := strings.CutPrefix(q.Name, ofStatus); ok {
		return e.reconcileStatus(c, name)
	}
	return e.reconcileClaim(c, q.Namespace, q.Name)
}

// parsePool reads a pool's name: that of a driver has no slash.
func parsePool(s string) pool {
	driver, name, _ := strings.Cut(s, "/")
	return pool{driver, name}
}
