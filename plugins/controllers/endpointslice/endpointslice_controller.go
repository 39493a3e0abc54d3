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
)

// Labels of the slices, as upstream has them.
const (
	serviceLabel  = "kubernetes.io/service-name"
	managedLabel  = "endpointslice.kubernetes.io/managed-by"
	managedBy     = "endpointslice-controller.k8s.io"
	headlessLabel = "service.kubernetes.io/headless"
)

// podRequest marks a request that stands for all Services which select pods
// of one set of labels. The labels follow as k=v,k=v.
const podRequest = "~"

func init() {
	sdk.Register(sdk.Plugin{Name: "endpointslice", New: func([]byte) (*sdk.Points, error) {
		return &sdk.Points{Controller: &sdk.Controller{
			Watches: []sdk.Watch{
				{Resource: "v1/services"},
				{Resource: "discovery.k8s.io/v1/endpointslices", Map: sdk.Label(serviceLabel)},
				{Resource: "v1/pods", Map: sdk.Func(byLabels)},
			},
			Workers:   2,
			Reconcile: reconcile,
		}}, nil
	}})
}

// byLabels turns a pod into one request for all pods labelled like it, so
// that a thousand pods of one Deployment cost one round.
func byLabels(pod sdk.Value) []sdk.Request {
	var parts []string
	for k, v := range pod.Get("metadata.labels").Fields() {
		parts = append(parts, k+"="+v.String())
	}
	if len(parts) == 0 {
		return nil
	}
	slices.Sort(parts)
	return []sdk.Request{{Namespace: pod.Get("metadata.namespace").String(), Name: podRequest + strings.Join(parts, ",")}}
}

func reconcile(c sdk.Client, req sdk.Request) (sdk.Result, error) {
	list, ok := strings.CutPrefix(req.Name, podRequest)
	if !ok {
		svc := &corev1.Service{}
		if err := c.Get(svc, req.Namespace, req.Name); err != nil {
			if sdk.IsNotFound(err) {
				return sdk.Result{}, nil // the garbage collector takes the slices
			}
			return sdk.Result{}, err
		}
		return sdk.Result{}, sync(c, svc)
	}
	var services []*corev1.Service
	if err := c.List(&services, sdk.ListOptions{Namespace: req.Namespace}); err != nil {
		return sdk.Result{}, err
	}
	labels := parse(list)
	for _, svc := range services {
		if selects(svc.Spec.Selector, labels) {
			if err := sync(c, svc); err != nil {
				return sdk.Result{}, err
			}
		}
	}
	return sdk.Result{}, nil
}

func parse(list string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		k, v, _ := strings.Cut(part, "=")
		out[k] = v
	}
	return out
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

func sync(c sdk.Client, svc *corev1.Service) error {
	if len(svc.Spec.Selector) == 0 || svc.DeletionTimestamp != nil || svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var pods []*corev1.Pod
	if err := c.List(&pods, sdk.ListOptions{Namespace: svc.Namespace, Labels: selector(svc.Spec.Selector)}); err != nil {
		return err
	}
	var have []*discoveryv1.EndpointSlice
	if err := c.List(&have, sdk.ListOptions{Namespace: svc.Namespace, Labels: serviceLabel + "=" + svc.Name + "," + managedLabel + "=" + managedBy}); err != nil {
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
		if err != nil && !(ops[i].Verb == sdk.VerbDelete && sdk.IsNotFound(err)) {
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
