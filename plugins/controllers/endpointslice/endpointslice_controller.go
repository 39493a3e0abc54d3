// Package endpointslice keeps the EndpointSlices of every Service that has a
// selector: which pods stand behind it, at which ports, and whether they are
// ready, serving or terminating.
package endpointslice

import (
	"fmt"

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
			},
			Workers:   2,
			Reconcile: reconcile,
		}, nil
	}})
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
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
	return controller.Result{}, sync(c, svc)
}

func sync(c client.Client, svc *corev1.Service) error {
	if !backends.Selected(svc) || svc.DeletionTimestamp != nil {
		return nil
	}
	pods, err := backends.Of(c, svc)
	if err != nil {
		return err
	}
	var have []*discoveryv1.EndpointSlice
	if err := c.List(&have, client.ListOptions{Namespace: svc.Namespace, Labels: serviceLabel + "=" + svc.Name + "," + managedLabel + "=" + managedBy}); err != nil {
		return err
	}
	ops := diff(svc, want(svc, pods), have)
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
