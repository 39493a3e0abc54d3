// Package ephemeralvolume makes the claims of pods' generic ephemeral volumes. A
// claim is owned by its pod and goes with it.
//
// KEP-1698.
package ephemeralvolume

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

const (
	pods   = "v1/pods"
	claims = "v1/persistentvolumeclaims"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "ephemeral-volume", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches: []controller.Watch{
				{Resource: pods, Map: controller.Added(self), Present: []string{"spec.volumes.ephemeral"}, Fields: []string{"metadata.namespace", "metadata.name"}},
				{Resource: claims, Map: controller.Deleted(owner), Present: []string{"metadata.ownerReferences"}, Fields: []string{"metadata.namespace", "metadata.ownerReferences"}},
			},
			Implements: []string{}, // it only helps pods
			Reconcile:  reconcile,
		}, nil
	}})
}

func self(pod sdk.Value) []controller.Request {
	return []controller.Request{{Namespace: pod.Get("metadata.namespace").String(), Name: pod.Get("metadata.name").String()}}
}

// owner requests the pod of a claim that is gone: somebody may have deleted it while
// the pod waits for it.
func owner(claim sdk.Value) []controller.Request {
	for _, r := range claim.Get("metadata.ownerReferences").Items() {
		if r.Get("apiVersion").String() == "v1" && r.Get("kind").String() == "Pod" && r.Get("controller").Bool() {
			return []controller.Request{{Namespace: claim.Get("metadata.namespace").String(), Name: r.Get("name").String()}}
		}
	}
	return nil
}

func reconcile(c client.Client, q controller.Request) (controller.Result, error) {
	p := &pod{}
	if err := c.Get(p, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	if p.DeletionTimestamp != nil {
		return controller.Result{}, nil
	}
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if v.Ephemeral == nil {
			continue
		}
		if err := ensure(c, p, v); err != nil {
			c.Event(p, client.Note{Warning: true, Reason: "FailedBinding", Message: fmt.Sprintf("ephemeral volume %s: %v", v.Name, err)})
			return controller.Result{}, fmt.Errorf("pod %s/%s, ephemeral volume %s: %w", p.Namespace, p.Name, v.Name, err)
		}
	}
	return controller.Result{}, nil
}

// ensure makes the claim of a volume.
//
// # Errors
//   - a claim of that name exists that is not the pod's
//   - those of client.Client
func ensure(c client.Client, p *pod, v *volume) error {
	wanted := claimFor(p, v)
	has := &corev1.PersistentVolumeClaim{}
	err := c.Get(has, wanted.Namespace, wanted.Name)
	switch {
	case err == nil:
		return isFor(p, has)
	case !client.IsNotFound(err):
		return err
	}
	if err := c.Create(wanted); err != nil {
		return fmt.Errorf("create PVC %s: %w", wanted.Name, err)
	}
	return nil
}
