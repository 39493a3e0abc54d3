// Package endpointslice keeps the EndpointSlices of every Service that has a
// selector: which pods stand behind it, at which ports, and whether they are
// ready, serving or terminating.
package endpointslice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	discoveryv1 "github.com/pintle-io/pintle/sdk/api/discovery/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

// Labels of the slices, as upstream has them.
const (
	serviceLabel  = "kubernetes.io/service-name"
	managedLabel  = "endpointslice.kubernetes.io/managed-by"
	managedBy     = "endpointslice-controller.k8s.io"
	headlessLabel = "service.kubernetes.io/headless"
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
		return selecting(c, req.Namespace, req.Labels.Map())
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

// selecting names the Services that select pods with these labels.
func selecting(c client.Client, namespace string, labels map[string]string) (controller.Result, error) {
	var services []*corev1.Service
	if err := c.List(&services, client.ListOptions{Namespace: namespace}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, svc := range services {
		if selects(svc.Spec.Selector, labels) {
			res.Enqueue = append(res.Enqueue, controller.Request{Namespace: svc.Namespace, Name: svc.Name})
		}
	}
	return res, nil
}

// selects tells whether a Service's selector takes the labels. A Service
// without one has no slices of ours.
func selects(selector, labels map[string]string) bool {
	if len(selector) == 0 {
		return false
	}
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func sync(c client.Client, svc *corev1.Service) error {
	if len(svc.Spec.Selector) == 0 || svc.DeletionTimestamp != nil || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var pods []*pod
	if err := c.List(&pods, client.ListOptions{Namespace: svc.Namespace, Labels: selector(svc.Spec.Selector)}); err != nil {
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

func selector(m map[string]string) string {
	var parts []string
	for k, v := range m {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
