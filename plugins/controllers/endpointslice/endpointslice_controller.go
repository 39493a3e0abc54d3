// Package endpointslice keeps the EndpointSlices of every Service that has a
// selector: which pods stand behind it, at which ports, and whether they are
// ready, serving or terminating.
package endpointslice

import (
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/plugins/backends"
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Labels of the slices, as upstream has them.
const (
	serviceLabel = "kubernetes.io/service-name"
	managedLabel = "endpointslice.kubernetes.io/managed-by"
	managedBy    = "endpointslice-controller.k8s.io"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "endpointslice", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/services"},
				{Resource: "discovery.k8s.io/v1/endpointslices", Map: controller.Label(serviceLabel)},
				{Resource: "v1/pods", Map: controller.Labels()},
				{Resource: "v1/nodes", Map: controller.Added(moved), Fields: []string{"metadata.name"}},
				{Resource: "v1/nodes", Map: controller.Deleted(moved), Fields: []string{"metadata.name"}},
				// The taints of a node change with its readiness.
				{Resource: "v1/nodes", Map: controller.Changed(moved, "metadata.labels", "spec.taints"), Fields: []string{"metadata.name"}},
			},
			Workers:   2,
			Reconcile: reconcile,
		}, nil
	}})
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	if req == topology {
		return placed(c)
	}
	if req.Labels != "" {
		return backends.Selecting(c, req.Namespace, req.Labels.Map())
	}
	svc := &corev1.Service{}
	if err := c.Get(svc, req.Namespace, req.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil // the garbage collector takes the slices
		}
		return controller.Result{}, err
	}
	return sync(c, svc)
}

// again is when pods are looked at again whose node is not there: no node is waited for.
const again = 5 * time.Second

func sync(c client.Client, svc *corev1.Service) (controller.Result, error) {
	if !backends.Selected(svc) || svc.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	pods, err := backends.Of(c, svc)
	if err != nil {
		return controller.Result{}, err
	}
	nodes, err := nodesOf(c, pods)
	if err != nil {
		return controller.Result{}, err
	}
	var have []*discoveryv1.EndpointSlice
	if err := c.List(&have, client.ListOptions{Namespace: svc.Namespace, Labels: serviceLabel + "=" + svc.Name + "," + managedLabel + "=" + managedBy}); err != nil {
		return controller.Result{}, err
	}
	have = slices.DeleteFunc(have, func(s *discoveryv1.EndpointSlice) bool { return s.DeletionTimestamp != nil })
	groups := want(svc, pods)
	lacking := place(svc, groups, nodes)
	plans, left := plan(svc, groups, have)
	if proportional(svc) {
		if nodes, err = allNodes(c); err != nil {
			return controller.Result{}, err
		}
		for _, note := range allot(svc, plans, shares(nodes)) {
			c.Event(svc, note)
		}
	}
	if err := write(c, svc, diff(svc, plans, left, triggered(svc, pods, have))); err != nil || !lacking {
		return controller.Result{}, err
	}
	return controller.Result{RequeueAfter: again}, nil
}

func write(c client.Client, svc *corev1.Service, ops []client.Op) error {
	if len(ops) == 0 {
		return nil
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return err
	}
	for i, err := range errs {
		if client.IsNamespaceTerminating(err) {
			continue // the Service goes with the namespace
		}
		if err != nil && !(ops[i].Verb == client.VerbDelete && client.IsNotFound(err)) {
			return fmt.Errorf("%s endpoint slice of %s: %w", ops[i].Verb, svc.Name, err)
		}
	}
	return nil
}

// topology asks for the Services whose endpoints are for somebody because of where they
// are.
var topology = controller.Request{Name: "topology"}

func moved(sdk.Value) []controller.Request { return []controller.Request{topology} }

// placed names the Services that nodes matter to, beyond those of their pods.
func placed(c client.Client) (controller.Result, error) {
	var all []*corev1.Service
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, svc := range all {
		if backends.Selected(svc) && (proportional(svc) || nearness(svc) != "") {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: svc.Namespace, Name: svc.Name})
		}
	}
	return res, nil
}
