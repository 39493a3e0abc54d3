// Package ttlafterfinished deletes Jobs, with what they own, some time after
// they are finished (spec.ttlSecondsAfterFinished).
package ttlafterfinished

import (
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "ttl-after-finished", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{
			Watches:    []controller.Watch{{Resource: "batch/v1/jobs", Present: []string{"spec.ttlSecondsAfterFinished"}}},
			Implements: []string{}, // it only cleans up
			Reconcile: func(c client.Client, q controller.Request) (controller.Result, error) {
				return reconcile(c, q, c.Now())
			},
		}, nil
	}})
}

func reconcile(c client.Client, q controller.Request, now time.Time) (controller.Result, error) {
	j := &job{}
	if err := c.Get(j, q.Namespace, q.Name); err != nil {
		if client.IsNotFound(err) {
			return controller.Result{}, nil
		}
		return controller.Result{}, err
	}
	left, ok := j.timeLeft(now)
	if !ok || left > 0 {
		return controller.Result{RequeueAfter: left}, nil
	}
	// A Job that changed meanwhile is looked at again: its time may have been
	// prolonged.
	o := client.DeleteOptions{Propagation: "Foreground", Preconditions: client.NewUIDPreconditions(j.UID)}
	o.Preconditions.ResourceVersion = &j.ResourceVersion
	if err := c.Delete(j, o); err != nil && !client.IsNotFound(err) {
		return controller.Result{}, err
	}
	return controller.Result{}, nil
}
