// Package endpoints keeps the legacy Endpoints of every Service that has a
// selector, for programs that do not read EndpointSlices: which pods stand behind
// it, at which ports, a thousand of them at most.
package endpoints

import (
	"fmt"

	"github.com/pintle-io/pintle/plugins/backends"
	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "endpoints", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: "v1/services"},
				// Those that somebody deleted are made again, and those of Services that went
				// while nobody looked go. What others write of theirs is not our affair, nor
				// that they delete it: they may write it anew, without a Service as before.
				{Resource: "v1/endpoints", Map: controller.Deleted(ours), Fields: fields},
				{Resource: "v1/endpoints", Map: controller.Added(ours), Fields: fields},
				{Resource: "v1/pods", Map: controller.Labels()},
			},
			Implements: []string{"v1/endpoints"},
			Workers:    2,
			Reconcile:  reconcile,
		}, nil
	}})
}

func reconcile(c client.Client, req controller.Request) (controller.Result, error) {
	if req.Labels != "" {
		return backends.Selecting(c, req.Namespace, req.Labels.Map())
	}
	svc := &corev1.Service{}
	err := c.Get(svc, req.Namespace, req.Name)
	if client.IsNotFound(err) {
		gone := &corev1.Endpoints{}
		gone.Namespace, gone.Name = req.Namespace, req.Name
		if err := c.Delete(gone, client.DeleteOptions{}); err != nil && !client.IsNotFound(err) {
			return controller.Result{}, fmt.Errorf("delete endpoints of a service that is gone: %w", err)
		}
		return controller.Result{}, nil
	}
	if err != nil || !backends.Selected(svc) {
		return controller.Result{}, err // without a selector, somebody else writes them
	}
	return controller.Result{}, sync(c, svc)
}

// fields are what [ours] needs of an object.
var fields = []string{"metadata.labels", "metadata.namespace", "metadata.name"}

// ours requests the Service of Endpoints that were written here.
func ours(o sdk.Value) []controller.Request {
	if o.Get("metadata.labels").Key(managedLabel).String() != managedBy {
		return nil
	}
	return []controller.Request{{Namespace: o.Get("metadata.namespace").String(), Name: o.Get("metadata.name").String()}}
}

// sync writes the Endpoints of a Service, if they are not as they should be.
func sync(c client.Client, svc *corev1.Service) error {
	pods, err := backends.Of(c, svc)
	if err != nil {
		return err
	}
	have := &corev1.Endpoints{}
	err = c.Get(have, svc.Namespace, svc.Name)
	create := client.IsNotFound(err)
	switch {
	case create:
		have = nil
	case err != nil:
		return err
	}
	next, changed := want(svc, pods, have)
	if !changed {
		return nil
	}
	if create {
		err = c.Create(next)
	} else {
		err = c.Update(next)
	}
	return told(c, svc, next, create, err)
}

// told makes an event of an error that is more than a lost race, and returns it.
func told(c client.Client, svc *corev1.Service, next *corev1.Endpoints, create bool, err error) error {
	switch {
	case err == nil, create && client.IsNamespaceTerminating(err): // the Service goes with the namespace
		return nil
	case client.IsConflict(err), client.IsNotFound(err), client.IsAlreadyExists(err):
	case create:
		c.Event(svc, client.Note{Warning: true, Reason: "FailedToCreateEndpoint", Message: fmt.Sprintf("Failed to create endpoint for service %s/%s: %v", svc.Namespace, svc.Name, err)})
	default:
		c.Event(next, client.Note{Warning: true, Reason: "FailedToUpdateEndpoint", Message: fmt.Sprintf("Failed to update endpoint %s/%s: %v", svc.Namespace, svc.Name, err)})
	}
	return err
}
