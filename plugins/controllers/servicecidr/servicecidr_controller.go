// Package servicecidr lets ServiceCIDRs be used and deleted: a new one gets a
// finalizer and the condition Ready, without which no address is taken from it; one
// that is deleted stays as long as it alone has the address of a Service.
//
// KEP-1880.
package servicecidr

import (
	"time"

	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	networkingv1 "github.com/pintle-io/pintle/sdk/api/networking/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	finalizer = "networking.k8s.io/service-cidr-finalizer"
	ranges    = "networking.k8s.io/v1/servicecidrs"
	addresses = "networking.k8s.io/v1/ipaddresses"

	// grace is how long a range that may go stays yet: a server that has not heard of
	// its deletion may take an address from it. Upstream's.
	grace = 10 * time.Second
)

// waiting, in place of a name, asks for all ranges that are being deleted: another
// range, or an address that is gone, may let one of them go.
const waiting = "*"

func init() {
	sdk.Register(sdk.Plugin{Name: "service-cidr", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: ranges},
				{Resource: ranges, Map: controller.Added(others), Fields: []string{"metadata.name"}},
				{Resource: ranges, Map: controller.Changed(others, "spec.cidrs"), Fields: []string{"metadata.name"}},
				{Resource: addresses, Map: controller.Deleted(freed), Fields: []string{"metadata.labels"}},
			},
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return reconcile(c, q, c.Now())
			},
		}, nil
	}})
}

func others(sdk.Value) []controller.Request { return []controller.Request{{Name: waiting}} }

// freed asks for waiting ranges when an address of a Service is gone.
func freed(o sdk.Value) []controller.Request {
	if o.Get("metadata.labels").Key(networkingv1.LabelManagedBy).String() != allocator {
		return nil
	}
	return []controller.Request{{Name: waiting}}
}

func reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	if q.Name == waiting {
		return again(c)
	}
	r := &networkingv1.ServiceCIDR{}
	if err := c.Get(r, "", q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if r.DeletionTimestamp != nil {
		return release(c, r, now)
	}
	if err := client.AddFinalizer(c, r, finalizer); err != nil {
		if client.IsNotFound(err) {
			err = nil
		}
		return controller.Result{}, err
	}
	err := setCondition(c, r, ready, now)
	if err != nil && !client.IsConflict(err) {
		c.Event(r, client.Note{Warning: true, Reason: "KubernetesServiceCIDRError", Message: "The ServiceCIDR Status can not be set to Ready=True"})
	}
	return controller.Result{}, err
}

// again asks for each range that is being deleted.
func again(c client.Client) (controller.Result, error) {
	var all []*networkingv1.ServiceCIDR
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return controller.Result{}, err
	}
	var res controller.Result
	for _, r := range all {
		if r.DeletionTimestamp != nil {
			res.Enqueue = append(res.Enqueue, controller.Request{Name: r.Name})
		}
	}
	return res, nil
}

// release lets a range that is being deleted go, or says why it stays.
func release(c client.Client, r *networkingv1.ServiceCIDR, now time.Time) (controller.Result, error) {
	if !client.ContainsFinalizer(r, finalizer) {
		return controller.Result{}, nil // somebody else's holds it
	}
	free, err := mayGo(c, r)
	if err != nil {
		return controller.Result{}, err
	}
	if !free {
		return controller.Result{}, setCondition(c, r, terminating, now)
	}
	if left := r.DeletionTimestamp.Time().Add(grace).Sub(now); left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	return controller.Result{}, client.RemoveFinalizer(c, r, finalizer)
}

func mayGo(c client.Client, r *networkingv1.ServiceCIDR) (bool, error) {
	var all []*networkingv1.ServiceCIDR
	if err := c.List(&all, client.ListOptions{}); err != nil {
		return false, err
	}
	rest := remaining(all, r)
	if covered(r, rest) {
		return true, nil
	}
	var used []*address
	if err := c.List(&used, client.ListOptions{Labels: networkingv1.LabelManagedBy + "=" + allocator}); err != nil {
		return false, err
	}
	return orphan(used, r, rest) == "", nil
}

// setCondition writes a condition that is not there yet.
func setCondition(c client.Client, r *networkingv1.ServiceCIDR, want metav1.Condition, now time.Time) error {
	next, changed := conditions(r.Status.Conditions, want, now)
	if !changed {
		return nil
	}
	err := c.Patch(r, client.Patch{Subresource: "status", Data: map[string]any{
		"metadata": map[string]any{"uid": r.UID, "resourceVersion": r.ResourceVersion},
		"status":   map[string]any{"conditions": next}}})
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
