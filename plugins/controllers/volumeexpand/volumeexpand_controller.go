// Package volumeexpand hands claims that ask for more than their volume has over to
// who can enlarge it. As in upstream, where every expandable volume is a driver's,
// that is never this controller: it tells the resizer of a driver that took over from
// Kubernetes, and whoever looks at the claim, for whom it waits.
package volumeexpand

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	claims  = "v1/persistentvolumeclaims"
	volumes = "v1/persistentvolumes"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "volume-expand", New: func([]byte) (sdk.Points, error) {
		fields := []string{"metadata.namespace", "metadata.name", "status.phase"}
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: claims, Map: controller.Added(bound), Fields: fields},
				{Resource: claims, Map: controller.Changed(bound, "spec.resources.requests.storage", "status.capacity.storage"), Fields: fields},
			},
			Implements: []string{}, // who binds claims does
			Reconcile:  reconcile,
		}, nil
	}})
}

func bound(c sdk.Value) []controller.Request {
	if c.Get("status.phase").String() != "Bound" {
		return nil
	}
	return []controller.Request{{Namespace: c.Get("metadata.namespace").String(), Name: c.Get("metadata.name").String()}}
}

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	cl, v := &claim{}, &volume{}
	if err := c.Get(cl, q.Namespace, q.Name); err != nil {
		return controller.Result{}, unlessGone(err)
	}
	if err := c.Get(v, "", cl.Spec.VolumeName); err != nil {
		return controller.Result{}, unlessGone(err) // the claim is lost
	}
	p := decide(cl, v)
	if p.resizer != "" {
		err := c.Patch(cl, client.Patch{Data: map[string]any{"metadata": map[string]any{
			"uid": cl.UID, "resourceVersion": cl.ResourceVersion, "annotations": map[string]string{annResizer: p.resizer}}}})
		if err != nil {
			return controller.Result{}, fmt.Errorf("setting resizer annotation to pvc %s: %w", q, err)
		}
	}
	if p.note != nil {
		c.Event(cl, *p.note)
	}
	return controller.Result{}, nil
}

func unlessGone(err error) error {
	if client.IsNotFound(err) {
		return nil
	}
	return err
}
