// Package resourcequota keeps the status of ResourceQuotas: which limits are in force,
// and how much is used. What is used more, the admission rule resource-quota adds as
// it is created; here it is counted anew when a quota is new or changes, when something
// is deleted or ends, and every few minutes. Only what a change is about is counted: the
// objects of one resource, in one namespace, if a quota there tracks them.
package resourcequota

import (
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/plugins/quota"
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const quotas = "v1/resourcequotas"

// resync is upstream's: how often everything is counted.
const resync = 5 * time.Minute

func init() {
	sdk.Register(sdk.Plugin{Name: "resource-quota-status", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: watches(), Workers: 2, Implements: []string{}, Reconcile: reconcile}, nil
	}})
}

func watches() []controller.Watch {
	return []controller.Watch{
		{Resource: quotas, Map: controller.Added(whole), Fields: []string{"metadata.namespace"}},
		{Resource: quotas, Map: controller.Changed(whole, "spec", "status.hard"), Fields: []string{"metadata.namespace"}},
		{Resource: "v1/pods", Map: controller.Changed(freed, "status.phase", "spec.activeDeadlineSeconds"), Fields: podFields},
		{Resource: "v1/pods", Map: controller.Changed(one("v1/pods"), "status.containerStatuses.resources", "status.initContainerStatuses.resources"),
			Fields: []string{"metadata.namespace"}, Present: []string{"spec.nodeName"}},
		{Resource: "v1/services", Map: controller.Changed(one("v1/services"), "spec.type", "spec.ports", "spec.allocateLoadBalancerNodePorts"), Fields: []string{"metadata.namespace"}},
		{Resource: "v1/persistentvolumeclaims", Fields: []string{"metadata.namespace"}, Map: controller.Changed(one("v1/persistentvolumeclaims"),
			"spec.resources", "spec.volumeAttributesClassName", "status.allocatedResources", "status.currentVolumeAttributesClassName", "status.modifyVolumeStatus")},
		{Resource: controller.AllResources, Metadata: true, Present: []string{"namespaced"}, Map: controller.Deleted(deleted), Fields: []string{"metadata.namespace", "resource"}},
	}
}

var podFields = []string{"metadata.namespace", "spec.activeDeadlineSeconds", "status.phase"}

// everything, in place of a resource, asks for all that the quotas of a namespace
// track.
const everything = "*"

func whole(o sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: everything}}
}

// one asks to count the objects of a resource.
func one(resource string) func(sdk.Value) []controller.Request {
	return func(o sdk.Value) []controller.Request {
		return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: resource}}
	}
}

// freed asks for pods when one has ended, or has a deadline and with it another scope.
func freed(o sdk.Value) []controller.Request {
	phase := o.Get("status.phase").String()
	if phase != string(corev1.PodSucceeded) && phase != string(corev1.PodFailed) && !o.Get("spec.activeDeadlineSeconds").Exists() {
		return nil
	}
	return one("v1/pods")(o)
}

func deleted(o sdk.Value) []controller.Request {
	resource := o.Get("resource").String()
	if resource == "" || quota.Ignored(quota.GroupResource(resource)) {
		return nil
	}
	return one(resource)(o)
}

// reconcile counts what the request names, for the quotas of its namespace.
func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	var list []*corev1.ResourceQuota
	if err := c.List(&list, client.ListOptions{Namespace: req.Namespace}); err != nil || len(list) == 0 {
		return controller.Result{}, err
	}
	all := req.Name == everything
	n := counter{now: c.Now(), namespace: req.Namespace, client: c}
	var failed []error
	for _, q := range list { // one that changes meanwhile does not keep the others
		failed = append(failed, n.update(q, req.Name))
	}
	if err := errors.Join(failed...); err != nil || !all {
		return controller.Result{}, err
	}
	return controller.Result{RequeueAfter: n.again()}, nil
}

// update writes a quota's status where it differs from what is counted.
func (n *counter) update(q *corev1.ResourceQuota, changed string) error {
	next, err := n.status(q, changed)
	if err != nil || next == nil {
		return err
	}
	q = client.Clone(q)
	q.Status = *next
	if err := n.client.UpdateStatus(q); err != nil && !client.IsNotFound(err) {
		return fmt.Errorf("update status of %s/%s: %w", q.Namespace, q.Name, err)
	}
	return nil
}
